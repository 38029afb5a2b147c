"""The site of the documentation: pages and what they link to gathered in one folder, and built there: `make docs`.

The pages in docs/ link to each other and to files of the repository, as a repository browser wants it. Here every page
gets its place in build/docs/source: what is in docs/ as it lies, other files of the repository under `project/`, the
reference made from the code under `reference/`. Links follow. Zensical builds the site from there, needs no network,
and stops at a link or an anchor that leads nowhere.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

from docs.make import reference

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
OUT = ROOT / "build" / "docs"
PROSE = re.compile(r"^(?P<fence>```|~~~).*?^(?P=fence)[^\n]*$|`[^`\n]+`", re.MULTILINE | re.DOTALL)  # all but this
LINK = re.compile(r"""(?P<before>\]\(\s*<?|^\[[^\]]+\]:\s*|(?:src|href)=")(?P<to>[^()\s>"]+)""", re.MULTILINE)
LISTINGS = {".py": "python", ".toml": "toml"}  # shown as pages


def pages() -> list[Path]:
    """Every page in docs/."""
    return sorted(DOCS.rglob("*.md"))


def place(file: Path) -> str:
    """Where a file of the repository stands in the site's source, from its top."""
    if not file.is_relative_to(DOCS):
        name = f"project/{file.relative_to(ROOT).as_posix()}"
        return f"{name}.md" if file.suffix in LISTINGS else name
    name = file.relative_to(DOCS).as_posix()
    return "index.md" if name == "README.md" else name


def in_prose(text: str, change: Callable[[str], str]) -> str:
    """The text with `change` applied to all that is not code."""
    parts, at = [], 0
    for code in PROSE.finditer(text):
        parts += [change(text[at : code.start()]), code.group()]
        at = code.end()
    return "".join([*parts, change(text[at:])])


def staged(page: Path, text: str) -> tuple[str, set[Path]]:
    """The text of a page of the repository as the site has it, and the files it links to.

    A link into the made reference has no file in docs/ and is left as it is.
    """
    linked: set[Path] = set()

    def moved(match: re.Match) -> str:
        path, mark, anchor = match["to"].partition("#")
        file = (page.parent / unquote(path)).resolve()
        if not path or re.match(r"[a-z][a-z0-9+.-]*:", path) or not file.is_file() or not file.is_relative_to(ROOT):
            return match.group()
        linked.add(file)
        to = os.path.relpath(place(file), os.path.dirname(place(page)) or ".")
        return f"{match['before']}{to}{mark}{anchor}"

    return in_prose(text, lambda prose: LINK.sub(moved, prose)), linked


def gather(source: Path) -> None:
    """Write the whole source of the site: the pages, what they link to, what that links to, and the reference."""
    waiting, done = [*pages()], set()
    while waiting:
        file = waiting.pop()
        if file in done:
            continue
        done.add(file)
        target = source / place(file)
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".md":
            text, linked = staged(file, file.read_text())
            target.write_text(text)
            waiting += linked
        elif file.suffix in LISTINGS:
            name = file.relative_to(ROOT).as_posix()
            target.write_text(f"# {name}\n\n~~~~{LISTINGS[file.suffix]}\n{file.read_text()}~~~~\n")
        else:
            shutil.copyfile(file, target)
    for name, text in reference.pages().items():
        target = source / "reference" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


def settings() -> str:
    """docs/zensical.toml with the made pages of the reference in its navigation."""
    text = (DOCS / "zensical.toml").read_text()
    for folder in ("cli", "python"):
        names = [name for name in reference.pages() if name.startswith(f"{folder}/") and not name.endswith("index.md")]
        text = text.replace(f'"@{folder}"', ", ".join(f'"reference/{name}"' for name in names))
    return text


def build(out: Path) -> Path:
    """Build the site anew below `out` and return its first page. Raises RuntimeError with what is broken."""
    shutil.rmtree(out, ignore_errors=True)
    gather(out / "source")
    (out / "zensical.toml").write_text(settings())
    made = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"],
        cwd=out,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
    )
    if made.returncode:
        told = re.sub(r"\x1b\[[0-9;]*m", "", made.stdout + made.stderr)
        raise RuntimeError(told.partition("Traceback")[0].strip())
    return out / "site" / "index.html"


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the documentation as a site.")
    parser.add_argument("--out", type=Path, default=OUT, help="the folder that is made anew")
    try:
        first = build(parser.parse_args().out)
        print(f"The site is built: {first}\nWith its search: {sys.executable} -m http.server -d {first.parent}")
    except RuntimeError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
