"""Style tables: on disk and opened, imported from photos or style codes, sampled from, and the bundled population."""

from __future__ import annotations

from img2tab_core.tables.store import (
    CODES_FILE,
    LEAST_FACES,
    TABLE_FILE,
    about_of,
    any_target_of,
    banded,
    class_of,
    labelled,
    let_go,
    letting_go,
    most_frequent,
    open_table,
    split_of,
    target_of,
    usable_targets,
    with_derived,
    write_table,
)
from img2tab_core.tables.target_faces import LabelledRows, TargetFaces, faces_of

__all__ = [
    "CODES_FILE",
    "LEAST_FACES",
    "TABLE_FILE",
    "LabelledRows",
    "TargetFaces",
    "about_of",
    "any_target_of",
    "banded",
    "class_of",
    "faces_of",
    "labelled",
    "let_go",
    "letting_go",
    "most_frequent",
    "open_table",
    "split_of",
    "target_of",
    "usable_targets",
    "with_derived",
    "write_table",
]
