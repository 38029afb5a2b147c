"""Shared folders and opened models for the tests; what is absent is skipped with its reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from img2tab_core import population, weights

SHARED = Path(os.environ.get("IMG2TAB_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def _folder(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"no folder {name} in the shared folder beside the project (IMG2TAB_SHARED names another place)")
    return folder


@pytest.fixture(scope="session")
def shared_photos() -> Path:
    """Real photos for tests."""
    return _folder("photos")


@pytest.fixture(scope="session")
def shared_parity() -> Path:
    """Golden outputs."""
    return _folder("parity")


@pytest.fixture(scope="session")
def generator():
    """The default generator, opened once for the whole run."""
    _needs("mobilestylegan-ffhq")
    return weights.open_generator()


@pytest.fixture(scope="session")
def studio():
    """The real service on the real default table; `make test` fetches the weights and builds it first."""
    from img2tab_core.service import Studio

    for entry in weights.manifest():
        if not entry.optional:
            _needs(entry.name)
    if not population.is_current():
        pytest.skip("the default table is not built: run `img2tab tables build default`")
    return Studio()


def _needs(name: str) -> None:
    if weights.status(weights.find(name)) != "ready":
        pytest.skip(f"the weights {name} are not here: run `img2tab weights fetch`")
