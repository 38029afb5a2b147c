"""A table as a Croissant dataset with its responsible-AI fields, for machines and dataset catalogues to read.

Source of the form: MLCommons Croissant 1.0 and its RAI vocabulary 1.0, JSON-LD.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from img2tab_core import __version__, tables
from img2tab_core.base.files import sha256_of
from img2tab_core.base.records import StyleTable, Target
from img2tab_core.reports.findings import licences

FILE = "table.croissant.json"
PARTS = ("train", "validation", "test")
FILES = (
    ("labels.parquet", "application/x-parquet"),
    ("psi.npy", "application/octet-stream"),
    ("stats.npz", "application/zip"),  # which faces are for training and testing, mean and deviation of every channel
)
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def croissant_of(table: StyleTable, folder: Path) -> dict[str, Any]:
    """The description of a table whose files lie in `folder`, plain types; a second for the default table.

    Raises OSError where a file of it cannot be read.
    """
    about = tables.about_of(folder)
    known = licences(table.backbone)
    drawn = table.name == "default" or about.get("origin") == "default"
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": table.name,
        "description": _description(table, about),
        "license": "; ".join(f"{title}: {licence}" for title, licence in known) or "see the origin of the photos",
        "url": f"urn:sha256:{table.key}",
        "version": f"1.0.0+{table.key[:16]}",
        "citeAs": f"img2tab table {table.name}, sha256 {table.key}",
        "datePublished": datetime.fromtimestamp((folder / tables.TABLE_FILE).stat().st_mtime, UTC).date().isoformat(),
        "creator": {"@type": "sc:Organization", "name": f"img2tab {__version__}"},
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": name,
                "name": name,
                "contentUrl": name,
                "encodingFormat": kind,
                "contentSize": f"{(folder / name).stat().st_size} B",
                "sha256": sha256_of(folder / name),
            }
            for name, kind in FILES
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "faces",
                "name": "faces",
                "description": "One row a face: its labels, -1 where unknown, and its measures. The style code of row i"
                " is column i of psi.npy, which has a row for every channel.",
                "field": [_field(table, name) for name in table.labels.columns if name in _columns(folder)],
            }
        ],
        "rai:dataCollection": "Faces drawn by a generator; nobody in them exists."
        if drawn
        else about.get("note") or "Photos that somebody imported.",
        "rai:dataCollectionType": ["Synthetic data" if drawn else "Existing data"],
        "rai:dataPreprocessingProtocol": [
            f"Aligned as FFHQ faces are, encoded by the encoder of {table.backbone}, kept as style channels.",
            f"Split: {', '.join(f'{len(table.rows(part)):,} {part}' for part in PARTS)} faces.",
        ],
        "rai:dataAnnotationProtocol": [f"{target.title}: {target.how}" for target in _labels(table)],
        "rai:dataBiases": _biases(table),
        "rai:dataLimitations": [
            "Labels are perceived: what networks or people see in a picture, not what somebody is.",
            "The classes of a label leave out everybody who is seen as none of them.",
        ],
        "rai:personalSensitiveInformation": [target.title for target in _labels(table)],
        "rai:dataUseCases": [
            "Auditing image classifiers for gaps between groups",
            "Research on the fairness of classifiers",
        ],
        "rai:dataSocialImpact": "Not for decisions about persons, and not for finding out who somebody is.",
    }


# --- the parts ----------------------------------------------------------------------------------------


def _description(table: StyleTable, about: dict) -> str:
    note = f" {about['note']}" if about.get("note") else ""
    return (
        f"{len(table.split):,} faces as style codes of {table.layout.total:,} channels of {table.backbone}, with "
        f"{len(_labels(table))} labels.{note}"
    )


def _columns(folder: Path) -> set[str]:
    """What stands in the file: classes against the rest and bands are made when a table is opened."""
    import pyarrow.parquet

    return set(pyarrow.parquet.read_schema(folder / "labels.parquet").names)


def _field(table: StyleTable, name: str) -> dict[str, Any]:
    target = next((target for target in (*table.targets, *table.many) if target.name == name), None)
    values = table.labels[name].to_numpy()
    whole = np.issubdtype(values.dtype, np.integer)
    words = (
        "a measure" if whole or np.issubdtype(values.dtype, np.floating) else "a text, such as the name of the photo"
    )
    if target is not None:
        words = f"{target.title}: " + ", ".join(f"{number} {title}" for number, title in enumerate(target.classes))
    return {
        "@type": "cr:Field",
        "@id": f"faces/{name}",
        "name": name,
        "description": words,
        "dataType": "sc:Integer" if whole else "sc:Float" if np.issubdtype(values.dtype, np.floating) else "sc:Text",
        "source": {"fileObject": {"@id": "labels.parquet"}, "extract": {"column": name}},
    }


def _biases(table: StyleTable) -> list[str]:
    """How unequal the classes of every label are, in numbers."""
    shares = []
    for target in _labels(table):
        labels = table.labels[target.name].to_numpy()
        known = labels >= 0
        if known.any():
            told = [
                f"{100 * (labels[known] == number).mean():.0f} % {name}" for number, name in enumerate(target.classes)
            ]
            shares.append(f"{target.title}: {', '.join(told)}; {100 * (~known).mean():.0f} % unknown.")
    return shares


def _labels(table: StyleTable) -> tuple[Target, ...]:
    """Of two classes and of more."""
    return (*table.targets, *table.many)
