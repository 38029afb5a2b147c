"""What a session may hold: text, names, seeds, channels and JSON, checked before they are written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral

from img2tab_core.errors import Img2TabError

NAME_LENGTH = 80
LARGEST_SEED = 2**32 - 1


def checked_text(value: str, what: str) -> str:
    """Text that every database can hold."""
    if not isinstance(value, str) or clean_text(value) != value:
        raise Img2TabError(f"{what} must be plain text without control characters. Type it again.")
    return value


def checked_line(value: str, what: str, *, longest: int | None = NAME_LENGTH) -> str:
    """One line that is not empty, its spaces tidied."""
    value = " ".join(checked_text(value, what).split())
    if not value or not value.isprintable() or (longest is not None and len(value) > longest):
        limit = f", at most {longest} characters" if longest else ""
        raise Img2TabError(f"{what} must be one line of text, not empty{limit}, got {len(value)} characters.")
    return value


def checked_who(value: str) -> str:
    return checked_line(value, "The name of who did it") if value else ""


def checked_channels(excluded: object) -> list[int]:
    """Channel indices, ascending, none twice."""
    values = list(excluded) if isinstance(excluded, Sequence | frozenset | set) else None
    if values is None or isinstance(excluded, str) or not all(_is_whole(index) and index >= 0 for index in values):
        raise Img2TabError(f"Excluded channels must be a list of whole numbers of at least 0, got {excluded!r:.60}.")
    return sorted({int(index) for index in values})


def is_seed(value: object) -> bool:
    return _is_whole(value) and 0 <= value <= LARGEST_SEED


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def clean_text(value: str) -> str:
    """Without what PostgreSQL cannot hold: NUL, and halves of surrogate pairs."""
    return value.replace("\0", "").encode("utf-8", "ignore").decode("utf-8")


def json_value(value: object):
    """A value as JSON knows it: NumPy's become Python's, sets and tuples lists, what is not finite null."""
    if isinstance(value, Mapping):
        return {str(name): json_value(one) for name, one in value.items()}
    if hasattr(value, "tolist"):
        return json_value(value.tolist())
    if isinstance(value, set | frozenset):
        return json_value(sorted(value))
    if isinstance(value, list | tuple):
        return [json_value(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
