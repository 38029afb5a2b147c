"""What the verbs hold in memory, and how fast they are, on a table of CelebA's size: second by second, as a picture.

`python -m tests.large --faces 202599 --out FOLDER` makes a synthetic CelebA and its style table in the folder where
they are not there yet (6 GB), runs the verbs one after the other, each in a process of its own, and writes a VERB.csv
for each, measured.json, measured.md and measured.svg. `--docs` also puts the picture into assets/pictures.

Memory is what the kernel counts for the process and its children together. Its own: what nobody else can give back
without swapping (RssAnon + RssShmem). Mapped: pages of files that it reads where they lie (RssFile), which the kernel
drops when somebody needs the room. A second shows the most of ten looks.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import pty
import re
import resource
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from img2tab_core.tables import TABLE_FILE
from tests import synthetic
from tests.benchmarks.table import ROOT, machine

LIMIT = 8000  # MB that a verb may hold
LOOKS = 10  # a second
WINDOW = 120  # seconds that a rate is taken over
PICTURE = ROOT / "assets" / "pictures" / "large.svg"
TARGET, SENSITIVE, SAMPLE = "smiling", "male", 20_000
KINDS = ("xgboost", "lightgbm", "logistic", "tabnet", "forest")
LINE = re.compile(r"\[[# ]{20}\] +(\d+)%  ([^\r\n\x1b]*)")  # as `terminal.progress` writes it over and over
COUNT = re.compile(r"([\d,]+) of [\d,]+ (?:photos|style codes)")


class Look(NamedTuple):
    """One second of a verb: MB of its own and mapped, the share done in %, photos done so far or 0."""

    second: int
    own: float
    mapped: float
    done: int
    photos: int


@dataclass(frozen=True)
class Measured:
    """A verb that ended: the most MB it held at once, its own and with what is mapped; rate: photos a second or 0; cpu:
    seconds of the processor, which other work does not change as much."""

    verb: str
    command: str
    exit_code: int
    seconds: float
    own: float
    held: float
    rate: float
    last: str
    cpu: float = 0.0


def commands(folder: Path) -> dict[str, list[str]]:
    """The words behind `img2tab` of every verb that can be measured."""
    train = ["train", "--target", TARGET, "--table", "codes", "--out"]
    return {
        "import": ["import", "celeba", str(folder / "celeba"), "--no-align", "--name", "photos"],
        "scores": ["scores", "--target", TARGET, "--table", "codes"],
        "train": [*train, str(folder / "runs" / "train")],
        "audit": ["audit", "--target", TARGET, "--sensitive", SENSITIVE, "--table", "codes"],
        "train-rows": [*train, str(folder / "runs" / "train-rows"), "--rows", str(SAMPLE)],
        **{f"train-{kind}": [*train, str(folder / "runs" / f"train-{kind}"), "--classifier", kind] for kind in KINDS},
    }


def measured(verb: str, words: Sequence[str], folder: Path) -> Measured:
    """Run `img2tab` with these words to its end and look at it ten times a second; its seconds go to VERB.csv.

    Of a verb that goes on where it was stopped the file is continued.
    """
    master, slave = pty.openpty()  # progress is only shown to who sits at a terminal
    environment = os.environ | {"IMG2TAB_HOME": str(folder / "home"), "TERM": "dumb"}
    began, before = time.monotonic(), _cpu()
    process = subprocess.Popen(
        [sys.executable, "-m", "img2tab_core.cli.main", *words],
        stdout=subprocess.PIPE,
        stderr=slave,
        text=True,
        cwd=ROOT,
        env=environment,
    )
    os.close(slave)
    told: list[str] = [""]
    threading.Thread(target=_follow, args=(master, told), daemon=True).start()
    printed: list[str] = []
    reader = threading.Thread(target=lambda: printed.extend(process.stdout or ()), daemon=True)
    reader.start()
    file = folder / f"{verb}.csv"
    earlier = looks_of(file)
    start, looks = earlier[-1].second + 1 if earlier else 0, []
    with file.open("a", newline="") as stream:
        writer = csv.writer(stream)
        if not earlier:
            writer.writerow(Look._fields)
        while process.poll() is None:
            second, own, mapped = int(time.monotonic() - began), 0.0, 0.0
            while process.poll() is None and int(time.monotonic() - began) == second:
                own_now, mapped_now = _memory(process.pid)
                own, mapped = max(own, own_now), max(mapped, mapped_now)
                time.sleep(1 / LOOKS)
            looks.append(Look(start + second, own, mapped, *_progress(told[0])))
            writer.writerow(looks[-1])
            stream.flush()
    reader.join()
    counted = [look for look in looks if look.photos]
    passed = counted[-1].second - counted[0].second if counted else 0
    return Measured(
        verb=verb,
        command=shlex.join(["img2tab", *(str(word).removeprefix(f"{folder}/") for word in words)]),
        exit_code=process.returncode,
        seconds=time.monotonic() - began,
        own=max((look.own for look in looks), default=0.0),
        held=max((look.own + look.mapped for look in looks), default=0.0),
        rate=(counted[-1].photos - counted[0].photos) / passed if passed else 0.0,
        last=(printed[-1].strip() if printed else told[0].strip()[-200:]),
        cpu=_cpu() - before,
    )


def looks_of(file: Path) -> list[Look]:
    """What `measured` wrote so far; [] where there is nothing yet."""
    if not file.exists():
        return []
    with file.open(newline="") as stream:
        rows = [row for row in list(csv.reader(stream))[1:] if len(row) == len(Look._fields)]
    return [Look(int(row[0]), float(row[1]), float(row[2]), int(row[3]), int(row[4])) for row in rows]


def _follow(master: int, told: list[str]) -> None:
    """Keep the end of what a process writes to its terminal in told[0]."""
    while True:
        try:
            part = os.read(master, 4096)
        except OSError:  # the last one who could write is gone
            part = b""
        if not part:
            os.close(master)
            return
        told[0] = (told[0] + part.decode(errors="replace"))[-4096:]


def _progress(told: str) -> tuple[int, int]:
    """(share done in %, photos done) by the last line of progress."""
    lines = LINE.findall(told)
    if not lines:
        return 0, 0
    count = COUNT.search(lines[-1][1])
    return int(lines[-1][0]), int(count[1].replace(",", "")) if count else 0


def _cpu() -> float:
    """Seconds of the processor that children took which have ended, and theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _memory(pid: int) -> tuple[float, float]:
    """MB of a process and all its children, their own and mapped."""
    own = mapped = 0
    for each in _family(pid):
        try:
            status = Path(f"/proc/{each}/status").read_text()
        except OSError:  # it just ended
            continue
        rows = (row.partition(":") for row in status.splitlines() if row.startswith("Rss"))
        kilobytes = {name: int(value.split()[0]) for name, _, value in rows}
        own += kilobytes.get("RssAnon", 0) + kilobytes.get("RssShmem", 0)
        mapped += kilobytes.get("RssFile", 0)
    return round(own * 1.024e-3, 1), round(mapped * 1.024e-3, 1)


def _family(pid: int) -> Iterator[int]:
    yield pid
    try:
        of_threads = [file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return
    for child in " ".join(of_threads).split():
        yield from _family(int(child))


# --- what came of it -----------------------------------------------------------------------------------


def compared(folder: Path) -> list[str]:
    """Lines of Markdown: every run beside the first, on the same test faces."""
    from img2tab_core.audits.paired import paired_comparison
    from img2tab_core.classifiers.runs import load_run
    from img2tab_core.studio import Studio

    os.environ["IMG2TAB_HOME"] = str(folder / "home")
    studio, rows = Studio(), []
    names = [name for name in commands(folder) if (folder / "runs" / name / "run.json").is_file()]
    first = None
    for name in names:
        run = load_run(folder / "runs" / name)
        _, labels, probability = studio.trainer.test_answers(run)
        metrics, difference = run.metrics, ""
        if first is None:
            first = probability
        else:
            pair = paired_comparison(labels, first, probability)
            auc = pair.auc
            difference = f"{pair.accuracy.in_points} | {auc.value:+.4f} ({auc.low:+.4f} to {auc.high:+.4f})"
        low, high = metrics.interval
        rows.append(
            f"| {name.replace('-', ' --', 1) if name == 'train-rows' else name.replace('-', ' ')} | "
            f"{run.rows or len(studio.table('codes').rows('train')):,} | "
            f"{metrics.accuracy:.2%} ({low:.2%} to {high:.2%}) | {metrics.auc:.4f} | {difference or ' | '} | "
            f"{run.seconds:,.0f} |"
        )
    head = "| | faces | accuracy | AUC | accuracy against the first, points | AUC against the first | seconds |"
    return [head, "|---|---|---|---|---|---|---|", *rows] if rows else []


def table_of(results: Sequence[Measured]) -> list[str]:
    """Lines of Markdown: a row for every verb."""
    head = "| verb | seconds | of the processor | photos a second | its own, at most | with what is mapped |"
    rows = [
        f"| `{each.command}` | {each.seconds:,.0f} | {f'{each.cpu:,.0f}' if each.cpu else ''} | "
        f"{f'{each.rate:.1f}' if each.rate else ''} | "
        f"{each.own / 1000:.2f} GB | {each.held / 1000:.2f} GB |"
        for each in results
    ]
    return [head, "|---|---|---|---|---|---|", *rows]


def draw(folder: Path, verbs: Sequence[str], file: Path, faces: int) -> None:
    """For every verb the memory over time, its own and mapped, and below it the photos a second or the share done."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "img2tab"  # the same file for the same numbers
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        2, len(verbs), figsize=(3.1 * len(verbs), 4.2), layout="constrained", sharex="col", squeeze=False
    )
    for above, below, verb in zip(*axes, verbs, strict=True):
        looks = np.array(looks_of(folder / f"{verb}.csv"), float)  # (s, 5)
        own, mapped, done, photos = looks[:, 1:].T
        minutes = np.arange(len(looks)) / 60  # while all was paused, nobody looked
        above.fill_between(minutes, own / 1000, color="#2E5E8C", linewidth=0, label="its own")
        above.fill_between(
            minutes, own / 1000, (own + mapped) / 1000, color="#B9CCE0", linewidth=0, label="mapped files"
        )
        above.axhline(LIMIT / 1000, color="#808495", linestyle=":")
        above.set(title=verb, ylim=(0, 1.1 * LIMIT / 1000))
        if photos.any():
            below.plot(minutes[WINDOW:], _rate(looks), color="#2E5E8C", linewidth=1)
            below.set(ylabel="photos a second")
        elif not done.any():
            below.text(0.5, 0.5, "tells of no progress", transform=below.transAxes, ha="center", color="#808495")
            below.set_yticks([])
        else:
            below.plot(minutes, done, color="#2E5E8C", linewidth=1)
            below.set(ylabel="done, %", ylim=(0, 105))
        below.set(xlabel="minutes")
        for axis in (above, below):
            axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set(ylabel=f"GB, {faces:,} faces")
    axes[0, -1].legend(frameon=False, fontsize=8)
    figure.savefig(file, metadata={"Date": None})


def _rate(looks: np.ndarray) -> np.ndarray:
    """Photos a second over the last `WINDOW` seconds; looks (s, 5) -> float (s - WINDOW,)."""
    photos = looks[:, 4]
    return np.clip(photos[WINDOW:] - photos[:-WINDOW], 0, None) / WINDOW


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=sum(synthetic.PARTS))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--verbs", default="scores,train,audit,import", help="in this order; also train-rows, train-KIND"
    )
    parser.add_argument("--docs", action="store_true", help="put the picture into assets/pictures")
    given = parser.parse_args()
    folder, verbs = given.out.resolve(), given.verbs.split(",")
    choice = commands(folder)
    if unknown := [verb for verb in verbs if verb not in choice]:
        raise SystemExit(f"--verbs must be some of {', '.join(choice)}, got {unknown[0]!r}.")
    (folder / "runs").mkdir(parents=True, exist_ok=True)
    if "import" in verbs and not (folder / "celeba" / "list_eval_partition.txt").is_file():
        synthetic.write_photos(folder / "celeba", given.faces)
    table = folder / "home" / "tables" / "codes"
    if verbs != ["import"] and not (table / TABLE_FILE).is_file():
        synthetic.write_table(table, given.faces)
    file = folder / "measured.json"
    results = {row["verb"]: Measured(**row) for row in (json.loads(file.read_text())["verbs"] if file.exists() else [])}
    for verb in verbs:
        results[verb] = measured(verb, choice[verb], folder)
        file.write_text(
            json.dumps({"machine": machine(), "verbs": [asdict(row) for row in results.values()]}, indent=1)
        )
        row = results[verb]
        print(
            f"{verb}: {row.seconds:,.0f} s, {row.own:,.0f} MB its own, {row.held:,.0f} MB held; {row.last}", flush=True
        )
    lines = [*table_of(list(results.values())), "", *compared(folder)]
    (folder / "measured.md").write_text("\n".join(lines) + "\n")
    ended = {verb for verb, result in results.items() if result.exit_code == 0}
    shown = [verb for verb in ("import", "scores", "train", "audit") if verb in ended]
    draw(folder, shown or verbs, folder / "measured.svg", given.faces)
    if given.docs:
        PICTURE.write_bytes((folder / "measured.svg").read_bytes())
    print("\n".join(lines))


if __name__ == "__main__":
    main()
