"""Shared folders and opened models for the tests; what is absent is skipped with its reason."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from img2tab_core import tables, weights
from img2tab_core.base import files
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.records import Target
from img2tab_core.tables import population

SHARED = Path(os.environ.get("IMG2TAB_SHARED", Path(__file__).resolve().parents[2] / "shared"))


# the files that take longest, the longest first (`make test ARGS=--durations=0`)
LONGEST = (
    "visitors", "hostile_files", "engines",  # two that need another thing each, the classifiers of `studio` and none
    "fast_rendering", "pages", "own_classifier", "own_models", "scrub_browser", "browser", "gap_page", "quick",
    "nothing_lost", "accessible_browser", "service", "generator", "stylegan2",
    "sessions_page", "e4e_training", "refinement", "cli_audit", "audit_page", "cli", "backbone_pages", "importing",
    "contenders", "portraits", "planted", "batching", "training", "checkpoints", "sessions",
)  # fmt: skip


@pytest.fixture(scope="session", autouse=True)
def verbs_made_once():
    """The commands of the terminal are made once a process, as in a terminal: a tenth of a second each time else."""
    from typer import testing

    made, make = {}, testing._get_command

    def command(app):
        shape = app, len(app.registered_commands), len(app.registered_groups)  # verbs may be added to it
        if shape not in made:
            made[shape] = make(app)
        return made[shape]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(testing, "_get_command", command)
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: of two processes that share the tests none is left with a long one at the end."""
    place = {f"test_{name}": number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


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
def studio(tmp_path_factory):
    """The real service on the real default table; `make test` fetches the weights and builds it first.

    What takes long of two targets is made by whichever process of tests is first, and kept: their standing classifiers,
    and for the first one what a retraining needs. A test that needs a second target takes `smiling`.
    """
    from img2tab_core.studio import Studio

    for entry in weights.manifest():
        if not entry.optional:
            _needs(entry.name)
    if not population.is_current():
        pytest.skip("the default table is not built: run `img2tab tables build default`")
    made = Studio()
    with (tmp_path_factory.getbasetemp().parent / "standing.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for target in ("perceived_gender", "smiling"):
            made.run(made.table(), target)
        made.trainer.prepare(made.table(), "perceived_gender")
    return made


@pytest.fixture(scope="module")
def small_pictures():
    """Pages draw coarse strips alone, and pictures of a quarter of the side: where tests look at words and numbers.

    A third of what the tests of pages took was finer pictures that none of them waited for.
    """
    from tests.small_serving import make_small

    with pytest.MonkeyPatch.context() as patch:
        make_small(patch.setattr)
        yield


@pytest.fixture(scope="session")
def shared_reference() -> Path:
    """Published data."""
    return _folder("reference")


@pytest.fixture(scope="session")
def seeded_file(shared_parity, tmp_path_factory) -> Callable[[int], Path]:
    """64 or 1024 -> the stand-in e4e checkpoint of that size, written once for the whole run."""
    spec = importlib.util.spec_from_file_location("seeded_weights", shared_parity / "seeded_weights.py")
    seeded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(seeded)
    folder = tmp_path_factory.mktemp("seeded")

    def write(size: int) -> Path:
        import torch

        file = folder / f"e4e-{size}.pt"
        if not file.exists():
            layout = json.loads((shared_parity / f"e4e-{size}.keys.json").read_text())
            torch.save(seeded.checkpoint(layout["tensors"], 1, size), file)
        return file

    return write


@pytest.fixture(scope="session")
def other_home(tmp_path_factory) -> Path:
    """A visitor's folder for backbones and tables of the tests, with the real default table if it is built."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "tables").mkdir()
    built = files.home() / "tables" / "default"
    if built.is_dir():
        (folder / "tables" / "default").symlink_to(built)
    return folder


@pytest.fixture(scope="session")
def toy_home(tmp_path_factory) -> Callable[..., Path]:
    """Writes a visitor's folder with a table `toy`, for a module to keep.

    count, channels: its shape. kind: what class 1 of `kind` adds to channels 0 to 4, in standard deviations; `group`
    adds 1.5 to all from group_from on. The two go together in 75 % of the faces; `odd` alternates.
    """
    classes = {"kind": ("plain", "special"), "group": ("left", "right"), "odd": ("even", "odd")}

    def write(count: int, channels: int, *, kind: float, group_from: int) -> Path:
        home = tmp_path_factory.mktemp("home")
        rng = np.random.default_rng(0)
        groups = rng.integers(0, 2, count)
        kinds = np.where(rng.random(count) < 0.75, groups, 1 - groups)
        psi = rng.normal(size=(count, channels)).astype(np.float32)
        psi[:, :5] += kind * kinds[:, None]
        psi[:, group_from:] += 1.5 * groups[:, None]
        labels = pd.DataFrame({"kind": kinds, "group": groups, "odd": np.arange(count) % 2}).astype(np.int8)
        targets = [Target(name, name.title(), classes[name], "by hand") for name in labels]
        tables.write_table(
            home / "tables" / "toy",
            lambda rows: psi[rows],
            labels,
            targets=targets,
            layout=StyleLayout((channels,)),
            backbone="made-by-hand",
            key="toy-key",
        )
        return home

    return write


def _needs(name: str) -> None:
    if weights.status(weights.find(name)) != "ready":
        pytest.skip(f"the weights {name} are not here: run `img2tab weights fetch`")
