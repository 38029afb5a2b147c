"""The bundled population (`assets/population`) -> the default table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from img2tab_core import weights
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import ROOT, hold, home, make_folder, read_json
from img2tab_core.base.foreign import open_array, parsed_json
from img2tab_core.base.jobs import Report
from img2tab_core.base.records import StyleTable, Target, digest
from img2tab_core.tables import store
from img2tab_core.tables.imports import Backbone

FOLDER = ROOT / "assets" / "population"
TABLE = "default"  # the name of the table that is built of it
FORMAT = 1  # raise it when a table built before must be built again


def _key() -> str:
    """Changes with what the default table is built from: the population and the generator's affine maps.

    The encoder is not in it: the population holds what that made of the faces, and it is shipped with it. For the same
    reason the table has no `backbone_key`: the encoder that is installed is not what a build uses.
    """
    weights.path("mobilestylegan-ffhq")  # missing: the sentence that says how to get it
    parts = [str(FORMAT).encode()]
    for name in ("w.npy", "labels.parquet", "population.json"):
        try:
            parts.append((FOLDER / name).read_bytes())
        except OSError as error:
            raise Img2TabError(
                f"The bundled population is incomplete: {FOLDER / name} cannot be read. Clone the repository again."
            ) from error
    parts.append(weights.record("mobilestylegan-ffhq")["sha256"].encode())
    return digest(*parts)


def is_current(folder: Path | None = None) -> bool:
    """Whether the default table is built, whole, and from the population that is here now."""
    try:
        return store.open_table(folder or home() / "tables" / "default").key == _key()
    except Img2TabError:
        return False


@dataclass(frozen=True)
class LabelCheck:
    """How often a label of the bundled population is what a reviewer saw, blind, on faces sampled at random.

    known: faces that were clear to the reviewer and have the label; agree: of these. by: the reviewer.
    """

    known: int
    agree: int
    by: str


def label_checks() -> dict[str, LabelCheck]:
    """The check of every label that was checked, by the target's name; {} where the population says nothing of it."""
    checked = read_json(FOLDER / "population.json").get("checked", [])
    return {
        row["label"]: LabelCheck(row["known"], row["agree"], check["by"])
        for check in reversed(checked)  # the first one is of faces sampled at random, the others look for rare classes
        for row in check["labels"]
    }


AGE_BANDS = Target(
    name="age_band",
    title="Perceived age band",
    classes=("perceived under 25", "perceived 25 to 39", "perceived 40 and over"),
    how="Perceived age (faceres-deep) in years; bands that have 2,900 faces or more each.",
    ordered=True,
    of="perceived_age",
    borders=(25.0, 40.0),
)


def with_age_bands(table: StyleTable) -> StyleTable:
    """The default table with three age bands, made when it is opened: no file, no key and no other target changes.

    A table without the perceived age stays as it is.
    """
    there = {target.name for target in (*table.targets, *table.many)}
    if AGE_BANDS.of not in table.labels.columns or AGE_BANDS.name in there:
        return table
    return store.with_derived(table, [AGE_BANDS])


def build_default_table(
    open_default: Callable[[], Backbone], *, anew: bool = False, progress: Report | None = None
) -> StyleTable:
    """Compute the style codes of the bundled population from its w and write the default table.

    open_default: opens the default backbone, which takes seconds and only a build needs. One process builds at a
    time; whoever waited for another one takes what that one built. anew: build also where the table is current. Raises
    Img2TabError where the population or the weights are missing, or the table cannot be written.
    """
    folder, key = home() / "tables" / "default", _key()
    with _one_builder(folder.parent, progress):
        if not anew and is_current(folder):
            return store.open_table(folder)
        about = parsed_json((FOLDER / "population.json").read_bytes())
        model = open_default()
        w = open_array(FOLDER / "w.npy")
        return store.write_table(
            folder,
            lambda rows: model.styles(w[rows].astype(np.float32)),
            pd.read_parquet(FOLDER / "labels.parquet"),
            targets=[Target.from_json(t) for t in about["targets"]],
            layout=model.layout,
            backbone=model.name,
            key=key,
            split_seed=about["split_seed"],
            progress=progress,
        )


@contextmanager
def _one_builder(folder: Path, report: Report | None) -> Iterator[None]:
    """The only builder in this folder, over all processes."""
    try:
        make_folder(folder)
        lock = open(folder / ".lock", "w")
    except OSError as error:
        raise Img2TabError(
            f"The table could not be written: {folder} cannot be written to ({error.strerror}). Mend its permissions, "
            "or name another place with IMG2TAB_HOME."
        ) from error
    with lock:
        hold(lock, busy=lambda: report and report(0.0, "Waiting for another process that is building the table"))
        yield
