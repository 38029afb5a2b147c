"""What is installed and what is missing, with the command that mends it."""

from __future__ import annotations

import platform
import shutil
from importlib import metadata

from img2tab_core import population, weights

PACKAGES = (
    "torch", "streamlit", "catboost", "plotly", "pandas", "numpy", "scikit-learn", "scipy", "pillow", "dlib-bin",
    "safetensors", "typer", "pyarrow",
)


def examine() -> list[dict]:
    """One {"what", "found", "ok", "mend"} per thing looked at; mend is "" where all is well."""
    checks = [_check("Python", platform.python_version(), platform.python_version_tuple() >= ("3", "11"),
                     "Install Python 3.11.")]
    for package in PACKAGES:
        try:
            checks.append(_check(package, metadata.version(package), True))
        except metadata.PackageNotFoundError:
            checks.append(_check(package, "missing", False, "pip install -r requirements.txt"))
    if checks[1]["ok"]:
        checks.append(_check("Device", _device(), True))
    for entry in weights.manifest():
        state = weights.status(entry)
        missing_is_fine = entry.optional and state == "missing"
        checks.append(_check(f"Weights {entry.name}", state + (" (optional)" if missing_is_fine else ""),
                             state == "ready" or missing_is_fine, f"img2tab weights fetch {entry.name}"))
    current = population.is_current()
    checks.append(_check("Table default", "built" if current else "missing or out of date", current,
                         "img2tab tables build default"))
    free = shutil.disk_usage(weights.ROOT).free / 1e9
    checks.append(_check("Free disk space", f"{free:.1f} GB", free > 1, "Free at least 1 GB."))
    return checks


def _check(what: str, found: str, ok: bool, mend: str = "") -> dict:
    return {"what": what, "found": found, "ok": ok, "mend": "" if ok else mend}


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name()} (CUDA {torch.version.cuda})"
    return f"CPU, {torch.get_num_threads()} threads"
