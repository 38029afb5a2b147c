"""What a save survives: killed, or refused by the disk, at each of its system calls; `python -m tests.faults`.

One process is prepared and forked for every call: the fork arms the library of tests/faults.c (LD_PRELOAD) and saves,
another one then reads what is there as a fresh process does.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

KILL = -int(signal.SIGKILL)
FAULTS = {"kill": KILL, "full": errno.ENOSPC, "io": errno.EIO, "readonly": errno.EROFS}
SOURCE = Path(__file__).with_name("faults.c")


class Save(NamedTuple):
    """before: makes the old state in a visitor's folder; save: the save; state: what can be read then, comparable."""

    before: Callable[[Path], object]
    save: Callable[[Path], object]
    state: Callable[[Path], object]


class Outcome(NamedTuple):
    """What one save survived: how many calls it makes, after how many faults the old or the new state was there.

    sentences: faults that the save told in a sentence. broken: what else happened, a line each; order: names that
    were on the disk before their bytes, a line each.
    """

    calls: int
    faults: int
    old: int
    new: int
    sentences: int
    broken: list[str]
    order: list[str]


# --- the saves ---------------------------------------------------------------------------------------------------


def saves(folder: Path, *, own: bool = True) -> dict[str, Save]:
    """Every save of the product, by its name; what they need is imported and prepared here, once, in the folder.

    own: also what "own classifier" needs, which is ONNX Runtime: forks of a larger process take longer.
    """
    import numpy as np
    import pandas as pd

    from img2tab_core import tables, weights
    from img2tab_core.backbones.registry import added_backbones, backbone_key, changing_backbones
    from img2tab_core.base import files
    from img2tab_core.base.layout import StyleLayout
    from img2tab_core.base.records import DEFAULT_BACKBONE, Metrics, Target
    from img2tab_core.classifiers import models, runs
    from img2tab_core.classifiers.logistic import LogisticConcepts
    from img2tab_core.cli import terminal
    from img2tab_core.concepts import description, names
    from img2tab_core.sessions.store import Sessions
    from img2tab_core.tables import brought, calibrations
    from img2tab_core.tables.importing import import_photos
    from img2tab_core.tables.sources import folder_source
    from img2tab_core.weights import store

    layout = StyleLayout((8,))
    rng = np.random.default_rng(0)
    psi, labels = rng.normal(size=(40, 8)).astype(np.float32), pd.DataFrame({"kind": np.arange(40) % 2}).astype(np.int8)
    target = Target("kind", "Kind", ("plain", "special"), "by hand")

    def nothing(home: Path):
        home.mkdir(parents=True, exist_ok=True)

    def table(home: Path, key: str = "old", shift: float = 0):
        """Write the table `toy` and open it."""
        return tables.write_table(
            home / "tables" / "toy",
            lambda rows: psi[rows] + np.float32(shift),
            labels,
            targets=[target],
            layout=layout,
            backbone="made-by-hand",
            key=key,
        )

    def read_table(home: Path):
        opened = tables.open_table(home / "tables" / "toy")
        return opened.key, float(opened.psi.sum()), float(opened.stats.mean.sum())

    def run(excluded: frozenset[int], accuracy: float) -> runs.Run:
        model = LogisticConcepts(excluded=excluded).fit(psi, labels["kind"].to_numpy())
        metrics = Metrics(accuracy, (0.8, 0.95), 0.95, 0.3, ((9, 1), (1, 9)), 20)
        return runs.Run("toy-kind-1", "toy", "kind", model, excluded, 0, metrics, 0.1, table_key="old")

    first, second = run(frozenset(), 0.9), run(frozenset({3}), 0.8)

    def read_run(home: Path):
        if not runs.has_model("toy-kind-1"):
            return None
        kept = runs.open_kept("toy-kind-1")
        return sorted(kept.excluded), kept.metrics.accuracy, kept.classifier.weights_.tobytes()

    def sessions(home: Path) -> Sessions:
        return Sessions(f"sqlite:///{home}/sessions.db")

    def with_session(home: Path):
        opened, whole = sessions(home), table(home)
        whole = replace(whole, targets=(target, replace(target, name="odd")))
        session = opened.create("audit", "ann", whole, "kind", ["odd"], "first notes")
        opened.start_run(session, None, "catboost", 0, [1, 2])
        opened.close()

    def read_session(home: Path):
        opened = sessions(home)
        session = opened.open("audit")
        # the process that began the run is gone, which is told when it is looked at
        runs_of = [(each.number, each.run_id) for each in opened.runs(session)]
        # saved again it is logged again
        log = sorted({entry.what for entry in opened.log(session)} - {"run interrupted"})
        opened.close()
        return session.notes, session.current, runs_of, log

    def set_notes(home: Path):
        opened = sessions(home)
        opened.set_notes(opened.open("audit"), "second notes", who="ann")
        opened.close()

    def finish(home: Path):
        opened = sessions(home)
        if opened.run(opened.open("audit"), 1).state != "done":  # as whoever repeats it sees
            opened.finish_run(1, "toy-kind-1", {"accuracy": 0.9})
        opened.close()

    def text_of(*parts: str) -> Callable[[Path], object]:
        return lambda home: home.joinpath(*parts).read_text()

    def photos(home: Path):
        folder = home / "photos"
        folder.mkdir(parents=True)
        for number in range(24):
            (folder / f"{number:02d}.jpg").write_bytes(str(number).encode())
        rows = [f"{number:02d}.jpg,{number % 2}" for number in range(24)]
        (folder / "labels.csv").write_text("\n".join(["image,smiling", *rows]))

    def align(data: bytes):
        return np.full((8, 8, 3), int(data), np.uint8), 1

    def imported(home: Path):
        source = folder_source(home / "photos", home / "photos" / "labels.csv", align=align)
        backbone = SimpleNamespace(
            name="toy",
            key="toy",
            layout=layout,
            invert=lambda faces: np.repeat(faces[:, 0, 0, :1], 512, axis=1).astype(np.float32),
            styles=lambda w: np.array(w[:, :8]),
        )
        import_photos(source, backbone, name="mine")

    def read_import(home: Path):
        place = home / "tables" / "mine"
        return float(tables.open_table(place).psi.sum()) if place.exists() else None

    def upload(number: int) -> Callable[[Path], object]:
        names_of = [f"{k}.png" for k in range(3)]
        return lambda home: brought.bring_uploads(
            "mine", [(name, b"%d" % number) for name in names_of], f"image,kind\n{number}".encode(), backbone="toy"
        )

    def read_upload(home: Path):
        place = home / "uploads" / "mine"
        return len(brought.waiting()), [file.read_bytes() for file in sorted(place.iterdir())]

    def calibration(slope: float) -> Callable[[Path], object]:
        made = calibrations.Calibration("catboost", slope, 0.1, 100, "by hand", "2026-01-01")
        return lambda home: calibrations.keep_calibration(tables.open_table(home / "tables" / "toy"), "kind", made)

    def read_calibration(home: Path):
        return calibrations.calibration_of(tables.open_table(home / "tables" / "toy"), "kind", "catboost").slope

    def describe(title: str) -> Callable[[Path], object]:
        shipped = description.open_description(DEFAULT_BACKBONE, backbone_key(DEFAULT_BACKBONE))
        few = {"read": np.zeros((1, 0, 2, 512), np.float16), "families": (replace(shipped.families[0], name=title),)}
        made = replace(shipped, backbone="toy", backbone_key="toy", names={}, **few)
        return lambda home: description.keep(made)

    def read_description(home: Path):
        opened = description.open_description("toy", "toy")
        return opened and ([family.name for family in opened.families], opened.key)

    bring_own, read_own = _own_classifier(models, folder) if own else (nothing, nothing)
    fetch, read_weights = _weights(weights, store, folder)

    def backbone(home: Path):
        with changing_backbones() as added:
            added["other"] = {"folder": "2", "file": "b.pt", "added": "today"}

    def backbones(home: Path):
        files.keep_json(home / "backbones.json", {"mine": {"folder": "1", "file": "a.pt", "added": "today"}})

    def report(page: str) -> Callable[[Path], object]:
        return lambda home: files.write_text(home / "report.html", page * 5000)

    return {
        "run, the first of its id": Save(nothing, lambda home: runs.keep(first), read_run),
        "run, over another": Save(lambda home: runs.keep(first), lambda home: runs.keep(second), read_run),
        "session's note": Save(with_session, set_notes, read_session),
        "session's run ends": Save(with_session, finish, read_session),
        "exclusion list": Save(
            lambda home: [nothing(home), (home / "list.json").write_text('{"excluded": [1]}')],
            lambda home: terminal.answer({"excluded": [1, 2]}, "", as_json=False, out=home / "list.json"),
            text_of("list.json"),
        ),
        "concept's name": Save(
            lambda home: names.give(1, "beard", layout=layout, backbone="toy"),
            lambda home: names.give(2, "smile", layout=layout, backbone="toy"),
            lambda home: names.given("toy"),
        ),
        "description": Save(describe("old"), describe("new"), read_description),
        "table, the first": Save(nothing, table, lambda home: _missing(home) or read_table(home)),
        "table, over another": Save(table, lambda home: table(home, "new", 1), read_table),
        "import of photos": Save(photos, imported, read_import),
        "photos brought": Save(upload(1), upload(2), read_upload),
        "calibration": Save(lambda home: [table(home), calibration(1.5)(home)], calibration(2.5), read_calibration),
        "own classifier": Save(lambda home: bring_own(home, "one"), lambda home: bring_own(home, "two"), read_own),
        "backbone's name": Save(backbones, backbone, lambda home: sorted(added_backbones())),
        "model file and its record": Save(lambda home: fetch(home, 1), lambda home: fetch(home, 2), read_weights),
        "report": Save(report("old"), report("new"), text_of("report.html")),
    }


def _missing(home: Path) -> str:
    return "" if (home / "tables" / "toy").exists() else "none"


def small_classifier(weight: float) -> bytes:
    """An ONNX file that answers with the mean of a picture times a weight."""
    import numpy as np

    from tests import onnx_writer as onnx

    nodes = [
        onnx.node("GlobalAveragePool", ["images"], ["means"]),
        onnx.node("Flatten", ["means"], ["flat"]),
        onnx.node("MatMul", ["flat", "weights"], ["odds"]),
    ]
    weights = onnx.tensor(np.full((3, 1), weight, np.float32), "weights")
    takes, gives = onnx.value("images", ("n", 3, 16, 16)), onnx.value("odds", ("n", 1))
    return onnx.model(onnx.graph(nodes, [takes], [gives], [weights]))


def _own_classifier(models, folder: Path) -> tuple[Callable, Callable]:
    """(bring one, read which are there): two small ONNX files, each tried in its process once, and then kept."""
    import numpy as np

    faces = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8)
    made = {}
    for name, weight in {"one": 1.0, "two": 2.0}.items():
        (folder / f"{name}.onnx").write_bytes(small_classifier(weight))
        made[name] = models.examined(folder / f"{name}.onnx", name, models.Wishes(), faces)
    models.examined = lambda file, name, wishes, faces: made[name]

    def bring(home: Path, name: str):
        models.add(folder / f"{name}.onnx", name, models.Wishes(), faces)

    def read(home: Path):
        return {name: models.open_model(name).log_odds(faces).tolist() for name in models.names()}

    return bring, read


def _weights(weights, store, folder: Path) -> tuple[Callable, Callable]:
    """(fetch, read): a checkpoint without a published hash, which its record vouches for."""
    from img2tab_core.weights.manifest import WeightFile

    entry = WeightFile("tiny", "Tiny", "Testing.", "drive", "tiny.pt", "None.", True, drive="1")
    for number in (1, 2):
        (folder / f"{number}.pt").write_bytes(b"PK\x03\x04" + bytes([number]) * 5000)

    def point(home: Path):
        store.MODELS, store.MANIFEST = home / "models", (entry,)

    def fetch(home: Path, number: int):
        point(home)
        weights.fetch("tiny", from_file=folder / f"{number}.pt")

    def read(home: Path):
        point(home)
        return weights.path("tiny").read_bytes()

    return fetch, read


# --- a fault at every call ---------------------------------------------------------------------------------------


def survived(save: Save, fault: str, place: Path) -> Outcome:
    """Save once for every call it makes, with this fault at that call; each time from the old state."""
    base, home, journal = place / "base", place / "home", place / "journal"
    _worked(_done, base, save.before)
    shutil.copytree(base, home)
    old = _worked(save.state, home)
    shutil.rmtree(home)
    shutil.copytree(base, home)
    whole = _worked(_armed, home, save, 0, FAULTS[fault], journal)
    calls = [line.split("\t") for line in journal.read_text().splitlines()]
    new = _worked(save.state, home)
    assert whole is None and old != new and calls, (old, new, len(calls))
    counts, sentences, broken = {"old": 0, "new": 0}, 0, []
    for number, (call, *paths) in enumerate(calls, 1):
        where = f"{fault} at {number}, {call} {' -> '.join(path.removeprefix(str(home)) for path in paths if path)}"
        shutil.rmtree(home)
        shutil.copytree(base, home)
        how, content = _forked(_armed, home, save, number, FAULTS[fault], journal)
        sentences += how == "sentence" and "\n" not in content and "Traceback" not in content
        if how not in (("killed", "done") if fault == "kill" else ("sentence", "done")):
            broken.append(f"{where}: the save {how} {content}")
        how, content = _forked(_read_and_again, home, save)
        if how != "done" or content[0] not in (old, new) or content[1] != new:
            broken.append(f"{where}: then read, and saved again: {how} {content}")
        else:
            counts["old" if content[0] == old else "new"] += 1
    return Outcome(len(calls), len(calls), counts["old"], counts["new"], sentences, broken, _disorder(calls, home))


def _armed(home: Path, save: Save, number: int, fault: int, journal: Path) -> None:
    written = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    ctypes.CDLL(None).faults_arm(os.fsencode(home), number, fault, written)
    save.save(home)


def _done(home: Path, work: Callable) -> None:
    work(home)


def _read_and_again(home: Path, save: Save) -> tuple[object, object]:
    before = save.state(home)
    save.save(home)
    return before, save.state(home)


def _worked(work: Callable, home: Path, *words: object) -> object:
    how, content = _forked(work, home, *words)
    assert how == "done", content
    return content


def _forked(work: Callable, home: Path, *words: object) -> tuple[str, object]:
    """("done", what it returned), ("sentence", its words), ("raised", what) or ("killed", None), of a child process.

    The first of the words is the visitor's folder.
    """
    from img2tab_core.base.errors import Img2TabError

    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        os.environ["IMG2TAB_HOME"] = str(home)
        try:
            answer: tuple[str, object] = ("done", work(home, *words))
        except Img2TabError as error:
            answer = ("sentence", str(error))
        except BaseException as error:  # noqa: BLE001 - whatever it was is what is told
            answer = ("raised", f"{type(error).__name__}: {error}")
        with os.fdopen(writes, "wb") as stream:
            stream.write(pickle.dumps(answer))
        os._exit(0)
    os.close(writes)
    with os.fdopen(reads, "rb") as stream:
        content = stream.read()
    os.waitpid(child, 0)
    return pickle.loads(content) if content else ("killed", None)  # noqa: S301 - what our own child wrote a moment ago


def _disorder(calls: Sequence[Sequence[str]], home: Path) -> list[str]:
    """Where a power cut could leave a kept name without its bytes: a name given before the bytes were on the disk, a
    folder whose new name was not, and bytes of a kept file that nobody waited for."""
    wrong, dirty, folders = [], set(), set()

    def kept(path: str) -> bool:
        parts = Path(path).relative_to(home).parts if path.startswith(f"{home}/") else (".",)
        return not any(part.startswith(".") for part in parts)

    for call, path, to in calls:
        if call in ("write", "pwrite", "sendfile", "truncate", "ftruncate", "ftruncate64"):
            dirty.add(path)
        elif call in ("fsync", "fdatasync"):
            dirty.discard(path)
            folders.discard(path)
        elif call.startswith("rename"):
            moved = {name for name in dirty if name == path or name.startswith(f"{path}/")}
            if moved and kept(to):
                wrong.append(f"{path} -> {to} before {sorted(moved)} were on the disk")
            dirty = dirty - moved | {to + name.removeprefix(path) for name in moved}
            if kept(to):
                folders.add(str(Path(to).parent))
        elif call.startswith("unlink"):
            dirty.discard(path)
    wrong += [f"the names in {folder} were not on the disk at the end" for folder in sorted(folders)]
    return wrong + [f"{path} was not on the disk at the end" for path in sorted(dirty) if kept(path)]


# --- running it --------------------------------------------------------------------------------------------------


def library(folder: Path) -> Path:
    """The library of tests/faults.c, compiled. Raises CalledProcessError where the compiler refuses."""
    made = folder / "faults.so"
    words = ["gcc", "-shared", "-fPIC", "-O1", "-o", str(made), str(SOURCE), "-ldl"]
    subprocess.run(words, check=True, capture_output=True)
    return made


def measured(wanted: Sequence[str], folder: Path) -> dict[str, Outcome]:
    """What saves survive, by "fault: save", from a process with the library; none wanted: every fault of every save."""
    out = folder / "outcomes.json"
    words = [sys.executable, "-W", "ignore::DeprecationWarning", "-m", "tests.faults", "--in", folder, "--out", out]
    environment = {"LD_PRELOAD": str(library(folder)), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [*words, *wanted],
        cwd=SOURCE.parents[1],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return {name: Outcome(*values) for name, values in json.loads(out.read_text()).items()}


def _main(words: list[str]) -> None:
    """[FAULT ...] ["FAULT: SAVE" ...]: print what those saves survive, by default all of them."""
    if words[:1] == ["--in"]:
        _measure(Path(words[1]), Path(words[3]), words[4:])
        return
    with tempfile.TemporaryDirectory() as folder:
        outcomes = measured(words, Path(folder))
    print("fault    save                            calls   old   new  sentences  broken  order")
    for name, outcome in outcomes.items():
        fault, _, save = name.partition(": ")
        print(
            f"{fault:8} {save:30} {outcome.calls:6} {outcome.old:5} {outcome.new:5} {outcome.sentences:10} "
            f"{len(outcome.broken):7} {len(outcome.order):6}"
        )
    for name, outcome in outcomes.items():
        for line in (*outcome.broken[:5], *outcome.order):
            print(f"{name}: {line}")


def _measure(folder: Path, out: Path, wanted: list[str]) -> None:
    outcomes = {}
    own = not wanted or any(word in FAULTS or word.endswith("own classifier") for word in wanted)
    for name, save in saves(folder, own=own).items():
        for fault in FAULTS:
            if not wanted or fault in wanted or f"{fault}: {name}" in wanted:
                with tempfile.TemporaryDirectory(dir=folder) as place:
                    outcomes[f"{fault}: {name}"] = survived(save, fault, Path(place))
    out.write_text(json.dumps(outcomes))


if __name__ == "__main__":
    _main(sys.argv[1:])
