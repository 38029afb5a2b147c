"""Exclusions shared as JSON: what a run excludes and all else that decides its training, written and read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.foreign import HEAD, described, parsed_json, printable, reason
from img2tab_core.classifiers.treatment import UNTREATED, Treatment
from img2tab_core.sessions.session_records import (
    LARGEST_SEED,
    RunInfo,
    SessionInfo,
    checked_channels,
    is_number,
    is_seed,
)

FORMAT = 1
MOST_BYTES = 10_000_000
MEASURED = ("accuracy", "auc")  # of the metrics of a run


@dataclass(frozen=True)
class Exclusions:
    """An exclusion list somebody shared, with all that decides a training; excluded: channels, ascending.

    names: what its concepts were called; run_id: of the run it came from, "" where not noted: a training that repeats
    it exactly gets the same. measured: that run's accuracy and AUC on the test faces, in [0, 1], where they are noted:
    a run of a graphics card does not come out the same twice, and is held against them.
    """

    backbone: str
    table: str
    table_key: str
    target: str
    classifier: str
    seed: int
    excluded: tuple[int, ...]
    names: dict[int, str] = field(default_factory=dict)
    run_id: str = ""
    measured: dict[str, float] = field(default_factory=dict)
    treatment: Treatment = UNTREATED


def exclusions_json(session: SessionInfo, run: RunInfo, *, names: Mapping[int, str] | None = None) -> dict:
    """What a run excludes and all else that decides its training, to be shared as JSON.

    names: of concepts, by channel index; those of the excluded ones are told.
    Raises Img2TabError where the run is not of the session.
    """
    if run.session != session.id:
        raise Img2TabError(f"Run {run.number} is not of the session {session.name!r}. Choose one of its runs.")
    content = {
        "format": FORMAT,
        "backbone": session.backbone,
        "table": session.table,
        "table_key": session.table_key,
        "target": session.target,
        "classifier": run.kind,
        "seed": run.seed,
        "excluded": list(run.excluded),
    }
    optional = {
        "run_id": run.run_id,
        "measured": {name: run.metrics[name] for name in MEASURED if is_number(run.metrics.get(name))},
        "treatment": run.treatment.to_json(),
        "names": {str(index): names[index] for index in run.excluded if index in names} if names else {},
    }
    return content | {name: value for name, value in optional.items() if value}


def read_exclusions(
    source: Path | bytes | Mapping,
    *,
    backbone: str | None = None,
    channels: int | None = None,
    table_key: str | None = None,
) -> Exclusions:
    """What `exclusions_json` gave: a file, its bytes, or the content itself.

    backbone and channels: whose channels, and how many there are, it must fit; table_key: of the table on which the
    run is to be repeated exactly. None leaves a check out.
    Raises Img2TabError where it is no such list, or does not fit.
    """
    content = _content(source)
    if content.get("format") != FORMAT:
        raise Img2TabError(
            f"Shared exclusions must have format {FORMAT}, got {content.get('format')!r:.40}. Ask for a list saved by "
            "this version of Img2Tab."
        )
    backbone_of_list, table, table_of_list, target, classifier = (
        _text(content, name) for name in ("backbone", "table", "table_key", "target", "classifier")
    )
    seed, names, run_id = content.get("seed"), content.get("names", {}), content.get("run_id", "")
    if not is_seed(seed):
        raise Img2TabError(f"The seed of shared exclusions must be from 0 to {LARGEST_SEED}, got {seed!r:.40}.")
    excluded = tuple(checked_channels(content.get("excluded")))
    if backbone is not None and backbone_of_list != backbone:
        raise Img2TabError(
            f"These exclusions are of channels of the backbone {printable(backbone_of_list)}, and {backbone} is in "
            "use, where the same numbers mean other concepts. Choose a table of that backbone."
        )
    if channels is not None and excluded and excluded[-1] >= channels:
        raise Img2TabError(
            f"Excluded channels must be below {channels}, the number there are, got {excluded[-1]}. Choose "
            "another list."
        )
    if table_key is not None and table_of_list != table_key:
        raise Img2TabError(
            f"These exclusions were made on the table {printable(table)} as it was then, and this one holds other "
            "faces: the run cannot be repeated exactly. Choose that table, or only take over what is excluded."
        )
    if (
        not isinstance(names, Mapping)
        or not all(str(index).isdecimal() and isinstance(name, str) for index, name in names.items())
        or not isinstance(run_id, str)
    ):
        raise Img2TabError("The names in shared exclusions must be texts by channel number. Ask for the list again.")
    measured = content.get("measured", {})
    if not isinstance(measured, Mapping) or not all(_is_share(measured.get(name, 0)) for name in MEASURED):
        raise Img2TabError(
            "What shared exclusions say was measured must be numbers from 0 to 1. Ask for the list again."
        )
    try:
        treatment = Treatment.from_json(content.get("treatment", {}))
    except (TypeError, AttributeError) as error:
        raise Img2TabError(
            "What shared exclusions erase and balance must be names of labels. Ask for the list again."
        ) from error
    return Exclusions(
        backbone=backbone_of_list,
        table=table,
        table_key=table_of_list,
        target=target,
        classifier=classifier,
        seed=seed,
        excluded=excluded,
        names={int(index): name for index, name in names.items()},
        run_id=run_id,
        measured={name: float(measured[name]) for name in MEASURED if name in measured},
        treatment=treatment,
    )


def _text(content: Mapping, name: str) -> str:
    """A text that a list must have."""
    value = content.get(name)
    if not isinstance(value, str) or not value:
        raise Img2TabError(f"Shared exclusions must say their {name}, got {value!r:.40}. Ask for the whole list.")
    return value


def _is_share(value: object) -> bool:
    return is_number(value) and 0 <= value <= 1


def _content(source: Path | bytes | Mapping) -> Mapping:
    """The JSON object in a file or in bytes."""
    if isinstance(source, Mapping):
        return source
    try:
        content = source if isinstance(source, bytes) else _beginning(source)
        if len(content) > MOST_BYTES:
            raise Img2TabError(
                f"Shared exclusions have at most {MOST_BYTES / 1e6:.0f} MB, got more. Choose another file."
            )
        made = parsed_json(content)
    except OSError as error:
        raise Img2TabError(f"{source!s} cannot be read ({reason(error)}). Choose another file.") from error
    except ValueError as error:
        raise Img2TabError(
            f"Shared exclusions must be a JSON file, got {described(content[:HEAD])} ({reason(error)}). Choose another "
            "file."
        ) from error
    if not isinstance(made, dict):
        raise Img2TabError(f"Shared exclusions must be one JSON object, got a {type(made).__name__}.")
    return made


def _beginning(file: Path) -> bytes:
    """A file's bytes, one more than it may have at most."""
    with file.open("rb") as stream:
        return stream.read(MOST_BYTES + 1)
