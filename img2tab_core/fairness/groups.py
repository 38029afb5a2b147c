"""The groups of an audit: each face's group by one sensitive attribute, or by two that are crossed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from img2tab_core.errors import Img2TabError
from img2tab_core.records import read_only


@dataclass(frozen=True, eq=False)
class Groups:
    """One sensitive attribute: its title, the names of its groups, and each face's.

    codes: (n,) whole numbers, the position of a face's group among the names, -1 where it is unknown.
    """

    attribute: str
    names: tuple[str, ...]
    codes: np.ndarray

    def __post_init__(self) -> None:
        codes = np.asarray(self.codes)
        whole = codes.ndim == 1 and np.issubdtype(codes.dtype, np.integer)
        if not whole or (codes.size and not (codes.min() >= -1 and codes.max() < len(self.names))):
            raise Img2TabError(
                f"Groups of {self.attribute!r} must be whole numbers from -1 (unknown) to {len(self.names) - 1}, one "
                f"for each face, got {codes.dtype} {codes.shape}. Choose another column."
            )
        if len(set(self.names)) != len(self.names):
            raise Img2TabError(f"The groups of {self.attribute!r} must have different names, got {self.names}.")
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "codes", read_only(codes.astype(np.int64)))


def crossed(groups: Sequence[Groups]) -> Groups:
    """One attribute as it is, or two as one whose groups are all pairs: "perceived male, perceived young"."""
    if len(groups) not in (1, 2):
        raise Img2TabError(f"Groups must be formed by one or two attributes, got {len(groups)}. Choose one or two.")
    if len(groups) == 1:
        return groups[0]
    one, other = groups
    if one.codes.shape != other.codes.shape:
        raise Img2TabError(
            f"Both attributes must be known for the same faces, got {len(one.codes):,} and {len(other.codes):,}.")
    known = (one.codes >= 0) & (other.codes >= 0)
    return Groups(
        f"{one.attribute} × {other.attribute}",
        tuple(f"{first}, {second}" for first in one.names for second in other.names),
        np.where(known, one.codes * len(other.names) + other.codes, -1),
    )
