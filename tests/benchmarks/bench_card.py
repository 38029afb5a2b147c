"""What a graphics card does: pictures at 1024 px and how near they come to the goldens, Wasserstein-1, training.

Every row is skipped with a reason where there is no card.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from img2tab_core import tables, weights
from img2tab_core.backbones import backbone, rendering
from img2tab_core.base.records import StyleCode
from img2tab_core.concepts import wasserstein
from tests.benchmarks.conftest import TARGET
from tests.benchmarks.wasserstein import _one_by_one, _written
from tests.conftest import SHARED

FACES, CHANNELS, SAMPLED = 162_770, 1000, 20  # CelebA's training faces; enough channels to wake the card
AT_ONCE = 16
PRECISIONS = ("exact", "close")

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no graphics card on this machine")


def _goldens(name: str) -> dict[str, np.ndarray]:
    file = SHARED / "parity" / f"{name}.npz"
    if not file.is_file():
        pytest.skip("no folder parity in the shared folder beside the project")
    with np.load(file) as arrays:
        return {key: arrays[key] for key in ("psi", "image")}


def _pictures(timed, generator, golden: dict[str, np.ndarray], precision: str, what: str) -> None:
    """One picture at a time as a row; sixteen at once and how far from the golden pictures as its note."""
    codes = [StyleCode.of(values, "any") for values in golden["psi"]]

    def drawn(count: int) -> np.ndarray:
        some = [codes[i % len(codes)] for i in range(count)]
        return rendering.draw(generator, some, size=1024, precision=precision)

    raw = rendering.draw_raw(generator, codes, size=1024, precision=precision)
    pooled = raw.reshape(len(codes), 64, 16, 64, 16, 3).mean(axis=(2, 4))
    apart = np.abs(pooled - golden["image"].transpose(0, 2, 3, 1)) * 127.5
    drawn(AT_ONCE)
    started = time.perf_counter()
    for _ in range(5):
        drawn(AT_ONCE)
    rate = 5 * AT_ONCE / (time.perf_counter() - started)
    timed(
        lambda: drawn(1),
        what=f"{what}, one 1024 px picture on a graphics card, {precision}",
        way="ours",
        goal=0.008,
        rounds=30,
        warmup=5,
        note=f"{rate:.0f} pictures a second, {AT_ONCE} at once; from the golden pictures, pooled to 64 px, "
        f"{apart.max():.2f} of 255 levels at most, {apart.mean():.3f} on average",
    )


@pytest.mark.parametrize("precision", PRECISIONS)
def bench_default_generator(timed, precision):
    golden = _goldens("mobilestylegan-1024")
    _pictures(timed, weights.open_generator(), golden, precision, "the default generator")


@pytest.fixture(scope="module")
def stylegan2(seeded_file, tmp_path_factory, monkeypatch_module):
    """The original kind of backbone: the seeded stand-in of 1024 px."""
    monkeypatch_module.setenv("IMG2TAB_HOME", str(tmp_path_factory.mktemp("home")))
    return backbone.add_backbone(seeded_file(1024), "stand-in")


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.mark.parametrize("precision", PRECISIONS)
def bench_stylegan2(timed, stylegan2, precision):
    _pictures(timed, stylegan2.generator, _goldens("e4e-1024"), precision, "StyleGAN2")


@pytest.mark.parametrize("way", ["ours", "the processor of the same machine"])
def bench_wasserstein(timed, tmp_path, monkeypatch, way):
    rng = np.random.default_rng(0)
    labels = (rng.random(FACES) < 0.42).astype(np.int8)
    psi, _ = _written(tmp_path / "psi.npy", labels, CHANNELS, rng)
    if way != "ours":
        monkeypatch.setattr(wasserstein, "_graphics_card", lambda: None)
    found = wasserstein.wasserstein(psi, labels, std=np.ones(CHANNELS))
    sample = np.linspace(0, CHANNELS - 1, SAMPLED).astype(int)
    expected = _one_by_one(psi, labels, sample)
    apart = float((np.abs(found[sample] - expected) / np.maximum(expected, 1e-12)).max())
    timed(
        lambda: wasserstein.wasserstein(psi, labels, std=np.ones(CHANNELS)),
        what=f"Wasserstein-1 on a graphics card, {FACES:,} faces x {CHANNELS:,} concepts",
        way=way,
        rounds=3,
        note=f"from SciPy's values by a share of {apart:.0e} at most",
    )


@pytest.mark.parametrize("way", ["ours", "the processor of the same machine"])
def bench_training(timed, door, monkeypatch, way):
    from img2tab_core.classifiers import kinds, measures, quick
    from img2tab_core.classifiers.catboost import GPU_WISH, GpuConcepts

    monkeypatch.setenv(GPU_WISH, "1")
    table = door.table()
    faces = tables.faces_of(table, TARGET)
    order = door.trainer._order(faces)
    pool = quick.make_pool(faces, order)
    rows, labels = faces.test
    kept = {}

    def trained():
        kind = GpuConcepts() if way == "ours" else kinds.make("catboost")
        kept["model"] = kind.fit_quantized(pool, order=order)

    trained()
    accuracy = measures.measure(kept["model"], table.psi, labels, rows=rows).accuracy
    timed(
        trained,
        what=f"the full classifier trained on a graphics card, {len(faces.train[0]):,} x {table.layout.total:,}",
        way=way,
        rounds=3,
        note=f"right on {accuracy:.1%} of {len(rows):,} test faces",
    )
