"""What README and docs tell a reader to type: commands in `bash` blocks, and every `img2tab ...` in a sentence."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^(?P<indent> *)(?P<mark>```|~~~)(?P<language>[^\n]*)\n(?P<body>.*?)^ *(?P=mark) *$", re.M | re.S)
INLINE = re.compile(r"(?<!`)`((?:\.venv/bin/)?img2tab [^`\n]+)`(?!`)")


@dataclass(frozen=True)
class Documented:
    """A command and the page it stands on; words: as a shell would take them, settings such as A=b left out."""

    page: str
    line: str
    words: tuple[str, ...]

    @property
    def program(self) -> str:
        return Path(self.words[0]).name


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language, without what indents them."""
    found = []
    for fence in FENCE.finditer(page.read_text()):
        if fence["language"].strip() == language:
            indent = len(fence["indent"])
            found.append("\n".join(line[indent:] for line in fence["body"].splitlines()))
    return found


def commands(page: Path) -> list[Documented]:
    """Every command of the page's `bash` blocks in their order; those joined by && one by one, comments left out."""
    return [
        Documented(page.relative_to(ROOT).as_posix(), line.strip(), words)
        for block in blocks(page, "bash")
        for line in block.replace("\\\n", " ").splitlines()
        for words in _parts(line)
    ]


def inline(page: Path) -> list[Documented]:
    """Every `img2tab ...` that a sentence names; it may be shortened, as in `img2tab weights list`."""
    prose = FENCE.sub("", page.read_text())
    return [
        Documented(page.relative_to(ROOT).as_posix(), match, tuple(shlex.split(match)))
        for match in INLINE.findall(prose)
        if "VERB" not in match and "|" not in match
    ]


def _parts(line: str) -> list[tuple[str, ...]]:
    words, parts = shlex.split(line, comments=True), [[]]
    for word in words:
        if word == "&&":
            parts.append([])
        elif parts[-1] or not re.match(r"[A-Z0-9_]+=", word):
            parts[-1].append(word)
    return [tuple(part) for part in parts if part]
