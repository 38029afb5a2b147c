"""What a run does without, in words: for the sentences of every page."""

from __future__ import annotations

from collections.abc import Collection

from dashboard.components import page_words
from dashboard.state import visit
from img2tab_core.classifiers.preparation import titles_of
from img2tab_core.classifiers.treatment import Treatment


def without(excluded: Collection[int], treatment: Treatment) -> str:
    """ "excludes Chin: facial hair", "erases perceived gender and is balanced over it"; "excludes nothing" if
    it does neither."""
    done = f"excludes {channels(excluded)}" if excluded or not treatment else ""
    treated = treatment.sentence(titles_of(visit.current_table(), visit.description())) if treatment else ""
    return page_words.plain(" and ".join(part for part in (done, treated) if part))


def channels(excluded: Collection[int]) -> str:
    """As concepts where they are described: "Chin: facial hair and 12 other channels"; "nothing"."""
    described = visit.description()
    if described is None or not excluded:
        return page_words.count(len(excluded), "channel") if excluded else "nothing"
    return described.in_words(excluded)
