"""What a classifier is trained with beside what is excluded: what is erased, balanced, or moved in copies."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.words import listed


@dataclass(frozen=True)
class Treatment:
    """What a classifier is trained with beside what is excluded: names of other targets of its table, or "concept:" and
    the id of a described concept.

    erased: its direction is taken out of every code, of training faces and of each face judged later. balanced: the
    training faces are weighted so that it says nothing of the class. moved: every training face is there twice, once
    with it moved to the other side and the label kept.
    """

    erased: tuple[str, ...] = ()
    balanced: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.erased or self.balanced or self.moved)

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that it names, once each."""
        return tuple(dict.fromkeys((*self.erased, *self.balanced, *self.moved)))

    def to_json(self) -> dict:
        """Plain types, without what is not done; {} where nothing is."""
        return {what: list(names) for what, names in asdict(self).items() if names}

    @classmethod
    def from_json(cls, stored: dict) -> Treatment:
        """What `to_json` gave. Raises TypeError where it is something else."""
        return cls(**{what: tuple(map(str, names)) for what, names in stored.items()})

    def sentence(self, titles: dict[str, str]) -> str:
        """ "erases perceived gender and is balanced over perceived gender"; "" where nothing is done.

        titles: by name, what a person reads.
        """
        parts = [
            f"{verb} {listed([titles.get(name, _words(name)).lower() for name in names])}"
            for verb, names in (
                ("erases", self.erased),
                ("is balanced over", self.balanced),
                ("is trained on copies moved by", self.moved),
            )
            if names
        ]
        return listed(parts) if parts else ""


UNTREATED = Treatment()


def _words(name: str) -> str:
    """A name as words, where no title is known: "perceived_gender" -> "perceived gender"."""
    return name.rpartition(":")[2].replace("_", " ").replace("-", " ")


def treatment_of(names: tuple[str, ...], *, balance: bool = False, copies: bool = False) -> Treatment:
    """What a person ticks: names are erased, or moved in copies of every face instead, and balanced as well if asked.

    Raises Img2TabError where something is asked for and nothing named.
    """
    if (balance or copies) and not names:
        raise Img2TabError(
            "Name the attribute that is balanced or moved. In the terminal: --erase ATTRIBUTE, or to balance --exclude "
            "FAMILY."
        )
    balanced = names if balance else ()
    return Treatment(balanced=balanced, moved=names) if copies else Treatment(erased=names, balanced=balanced)
