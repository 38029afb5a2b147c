"""The bundled population (`assets/population`) -> the default table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from img2tab_core import backbone, tables, weights
from img2tab_core.errors import Img2TabError
from img2tab_core.records import StyleTable, Target, digest

FOLDER = weights.ROOT / "assets" / "population"
FORMAT = 1  # raise it when a table built before must be built again


def _key() -> str:
    """What the default table is built from: the population and the generator's affine maps."""
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
    """Whether the default table is built, from the population that is here now."""
    folder = folder or weights.home() / "tables" / "default"
    try:
        return json.loads((folder / "table.json").read_text())["key"] == _key()
    except (OSError, ValueError, KeyError):
        return False


def build_default_table(*, progress: Callable[[float, str], None] | None = None) -> StyleTable:
    """Compute the style codes of the bundled population from its w and write the default table."""
    key, about = _key(), json.loads((FOLDER / "population.json").read_text())
    model = backbone.open_backbone()
    w = np.load(FOLDER / "w.npy")
    return tables.write_table(
        weights.home() / "tables" / "default",
        lambda rows: model.styles(w[rows].astype(np.float32)),
        pd.read_parquet(FOLDER / "labels.parquet"),
        targets=[Target(**{**t, "classes": tuple(t["classes"])}) for t in about["targets"]],
        layout=model.layout,
        backbone=model.name,
        key=key,
        split_seed=about["split_seed"],
        progress=progress,
    )
