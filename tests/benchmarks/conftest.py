"""What every benchmark starts from: the real service on the default table, one face, its code, one run."""

from __future__ import annotations

import os

import numpy as np
import pytest

from img2tab_core.cli.main import MALLOC
from img2tab_core.studio import Studio
from tests.conftest import SHARED

TARGET = "perceived_gender"


def pytest_configure(config) -> None:
    """The settings `img2tab serve` starts with must be there before the process starts."""
    if not MALLOC.keys() <= os.environ.keys():
        pytest.exit("Benchmarks run by `make bench`, which sets what `img2tab serve` sets.", returncode=2)


@pytest.fixture(scope="session")
def door() -> Studio:
    return Studio()


@pytest.fixture(scope="session")
def run(door):
    return door.run(door.table(), TARGET)


@pytest.fixture(scope="session")
def face(door):
    return door.samples()[0]


@pytest.fixture(scope="session")
def code(door, face):
    return door.encode(face)


@pytest.fixture(scope="session")
def index(door, run) -> int:
    """The concept that sets the classes furthest apart."""
    return int(np.argmax(door.scores(run).distance))


@pytest.fixture
def shifts():
    """Shifts that never come again, so that no cache answers."""
    return iter(np.linspace(-5, 5, 100_003))


@pytest.fixture(scope="session")
def photo() -> bytes:
    file = SHARED / "photos" / "canada" / "003f.jpg"
    if not file.is_file():
        pytest.skip("no folder photos in the shared folder beside the project")
    return file.read_bytes()


@pytest.fixture
def timed(benchmark):
    """timed(work, what=..., way="ours", goal=seconds or faster=times, note=...): warm, a median of some rounds."""

    def run_it(work, *, rounds: int = 5, warmup: int = 1, **info):
        benchmark.extra_info.update(info)
        return benchmark.pedantic(work, rounds=rounds, warmup_rounds=warmup, iterations=1)

    return run_it
