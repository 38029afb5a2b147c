"""What a person can fix: one exception whose message is the sentence they read."""


class Img2TabError(Exception):
    """A mistake a person can mend; the message says what was wrong, what was got, and what to do."""


class Cancelled(Img2TabError):
    """The person stopped the work; nothing was changed."""
