"""What `make bench` measured becomes one table, Markdown and JSON, and a picture of how times grow."""

from __future__ import annotations

import argparse
import json
import os
import platform
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "bench-output"
PICTURE = ROOT / "assets" / "pictures" / "growth.svg"
PAGE = ROOT / "docs" / "measured.md"
MARKS = ("<!-- bench -->", "<!-- /bench -->")  # the place of the table on that page
HEAD = "| what | goal | ours | the plain way | ratio | reached |\n|---|---|---|---|---|---|"


def rows_of(measured: list[dict]) -> list[dict]:
    """One row per thing: seconds of ours and of the plain way, the goal in seconds or as a ratio, extra figures.

    measured: `benchmarks` of pytest-benchmark's JSON, each with extra_info what, way ("ours" or its name), and where
    there is one goal (seconds) or faster (times).
    """
    rows: dict[str, dict] = {}
    empty = {"goal": None, "faster": None, "ours": None, "plain": None, "way": "", "note": ""}
    for one in measured:
        info = one["extra_info"]
        rows |= {row["what"]: empty | row for row in info.get("rows", ())}  # paired by the benchmark itself
        if "what" not in info:
            continue
        row = rows.setdefault(info["what"], {"what": info["what"]} | empty)
        seconds = one["stats"]["median"] * info.get("times", 1)
        if info["way"] == "ours":
            row |= {"ours": seconds} | {name: info[name] for name in ("goal", "faster", "note") if name in info}
        else:
            row |= {"plain": seconds, "way": info["way"]}
    return list(rows.values())


def growth_of(measured: list[dict]) -> list[dict]:
    """One record per series: what grows, over what, the points, and the fitted exponent of seconds ~ size^exponent."""
    series: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for one in measured:
        info = one["extra_info"]
        for given in info.get("series", ()):
            series[given["what"], given["over"]] = [tuple(point) for point in given["points"]]
        if "growth" in info:
            series.setdefault((info["growth"], info["over"]), []).append((info["size"], one["stats"]["median"]))
    return [
        {"what": what, "over": over, "points": sorted(points), "exponent": exponent(sorted(points))}
        for (what, over), points in series.items()
    ]


def figures_of(measured: list[dict]) -> list[dict]:
    """What is measured in MB: what, value, limit."""
    return [figure for one in measured for figure in one["extra_info"].get("figures", ())]


def engines_of(measured: list[dict]) -> dict[str, dict]:
    """Of each engine, by the picture's size: seconds, how far from ours, seconds to prepare; {} for none."""
    return next((one["extra_info"]["engines"] for one in measured if "engines" in one["extra_info"]), {})


def exponent(points: list[tuple[float, float]]) -> float:
    """The slope of the least-squares line through the logarithms."""
    size, seconds = np.log(np.array(points)).T
    return float(np.polyfit(size, seconds, 1)[0])


def markdown(rows: list[dict], growth: list[dict], figures: list[dict]) -> str:
    """The table of docs/measured.md."""
    lines = [HEAD]
    for row in rows:
        ratio = row["plain"] / row["ours"] if row["plain"] else None
        goal = f"{row['goal']:g} s" if row["goal"] else f"{row['faster']:g} x" if row["faster"] else ""
        reached = (
            ""
            if not goal
            else "yes"
            if (row["ours"] <= row["goal"] if row["goal"] else ratio >= row["faster"])
            else "no"
        )
        plain = f"{_seconds(row['plain'])} ({row['way']})" if row["plain"] else ""
        note = f" ({row['note'].rstrip('.')})" if row["note"] else ""
        lines.append(
            f"| {row['what']}{note} | {goal} | {_seconds(row['ours'])} | {plain} | "
            f"{'' if ratio is None else f'{ratio:.1f} x'} | {reached} |"
        )
    lines += [
        f"| {one['what']} | {one['limit']:,} {one.get('unit', 'MB')} | "
        f"{one['value']:,.{0 if 'unit' not in one else 2}f} {one.get('unit', 'MB')} | | | "
        f"{'yes' if one['value'] <= one['limit'] else 'no'} |"
        for one in figures
    ]
    told = [f"{one['what']} over {one['over']}: {one['exponent']:.2f}" for one in growth]
    lines += ["", f"Growth, seconds ~ size to the power of: {'; '.join(told)}."] if told else []
    return "\n".join(lines)


def engines_table(engines: dict[str, dict]) -> str:
    """Milliseconds a picture in every engine, and what is to be known of it."""
    sizes = list(next(iter(engines.values())))
    lines = [
        f"| one picture, ms | {' | '.join(f'{size} px' for size in sizes)} | to prepare | differs by |",
        "|---" * (len(sizes) + 3) + "|",
    ]
    for name, found in engines.items():
        prepared, apart = (max(one[what] for one in found.values()) for what in ("prepared", "apart"))
        times = " | ".join(f"{found[size]['seconds'] * 1000:.0f}" for size in sizes)
        lines.append(
            f"| {name} | {times} | {f'{prepared:.0f} s' if prepared else ''} | "
            f"{f'{apart:.1f} of 255 levels' if apart >= 0.05 else ''} |"
        )
    return "\n".join(lines)


def between_marks(page: str, text: str) -> str:
    """The page with `text`, which ends its last line, in place of what stood between the marks."""
    before, start, rest = page.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not (start and end):
        raise SystemExit(
            f"{PAGE.name} must have {MARKS[0]} and, below it, {MARKS[1]}. Put both back and run this again."
        )
    return f"{before}{start}\n{text}{end}{after}"


def machine() -> dict:
    """What the numbers belong to."""
    import torch

    return {
        "date": date.today().isoformat(),
        "cores": os.cpu_count(),
        "processor": _processor(),
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
    } | {name: version(name) for name in ("torch", "catboost", "numpy", "scipy", "streamlit")}


def draw(growth: list[dict], file: Path) -> None:
    """One small plot per series, both axes logarithmic, with the fitted line and its exponent."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "img2tab"  # the same file for the same numbers
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(growth), figsize=(3.1 * len(growth), 2.9), layout="constrained")
    for axis, one in zip(np.atleast_1d(axes), growth, strict=True):
        size, seconds = np.array(one["points"]).T
        slope, start = np.polyfit(np.log(size), np.log(seconds), 1)
        axis.loglog(size, np.exp(start) * size**slope, color="#808495", linestyle=":")
        axis.loglog(size, seconds, "o", color="#2E5E8C")
        axis.set(title=f"{one['what']}\nexponent {slope:.2f}", xlabel=one["over"], ylabel="seconds")
        axis.title.set_fontsize(9)
        axis.set_xticks(size, [f"{value:,.0f}" for value in size], fontsize=7)
        axis.minorticks_off()
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--docs", action="store_true", help="put the table into docs/measured.md, and the picture beside it"
    )
    into_docs = parser.parse_args().docs
    measured = json.loads((OUT / "raw.json").read_text())["benchmarks"]
    rows, growth, figures, about = rows_of(measured), growth_of(measured), figures_of(measured), machine()
    said = f"{about['date']}, {about['cores']} cores of {about['processor']}, {about['device']}; " + ", ".join(
        f"{name} {about[name]}" for name in ("python", "torch", "catboost", "numpy", "scipy", "streamlit")
    )
    engines = engines_of(measured)
    parts = [markdown(rows, growth, figures), engines_table(engines) if engines else ""]
    parts.append(f"{said}. Medians, warm, ours and the plain way in the same run.")
    text = "\n\n".join(part.strip() for part in parts if part) + "\n"
    found = {"machine": about, "rows": rows, "figures": figures, "growth": growth, "engines": engines}
    (OUT / "bench.json").write_text(json.dumps(found, indent=1))
    (OUT / "bench.md").write_text(text)
    if growth:
        draw(growth, OUT / "growth.svg")
    if into_docs:
        PAGE.write_text(between_marks(PAGE.read_text(), text))
        if growth:
            PICTURE.write_bytes((OUT / "growth.svg").read_bytes())
    print(text)


def _seconds(value: float) -> str:
    return f"{value:.3f} s" if value < 10 else f"{value:,.0f} s"


def _processor() -> str:
    """The processor's name as the system knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


if __name__ == "__main__":
    main()
