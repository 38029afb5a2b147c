"""What the documents tell a reader to type is typed: on a small table, in a folder with the files that they name.

In the order in which it stands on a page, since a session is begun before it is shown.
"""

from __future__ import annotations

import glob
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from docs.make import reference
from img2tab_core import tables
from tests import documented
from tests import onnx_writer as onnx
from tests.onnx_writer import node, tensor, value

FACES, PHOTOS = 1200, 24  # of the small table; drawn for the folders of photos
OWN = "needs what `explain` draws, or the file of a package; tests/test_own_classifier.py has both"
ENCODER = "needs the official files, which are not passed on; tests/test_checkpoints.py has stand-ins"
HOURS = "takes hours"
STORE = "needs an object store; tests/test_places.py has one"
SIGNED = "needs a report and a key; tests/test_evidence.py has both"
NOT_TYPED = {  # by how a command begins, and why; all of them are parsed in tests/test_docs.py
    "backbone add": ENCODER,
    "backbone remove": ENCODER,
    "classifier": "needs the published classifier; tests/test_published.py has it",
    "disagree": "draws every face; tests/test_disagreement.py runs it",
    "doctor": "says no where the table is a small one; tests/test_doctor.py runs it",
    "evaluate-backbone": "refines every photo; tests/test_evaluation.py runs it",
    "explain": "draws every face; tests/test_own_classifier.py runs it",
    **dict.fromkeys(("check-photos s3:", "encode s3:", "import folder s3:", "tables copy"), STORE),
    "fit-calibrations": "needs photos of people",
    "import celeba": "needs CelebA; tests/test_importing.py has a small one",
    "import classifier": ENCODER,
    "import population": ENCODER,
    "import psi codes.pt": ENCODER,
    "planted": HOURS,
    "report sign": SIGNED,
    "report verify": SIGNED,
    "serve": "does not end; the browser tests start it",
    "tables build": "would replace the small table",
    "weights fetch": "needs a network",
    "worked-example": "needs more faces; tests/test_contenders.py runs it",
    **dict.fromkeys(("build-population", "describe-concepts", "render-pairs", "train-encoder"), HOURS),
    **dict.fromkeys(("encode photo.jpg --backbone", "render --codes codes.npz --row 0 --size 512 --edit-raw"), ENCODER),
    **dict.fromkeys(("audit --classifier", "model add gender-v1.onnx"), OWN),
    "train --table ffhq": ENCODER,
}
LONG = (  # over ten seconds each, most of an hour together: parsed by test_docs, typed by `make commands`
    "audit --target smiling --sensitive perceived_gender --exclude", "carried", "check-photos", "compare", "concepts",
    "audit --target young --sensitive perceived_gender --e", "exclusion-curve", "flip", "import folder",
    "intervene", "matrix", "predict photo.jpg --target smiling --refine", "proxies", "refine", "remedies", "report",
    "predict photos", "session train young-alike --from", "session compare young-alike 1 3", "session real",
    "train --target smiling --classifier lightgbm", "audit --table mine", "train --table mine",
    "perceived --table mine", "slices --table mine", "audit --target age_band", "predict photo.jpg --target age_band",
    "scores --target age_band", "scores --target smiling --shards 7 --workers", "scores --target smiling --shards 100",
)  # fmt: skip
PAGES = [page for page in documented.PAGES if any(c.program == "img2tab" for c in documented.commands(page))]


_WITH_THE_LONG_ONES = pytest.mark.skipif(
    "IMG2TAB_LONG_COMMANDS" not in os.environ, reason="takes long: `make commands` types it"
)


def begins(command: documented.Documented, starts) -> str | None:
    words = " ".join(command.words[1:])
    return next((start for start in starts if f"{words} ".startswith(f"{start} ") or words.startswith(start)), None)


@pytest.fixture(scope="module")
def typed(studio, tmp_path_factory):
    """A folder with what the documents name, a visitor's folder with a small table: the command -> its result."""
    folder, patch = tmp_path_factory.mktemp("reader"), pytest.MonkeyPatch()
    table = studio.table()
    psi = np.asarray(table.psi[:FACES])  # the first rows lie together on disk
    drawn = _photos(studio, table, psi)
    home = tmp_path_factory.mktemp("home")
    tables.write_table(
        home / "tables" / "default",
        lambda part: psi[part],
        table.labels.iloc[:FACES],
        targets=table.targets,
        layout=table.layout,
        backbone=table.backbone,
        key="small",
    )
    _write_files(folder, drawn, psi[: 2 * PHOTOS], table.backbone)
    patch.setenv("IMG2TAB_HOME", str(home))
    patch.chdir(folder)
    runner, app = CliRunner(), reference.app()

    pages: list[str] = []

    def type_it(command: documented.Documented):
        if pages[-1:] != [command.page]:  # every page begins without a classifier of one's own
            shutil.rmtree(home / "models", ignore_errors=True)
            pages.append(command.page)
        words = [name for word in command.words[1:] for name in (sorted(glob.glob(word)) or [word])]
        return runner.invoke(app, words)

    yield type_it
    patch.undo()


def _photos(studio, table, psi: np.ndarray) -> list[tuple[np.ndarray, int]]:
    """Drawn faces uint8 (256, 256, 3) with whether they smile, as many as do as do not."""
    from img2tab_core.base.records import StyleCode

    smiles = table.labels["smiling"].to_numpy()[: len(psi)]
    rows = np.concatenate([np.flatnonzero(smiles == which)[: PHOTOS // 2] for which in (0, 1)])
    return [(studio.render(StyleCode.of(psi[row]), size=256), int(smiles[row])) for row in rows]


def _write_files(folder: Path, drawn: list[tuple[np.ndarray, int]], psi: np.ndarray, backbone: str) -> None:
    lines = ["image,smiling,person,lamp"]
    (folder / "photos").mkdir()
    for number, (picture, smiles) in enumerate(drawn):
        Image.fromarray(picture).save(folder / "photos" / f"{number:02}.jpg")
        lines.append(f"{number:02}.jpg,{smiles},p{number},{('left', 'right')[number // 2 % 2]}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    (folder / "rows.csv").write_text("smiling\n" + "\n".join(str(smiles) for _ in "12" for _, smiles in drawn) + "\n")
    named = {"photos": np.array(["photo.jpg"]), "backbone": np.array(backbone)}
    np.savez(folder / "codes.npz", psi=psi[:1], w=np.zeros((1, 23, 512), np.float32), **named)
    shutil.copy(folder / "photos" / "03.jpg", folder / "photo.jpg")
    weights = [tensor(np.array([[4, -4], [0, 0], [0, 0]], np.float32), "w"), tensor(np.zeros(2, np.float32), "b")]
    nodes = [
        node("GlobalAveragePool", ["images"], ["means"]),
        node("Flatten", ["means"], ["flat"]),
        node("Gemm", ["flat", "w", "b"], ["odds"]),
    ]
    ends = [value("images", ("n", 3, 64, 64))], [value("odds", ("n", 2))]
    (folder / "smile.onnx").write_bytes(onnx.model(onnx.graph(nodes, *ends, weights)))


def _cases():
    seen = set()
    for page in PAGES:
        for command in documented.commands(page):
            if command.program != "img2tab" or begins(command, NOT_TYPED) or command.words in seen:
                continue
            seen.add(command.words)
            marks = [_WITH_THE_LONG_ONES] if begins(command, LONG) else []
            yield pytest.param(command, marks=marks, id=f"{command.page}: {' '.join(command.words[1:])[:70]}")


@pytest.mark.parametrize("command", [*_cases()])
def test_a_documented_command_does_what_it_should_when_it_is_typed(typed, command):
    result = typed(command)
    assert result.exit_code == 0, f"{command.line}\n{result.output}\n{result.exception!r}"


def test_every_reason_not_to_type_a_command_belongs_to_one():
    words = [command for page in PAGES for command in documented.commands(page)]
    used = {begins(command, NOT_TYPED) for command in words}
    assert set(NOT_TYPED) <= used | {"fit-calibrations", "worked-example", "planted"}
