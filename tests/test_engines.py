"""Whoever works, however many, and whichever of them is killed: the same bytes, and nothing is done twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from img2tab_core.backbones import drawn_faces
from img2tab_core.base import files, ray_workers
from img2tab_core.base.engines import HERE, Engine, each
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.records import DEFAULT_BACKBONE
from img2tab_core.base.shards import MOST_TRIES, Shards
from img2tab_core.concepts import moved_pictures, scores
from img2tab_core.concepts.wasserstein import wasserstein
from img2tab_core.tables import faces_of, open_table
from img2tab_core.tables.encoding import PIECE, Encoding, parts_of
from tests import engines

PARTS = [range(start, min(start + 10, 47)) for start in range(0, 47, 10)]  # the last one holds 7 rows
PROCESSES, RAY = Engine(workers=2), Engine("ray", workers=2)


def times(log: Path) -> list[int]:
    """How often each part was taken up."""
    starts = log.read_text().split()
    return [starts.count(str(part.start)) for part in PARTS]


def squares(shards: Shards) -> list[int]:
    return np.concatenate([shards.read(part)["squares"] for part in PARTS]).tolist()


@pytest.fixture(scope="module")
def cluster():
    """A Ray cluster of this machine with 2 cores, which every test of this file shares."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install -e .[ray]")
    with ray_workers.cluster("", 2) as ray:
        yield ray


@pytest.fixture(params=["here", "processes", pytest.param("ray", marks=pytest.mark.slow)])
def engine(request):
    if request.param == "ray":
        request.getfixturevalue("cluster")
    return {"here": HERE, "processes": PROCESSES, "ray": RAY}[request.param]


@pytest.fixture
def shards(tmp_path):
    return Shards(tmp_path / "shards", "0123456789abcdef")


def test_47_rows_in_5_parts_are_answered_once_each_by_every_engine(engine, shards, tmp_path):
    came = []
    assert each(engines.Squares(tmp_path / "log"), PARTS, shards, engine=engine, progress=came.append)
    assert squares(shards) == [row * row for row in range(47)]
    assert sorted(came, key=lambda part: part.start) == PARTS and times(tmp_path / "log") == [1] * 5
    assert each(engines.Squares(tmp_path / "log"), PARTS, shards, engine=engine) and times(tmp_path / "log") == [1] * 5


def test_a_script_without_a_guard_has_5_parts_answered_by_2_processes_and_runs_once(shards, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(f"""
from pathlib import Path
from img2tab_core.base import engines, shards
from tests.engines import Squares

print("Here.")
parts = [range(start, min(start + 10, 47)) for start in range(0, 47, 10)]
where = shards.Shards(Path({str(shards.folder)!r}), {shards.key!r})
assert engines.each(Squares(Path({str(tmp_path / "log")!r})), parts, where, engine=engines.Engine(workers=2))
""")
    done = subprocess.run([sys.executable, script], env=os.environ | {"PYTHONPATH": os.getcwd()}, capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"Here.\n"), done.stderr
    assert squares(shards)[46] == 46 * 46 and times(tmp_path / "log") == [1] * 5


def test_work_stopped_after_some_of_5_parts_goes_on_with_another_engine_and_repeats_none(engine, shards, tmp_path):
    came = []
    assert not each(
        engines.Squares(tmp_path / "log"), PARTS[:3], shards, progress=came.append, stopped=lambda: len(came) == 2
    )
    assert [shards.file(part).exists() for part in PARTS] == [True, True, False, False, False]
    assert each(engines.Squares(tmp_path / "log"), PARTS, shards, engine=engine)
    assert times(tmp_path / "log")[:2] == [1, 1] and squares(shards)[46] == 46 * 46


def test_work_stopped_after_1_of_20_parts_ends_at_once_and_2_processes_are_gone(shards, tmp_path):
    parts, came = [range(start, start + 100) for start in range(0, 2_000, 100)], []
    work = engines.Squares(tmp_path / "log", seconds=0.3)
    assert not each(work, parts, shards, engine=PROCESSES, progress=came.append, stopped=lambda: bool(came))
    assert 1 <= len(came) <= 20 - len(shards.missing(parts)) <= 4  # a shard may be there whose worker has not said so
    assert not [words for words in engines.workers_of(os.getpid()).values() if "process_workers" in words]


@pytest.mark.parametrize(
    ("who", "harm"), [("processes", "killed"), ("processes", "out of memory"), ("ray", "out of memory")]
)
def test_a_worker_that_is_killed_or_lacks_memory_at_1_of_5_parts_is_replaced(who, harm, shards, tmp_path, request):
    if who == "ray":
        request.getfixturevalue("cluster")
    assert each(
        engines.Squares(tmp_path / "log", harm), PARTS, shards, engine={"processes": PROCESSES, "ray": RAY}[who]
    )
    assert squares(shards) == [row * row for row in range(47)]
    assert times(tmp_path / "log")[2] == 2 and not list(shards.folder.glob(".*.tries"))


@pytest.mark.parametrize("who", ["processes", pytest.param("ray", marks=[pytest.mark.slow, pytest.mark.long])])
def test_a_part_that_ends_3_workers_is_given_up_and_the_sentence_names_its_rows(who, shards, tmp_path, request):
    if who == "ray":
        request.getfixturevalue("cluster")
    work = engines.Squares(tmp_path / "log", "killed", once=False)
    with pytest.raises(Img2TabError, match="Rows 20 to 29 ended the process that worked on them 3 times"):
        each(work, PARTS, shards, engine={"processes": PROCESSES, "ray": RAY}[who])
    assert times(tmp_path / "log")[2] == MOST_TRIES == 3
    assert each(engines.Squares(tmp_path / "log"), PARTS, shards)  # taken up again it is tried again


def test_what_1_part_refuses_is_said_in_its_own_words_by_every_engine(engine, shards, tmp_path):
    with pytest.raises(Img2TabError, match=r"^Row 20 is a 20\. Leave it out\.$"):
        each(engines.Squares(tmp_path / "log", "refused"), PARTS, shards, engine=engine)
    assert not shards.file(PARTS[2]).exists()


def test_200000_photos_are_782_shards_of_256_and_100_photos_are_4_of_32():
    assert [(len(parts_of(n)), len(parts_of(n)[0])) for n in (100, 2_000, 6_400, 200_000, 10_000_000)] == [
        (4, 32), (63, 32), (100, 64), (782, 256), (39_063, 256),
    ]  # fmt: skip
    assert all(part.start % 32 == 0 for part in parts_of(6_500)) and parts_of(6_500)[-1].stop == 6_500


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"name": "spark"}, "--engine must be local or ray, got 'spark'"),
        ({"address": "10.0.0.1:6379"}, "--address is of a Ray cluster"),
        ({"gpus": True}, "--gpus is of a Ray cluster"),
        ({"name": "ray", "workers": 0}, "at least 1 with --engine ray, got 0"),
        ({"workers": 10_001}, "1 to 10,000, got 10001"),
    ],
)
def test_5_engines_that_there_are_not(options, sentence):
    with pytest.raises(Img2TabError, match=sentence):
        Engine(**options)


def test_without_ray_1_sentence_says_how_to_install_it(shards):
    code = (
        "import sys; sys.modules['ray'] = None\n"
        "from pathlib import Path; from img2tab_core.base import engines, shards\n"
        f"kept = shards.Shards(Path({str(shards.folder)!r}), '0')\n"
        "engines.each(None, [range(1)], kept, engine=engines.Engine('ray'))"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=engines.ROOT, capture_output=True, text=True)
    assert "Img2TabError: --engine ray needs Ray, which is not installed. Run `pip install -e .[ray]`" in ended.stderr


def test_cards_that_a_cluster_of_0_cards_has_not_are_refused(cluster, shards, tmp_path):
    if cluster.cluster_resources().get("GPU"):
        pytest.skip("this machine has a graphics card")
    with pytest.raises(Img2TabError, match="--gpus needs graphics cards"):
        each(engines.Squares(tmp_path / "log"), PARTS, shards, engine=Engine("ray", gpus=True))


def test_every_engine_keeps_the_bits_of_the_local_distances_of_300_faces(engine, toy_home, monkeypatch):
    home, heard = toy_home(300, 30, kind=1.0, group_from=15), []
    monkeypatch.setenv("IMG2TAB_HOME", str(home))
    faces = faces_of(open_table(home / "tables" / "toy"), "kind")
    local, file = scores.distances(faces), home / "distances" / "toy-kind.npz"
    kept = file.read_bytes()
    file.unlink()
    answer = scores.over_shards(faces, 4, engine=engine, progress=lambda share, text: heard.append(text))
    assert np.array_equal(answer.distance, local[0]) and np.array_equal(answer.direction, local[1])
    assert file.read_bytes() == kept and [place.name for place in file.parent.iterdir()] == [file.name]
    assert heard[-1] == "12 of 12 answers of shards"


# --- the real encoder ---------------------------------------------------------------------------------------------


def test_the_bits_of_w_of_43_faces_are_the_same_with_1_and_2_threads_here_and_in_other_processes(studio, tmp_path):
    import torch

    backbone, bits = studio.backbone(), []
    work = Encoding(engines.Noise(), backbone, (512,))
    parts = [range(32), range(32, 43)]  # pieces of 8, and of 7 and 3 where one is missing or it is the end
    assert PIECE == 8
    threads = torch.get_num_threads()
    for name, engine, many in (("1", HERE, 1), ("2", HERE, 2), ("processes", PROCESSES, threads)):
        shards = Shards(tmp_path / name, "0123456789ab")
        try:
            torch.set_num_threads(many)
            assert each(work, parts, shards, engine=engine)
        finally:
            torch.set_num_threads(threads)
        bits.append(b"".join(shards.read(part)["w"].tobytes() for part in parts))
    assert len(bits[0]) == 42 * 512 * 4 and bits[0] == bits[1] == bits[2]
    answer = shards.read(parts[0])
    assert answer["rows"].tolist() == [*range(5), *range(6, 32)]
    assert answer["faces"].tolist() == [1] * 5 + [0] + [1] * 26 and answer["reasons"].tolist() == ["No face was found."]


def test_5_faces_and_3_moved_ones_drawn_by_a_process_of_its_own_are_the_same_files(studio, tmp_path, monkeypatch):
    backbone, table, described = studio.backbone(), studio.table(), studio.described(DEFAULT_BACKBONE)
    rows, places = np.array([3, 50, 51, 52, 19_000]), [[0, 2 * len(described.families)], [5]]
    pictures = []
    built = files.home() / "tables"
    for name, engine in (("here", HERE), ("there", Engine(workers=1))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tables").symlink_to(built)
        monkeypatch.setenv("IMG2TAB_HOME", str(tmp_path / name))
        how = {"size": 128, "engine": engine, "progress": lambda share, text: None}
        drawn_faces.draw_ahead(table, backbone, rows, **how)
        moved_pictures.draw_ahead(backbone, table, described, places, **how)
        place = tmp_path / name / "drawn"
        assert len(list(place.rglob("*.webp"))) == (0 if engine == HERE else 8)
        list(drawn_faces.drawn(table, backbone, rows, size=128))
        for face, those in enumerate(places):
            moved_pictures.moved_face(backbone, table, described, face, those, size=128)
        pictures.append({str(file.relative_to(place)): file.read_bytes() for file in sorted(place.rglob("*.webp"))})
    assert len(pictures[0]) == 8 and pictures[0] == pictures[1]


def _until(happens, process: subprocess.Popen, seconds: float = 300) -> None:
    until = time.monotonic() + seconds
    while not happens() and time.monotonic() < until:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)


def _importing(photos: Path, home: Path, *options: str) -> subprocess.Popen:
    """`img2tab import folder --no-align` of these photos as table `mine`; its answer is on standard output."""
    words = engines.command(photos, "mine", "--no-align", *options)
    env = {**os.environ, "IMG2TAB_HOME": str(home)}
    return subprocess.Popen(words, cwd=engines.ROOT, env=env, stdout=subprocess.PIPE, text=True, start_new_session=True)


def _kill_a_worker(process: int) -> None:
    os.kill(next(iter(engines.workers_of(process))), signal.SIGKILL)


@pytest.mark.slow
def test_160_photos_are_the_same_bytes_and_distances_locally_and_by_ray_with_a_worker_killed(
    shared_photos, studio, cluster, tmp_path
):
    """`python -m tests.engines --count 2000 --kill` is the same with 2,000; photos 7 and 11 are damaged."""
    photos = engines.make_photos(tmp_path / "photos", shared_photos, 160)
    local, far = tmp_path / "local", tmp_path / "far"
    here = _importing(photos, local, "--workers", "2")
    imported = json.loads(here.communicate()[0])
    assert (here.returncode, imported["faces"], imported["photos"]) == (0, 158, 160)
    assert list(imported["skipped"]) == ["000007.jpg", "000011.jpg"]

    there = _importing(photos, far, "--engine", "ray", "--address", cluster.get_runtime_context().gcs_address)
    _until(lambda: len(engines.shards(far, "mine")) >= 2 and engines.workers_of(os.getpid()), there)
    _kill_a_worker(os.getpid())
    answer = json.loads(there.communicate()[0])
    assert there.returncode == 0
    assert engines.bytes_of(far / "tables" / "mine") == engines.bytes_of(local / "tables" / "mine")
    assert answer["skipped"] == imported["skipped"] and answer["key"] == imported["key"]
    one, other = (
        wasserstein(table.psi, table.labels["smiling"].to_numpy(), std=table.stats.std)
        for table in (open_table(home / "tables" / "mine") for home in (local, far))
    )
    assert np.array_equal(one, other) and one.shape == (studio.backbone().layout.total,)


@pytest.mark.slow
@pytest.mark.long
def test_192_photos_stopped_and_resumed_locally_are_those_of_ray_with_its_driver_killed_and_then_a_worker(
    shared_photos, studio, cluster, tmp_path
):
    photos = engines.make_photos(tmp_path / "photos", shared_photos, 192)
    local, far = tmp_path / "local", tmp_path / "far"
    cut = _importing(photos, local, "--workers", "2")
    _until(lambda: len(engines.shards(local, "mine")) >= 2, cut)
    os.killpg(cut.pid, signal.SIGINT)  # as Ctrl+C does
    assert (
        "photos are done and kept. Run the same command again to go on." in json.loads(cut.communicate()[0])["sentence"]
    )
    assert cut.returncode == 130
    goes_on = _importing(photos, local, "--workers", "2")
    imported = json.loads(goes_on.communicate()[0])
    assert (goes_on.returncode, imported["faces"], imported["photos"]) == (0, 190, 192)
    assert 64 <= imported["resumed"] < 192

    killed = _importing(photos, far, "--engine", "ray", "--workers", "2")
    _until(lambda: len(engines.shards(far, "mine")) >= 2, killed)
    below = engines.workers_of(killed.pid)
    assert len(below) == 2
    killed.kill()
    killed.communicate()
    assert not (far / "tables" / "mine").exists()
    until = time.monotonic() + 30
    while any(Path(f"/proc/{number}").exists() for number in below) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{number}").exists() for number in below)

    again = _importing(photos, far, "--engine", "ray", "--address", cluster.get_runtime_context().gcs_address)
    _until(lambda: len(engines.shards(far, "mine")) >= 4 and engines.workers_of(os.getpid()), again)
    _kill_a_worker(os.getpid())
    resumed = json.loads(again.communicate()[0])
    assert again.returncode == 0 and 64 <= resumed["resumed"] < 192
    assert engines.bytes_of(far / "tables" / "mine") == engines.bytes_of(local / "tables" / "mine")
    assert resumed["skipped"] == imported["skipped"] and resumed["key"] == imported["key"]
