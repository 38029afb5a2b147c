"""From a photo to concepts and from a concept to a picture: what a person waits for while they explore."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from img2tab_core.backbones import rendering
from img2tab_core.base.records import Edit, Face
from tests.benchmarks.rendering import PLAIN, plain_mobilestylegan

EDIT = "one 256 px edit with its probability"
LARGE = "one 1024 px edit"
STRIP = "strip of 13 frames, 256 px"


def bench_upload(timed, door, run, photo):
    def work():
        code = door.encode(door.faces(photo)[0])
        door.predict(run, code)
        door.scores(run)

    timed(work, what="upload of a 1350 x 1800 photo to ranked concepts", way="ours", goal=2.0)


def bench_encode(timed, door, face):
    timed(lambda: door.encode(face), what="encode an aligned face", way="ours", goal=0.15)


def _plainly(door, moved, size: int) -> None:
    """The published graph from its first layer, nothing folded, nothing kept."""
    with torch.inference_mode():
        drawn = plain_mobilestylegan(door.backbone().generator, torch.from_numpy(moved.values.copy())[None], size)
        rendering.to_pixels(drawn.permute(0, 2, 3, 1).numpy())


@pytest.mark.parametrize("way", ["ours", PLAIN])
def bench_edit(timed, door, run, code, index, shifts, way):
    def ours():
        edits = [Edit(index, float(next(shifts)))]
        door.render(code, edits, size=256, precision="close")
        door.predict(run, code, edits)

    def plain():
        moved = door.edited(code, [Edit(index, float(next(shifts)))])
        _plainly(door, moved, 256)
        door.predict(run, moved)

    timed(ours if way == "ours" else plain, what=EDIT, way=way, goal=0.15, rounds=9)


@pytest.mark.parametrize("way", ["ours", PLAIN])
def bench_large(timed, door, code, index, shifts, way):
    def ours():
        door.render(code, [Edit(index, float(next(shifts)))], size=1024, precision="close")

    def plain():
        _plainly(door, door.edited(code, [Edit(index, float(next(shifts)))]), 1024)

    timed(ours if way == "ours" else plain, what=LARGE, way=way, goal=0.5)


@pytest.mark.parametrize("way", ["ours", PLAIN])
def bench_strip(timed, door, run, code, index, shifts, way):
    def ours():
        door.strip(
            run, code, index, edits=[Edit(index + 1, float(next(shifts)))], frames=13, size=256, precision="draft"
        )

    def plain():
        other = float(next(shifts))
        for shift in rendering.shifts(10.0, 13):
            moved = door.edited(code, [Edit(index + 1, other), Edit(index, float(shift))])
            _plainly(door, moved, 256)
            door.predict(run, moved)

    timed(ours if way == "ours" else plain, what=STRIP, way=way, goal=1.0)


def bench_coarse_strip(timed, door, run, code, index, shifts):
    def ours():
        edits = [Edit(index + 1, float(next(shifts)))]
        door.strip(run, code, index, edits=edits, frames=5, size=128, precision="draft")

    timed(ours, what="the first, coarse strip: 5 frames, 128 px", way="ours", goal=0.3)


def bench_family_strip(timed, door, run, code, index, shifts):
    described = door.description()
    if described is None:
        pytest.skip("the families that come with the program are of other weights")
    family = max(described.families, key=lambda family: len(family.channels))

    def ours():
        edits = [Edit(index, float(next(shifts)))]
        door.strip(run, code, family, edits=edits, frames=13, size=256, precision="draft")

    timed(ours, what="strip of a family, 13 frames, 256 px", way="ours", goal=1.2)


def bench_ranked_families(timed, door, run):
    if door.description() is None:
        pytest.skip("the families that come with the program are of other weights")

    def ours():
        door._ranked.clear()
        door.families(run)

    timed(ours, what="all families ranked for a classifier: distance, importance, effect", way="ours", goal=1.0)


# ---- growth


@pytest.mark.parametrize("size", [128, 256, 512, 1024])
def bench_render_growth(timed, door, code, index, shifts, size):
    timed(
        lambda: rendering.draw(
            door.backbone().generator, [door.edited(code, [Edit(index, float(next(shifts)))])], size=size
        ),
        growth="render",
        over="px",
        size=size,
    )


@pytest.mark.parametrize("size", [1, 4, 16, 64])
def bench_encode_growth(timed, door, face, size):
    faces = np.stack([np.roll(face.pixels, step, axis=1) for step in range(size)])
    timed(lambda: [door.encode(Face.of(one)) for one in faces], growth="encode", over="photos", size=size, rounds=3)
