"""What a person can fix: one exception whose message is the sentence they read."""


class Img2TabError(Exception):
    """Something a person can mend: a wrong argument, a missing or damaged file, a full disk.

    The message is one or two sentences for that person: what must hold, what was got, and what to do. The terminal
    prints it and ends with exit code 1; a page shows it. Mistakes of the program itself are other exceptions.
    """


class Cancelled(Img2TabError):
    """The person stopped the work, and what was there before is unchanged.

    Raised by work that is given `cancelled` or `stopped`, once that says so; the message says what was kept and how to
    go on. Who catches Img2TabError catches it too.
    """
