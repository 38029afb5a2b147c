"""What a person can fix: one exception whose message is the sentence they read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

# how PyTorch, oneDNN and CUDA say it, in exceptions that also say anything else
_NO_MEMORY = (
    "allocate memory",
    "not enough memory",
    "out of memory",
    "could not create a memory",
    "create a primitive",
)


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


class Unreachable(Img2TabError):
    """What holds the photos or the table cannot be asked: no network, no bucket, credentials that may not.

    It is true of everything that lies there. Who goes on without a photo that cannot be read ends at this one.
    """


@contextmanager
def enough_memory(what: str) -> Iterator[None]:
    """A body for which the memory may not do; what: completes "There is not enough memory ...", such as "to draw".

    Raises Img2TabError in place of the exception that says so.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        raise Img2TabError(
            f"There is not enough memory {what}. Nothing was lost: close other programs or ask for less, and try again."
        ) from error


def lacks_memory(error: BaseException | None) -> bool:
    """Whether an exception, or one that it was raised from, says that there was not enough memory."""
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        if isinstance(error, RuntimeError | OSError) and any(words in str(error) for words in _NO_MEMORY):
            return True
        error = error.__cause__
    return False
