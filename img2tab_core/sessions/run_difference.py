"""What sets two runs of a session apart."""

from __future__ import annotations

from dataclasses import dataclass

from img2tab_core.sessions.records import RunInfo
from img2tab_core.sessions.values import is_number


@dataclass(frozen=True)
class Difference:
    """What sets two runs apart; settings and metrics: name -> (of the one, of the other), metrics where both have it.

    only_one, only_other: channels that only one of the two excludes, ascending.
    """

    only_one: tuple[int, ...]
    only_other: tuple[int, ...]
    settings: dict[str, tuple]
    metrics: dict[str, tuple[float, float]]


def difference(one: RunInfo, other: RunInfo) -> Difference:
    """What sets two runs of a session apart, for a view side by side."""
    settings = {"classifier": (one.kind, other.kind), "seed": (one.seed, other.seed)}
    return Difference(
        only_one=tuple(sorted(set(one.excluded) - set(other.excluded))),
        only_other=tuple(sorted(set(other.excluded) - set(one.excluded))),
        settings={name: pair for name, pair in settings.items() if pair[0] != pair[1]},
        metrics={
            name: (value, other.metrics[name])
            for name, value in one.metrics.items() if is_number(value) and is_number(other.metrics.get(name))
        },
    )
