"""The same photos imported by every engine, one after the other: how fast, and whether the tables are the same bytes.

Core-seconds are of all processes together, and hardly change where others want the cores too; those of Ray's workers,
which are not the import's own, are not known.

`python -m tests.engines --count 2000` is the table of docs/measured.md; photos of the shared folder under other names.
`--kill` ends a worker of the Ray import half-way.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from img2tab_core.base.errors import Img2TabError

ROOT = Path(__file__).resolve().parents[1]
WAYS = {
    "local, 1 worker": ["--workers", "1"],
    "local, 2 workers": ["--workers", "2"],
    "ray, 1 worker": ["--engine", "ray", "--workers", "1"],
    "ray, 2 workers": ["--engine", "ray", "--workers", "2"],
}
FILES = ("psi.npy", "labels.parquet", "stats.npz", "table.json")


@dataclass(frozen=True)
class Squares:
    """Work of a test: the squares of its rows; `harm` comes to whoever takes up row 20, once or each time."""

    log: Path
    harm: str = ""
    once: bool = True
    seconds: float = 0.0

    def __call__(self):
        def answers(parts):
            for part in parts:
                with self.log.open("a") as stream:
                    stream.write(f"{part.start}\n")
                time.sleep(self.seconds)
                if 20 in part and not (self.once and (self.log.parent / "harmed").exists()):
                    (self.log.parent / "harmed").touch()
                    self.come_to_harm()
                yield {"rows": np.arange(part.start, part.stop), "squares": np.arange(part.start, part.stop) ** 2}

        return answers

    def come_to_harm(self) -> None:
        if self.harm == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.harm == "out of memory":
            resource.setrlimit(resource.RLIMIT_AS, (1 << 30, resource.RLIM_INFINITY))
            np.ones(1 << 30, np.int64)
        if self.harm == "refused":
            raise Img2TabError("Row 20 is a 20. Leave it out.")


@dataclass(frozen=True)
class Noise:
    """`Source.load` of a test: picture number i, and none for number 5."""

    def __call__(self, i: int):
        if i == 5:
            raise Img2TabError("No face was found.")
        return np.random.default_rng(i).integers(0, 256, (256, 256, 3), np.uint8), 1


def make_photos(folder: Path, shared: Path, count: int) -> Path:
    """`count` photos of the shared ones under other names, and labels.csv; number 7 breaks off, 11 is no picture."""
    files = sorted((shared / "congress").glob("*.jpg"))
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"{number:06d}.jpg").symlink_to(files[number % len(files)])
    for number, content in ((7, files[7].read_bytes()[:2000]), (11, b"no picture")):
        (folder / f"{number:06d}.jpg").unlink()
        (folder / f"{number:06d}.jpg").write_bytes(content)
    rows = [f"{number:06d}.jpg,{number % 2},{number // 2 % 2}" for number in range(count)]
    (folder / "labels.csv").write_text("\n".join(["image,smiling,glasses", *rows]) + "\n")
    return folder


def command(folder: Path, name: str, *options: str) -> list[str]:
    """`img2tab import folder` of what `make_photos` made."""
    verb = ["import", "folder", folder, "--labels", folder / "labels.csv", "--name", name, "--json", *options]
    return [sys.executable, "-m", "img2tab_core.cli.main", *map(str, verb)]


def workers_of(process: int) -> dict[int, str]:
    """The processes below one that encode, with what each calls itself: programs of our own, and actors of Ray."""
    below, rows = {process}, []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            stat, words = (place / "stat").read_text(), (place / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        rows.append((int(place.name), int(stat.rpartition(")")[2].split()[1]), words.strip()))
    for _ in range(6):  # Ray's actors are four generations below
        below |= {number for number, parent, _ in rows if parent in below}
    return {
        number: words
        for number, _, words in rows
        if number in below and ("process_workers.serve" in words or words.startswith("ray::MapWorker"))
    }


def shards(home: Path, name: str) -> list[Path]:
    """What an unfinished import has done."""
    return sorted((home / "imports" / name).glob("[0-9a-f]*.npz"))


def bytes_of(table: Path) -> dict[str, str]:
    """The files of a table by the sha256 of their bytes."""
    return {name: hashlib.sha256((table / name).read_bytes()).hexdigest() for name in FILES}


def _kill_half_way(process: int, home: Path, name: str, parts: int) -> None:
    while Path(f"/proc/{process}").exists():
        if len(shards(home, name)) >= parts // 2:
            victim = next(iter(workers_of(process)), None)
            if victim is not None:
                os.kill(victim, 9)
                print(f"    ended worker {victim} with {len(shards(home, name))} of {parts} parts done", flush=True)
                return
        time.sleep(0.05)


def main(words: Sequence[str] | None = None) -> int:
    """Import by every way, print a row each; 1 where two tables differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("IMG2TAB_SHARED", ROOT.parent / "shared")))
    parser.add_argument("--way", action="append", choices=list(WAYS), help="Only these; otherwise all.")
    parser.add_argument("--no-align", action="store_true")
    parser.add_argument("--kill", action="store_true", help="End a worker of the last way half-way.")
    asked = parser.parse_args(words)
    from img2tab_core.tables.encoding import parts_of

    place = Path(tempfile.mkdtemp(prefix="img2tab-engines-"))
    try:
        photos = make_photos(place / "photos", asked.shared / "photos", asked.count)
        tables = []
        for number, way in enumerate(asked.way or WAYS):
            home = place / f"home-{number}"
            options = WAYS[way] + ["--no-align"] * asked.no_align
            start = time.monotonic()
            process = subprocess.Popen(
                command(photos, "mine", *options),
                cwd=ROOT,
                env={**os.environ, "IMG2TAB_HOME": str(home)},
                stdout=subprocess.DEVNULL,
            )
            if asked.kill and way == list(asked.way or WAYS)[-1]:
                parts = len(parts_of(asked.count))
                threading.Thread(target=_kill_half_way, args=(process.pid, home, "mine", parts), daemon=True).start()
            _, status, usage = os.wait4(process.pid, 0)  # of every process below it, too
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                return 1
            seconds, of_cores = time.monotonic() - start, usage.ru_utime + usage.ru_stime
            tables.append(bytes_of(home / "tables" / "mine"))
            same = tables[-1] == tables[0]
            rate = f"{asked.count / seconds:.1f} photos a second, {seconds:.0f} s"
            if not way.startswith("ray"):
                rate += f", {of_cores:.0f} core-seconds"
            print(f"{way}: {rate}, the same bytes: {same}", flush=True)
        return int(any(table != tables[0] for table in tables))
    finally:
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
