"""A CatBoost file is opened in a process of its own first, where nobody here wrote it: a forged one ends that process.

CatBoost trusts the numbers in its files: 3 of 1,500 damaged ones, their digest mended, ended the process that opened
them. Called as `python -m img2tab_core.classifiers.cbm_trial FILE CHANNELS`; ends with 0 where the file can be used.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import changing, home, read_json, sha256_of, write_json

MOST_MEMORY, MOST_SECONDS = 8_000_000_000, 60.0  # bytes of address space, and time, of that process
KEPT = 2000  # digests that are remembered
_known: set[str] = set()  # what this process wrote or tried


def remember(file: Path) -> None:
    """Note in the visitor's folder that a file can be opened here: this installation wrote it, or has tried it."""
    digest = sha256_of(file)
    _known.add(digest)
    with suppress(OSError, Img2TabError), changing(_noted()):  # else it is tried again another time
        listed = [other for other in _listed() if other != digest]
        write_json(_noted(), {"opened": [*listed, digest][-KEPT:]})


def must_open(file: Path, channels: int) -> None:
    """Raises ValueError where a file that nobody here wrote or tried before ends the process that opens it."""
    digest = sha256_of(file)
    if digest in _known or digest in _listed():
        return
    try:
        done = subprocess.run(  # noqa: S603 - our own program, no shell; the file's path is one word of it
            [sys.executable, "-m", __name__, str(file.resolve()), str(channels)],
            capture_output=True,
            timeout=MOST_SECONDS,
            cwd=Path(__file__).resolve().parents[2],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"CatBoost took more than {MOST_SECONDS:.0f} seconds to open it") from error
    if done.returncode:
        raise ValueError("CatBoost cannot open it")
    remember(file)


def _noted() -> Path:
    return home() / "opened.json"


def _listed() -> list[str]:
    try:
        listed = read_json(_noted()).get("opened", [])
    except OSError:
        return []
    return listed if isinstance(listed, list) else []


def main(file: str, channels: int) -> None:
    """Open it, and ask it about three faces all that a page asks."""
    for limit, most in ((resource.RLIMIT_AS, MOST_MEMORY), (resource.RLIMIT_CORE, 0)):
        with suppress(ValueError, OSError):
            resource.setrlimit(limit, (most, most))
    import catboost
    import numpy as np

    booster = catboost.CatBoostClassifier()
    booster.load_model(file, format="cbm")
    faces = catboost.Pool(np.array([[-1e30], [0], [1e30]], np.float32).repeat(channels, axis=1))
    booster.predict_proba(faces, thread_count=1)
    booster.get_feature_importance(faces, type="ShapValues", thread_count=1)
    booster.get_feature_importance(type="PredictionValuesChange")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
