"""The documents for people: the README stays short, and every link and picture leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.benchmarks.table import MARKS, PAGE

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
README_LINES = 200

_CODE = re.compile(r"^(```|~~~).*?^\1[^\n]*$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_FENCE = re.compile(r"^(```|~~~).*?^\1[^\n]*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(
    r"""\]\(\s*<?([^()\s>]+)>?(?:\s+"[^"]*")?\s*\)|^\[[^\]]+\]:\s*(\S+)|(?:src|href)="([^"]+)\"""", re.MULTILINE
)
_HEADING = re.compile(r"^#{1,6} +(.+?) *#* *$", re.MULTILINE)


def links_of(text: str) -> list[str]:
    """Where links and pictures of a Markdown text lead; what stands in code is none."""
    return [next(filter(None, match.groups())) for match in _LINK.finditer(_CODE.sub("", text))]


def anchors_of(text: str) -> set[str]:
    """Anchors of headings in a repository browser: lower case, spaces as hyphens, a number where one comes again."""
    anchors: set[str] = set()
    for heading in _HEADING.findall(_FENCE.sub("", text)):
        words = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        again = sum(1 for known in anchors if re.fullmatch(rf"{re.escape(anchor)}(-\d+)?", known))
        anchors.add(f"{anchor}-{again}" if again else anchor)
    return anchors


def broken(page: Path) -> list[str]:
    """The relative links of a page that lead to no file of the repository, or to no heading of it."""
    wrong = []
    for link in links_of(page.read_text()):
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        file = (page.parent / path).resolve() if path else page
        if not (file.is_file() and file.is_relative_to(ROOT)):
            wrong.append(f"{link}: no such file")
        elif anchor and anchor not in anchors_of(file.read_text()):
            wrong.append(f"{link}: no such heading")
    return wrong


def test_the_readme_has_at_most_200_lines_and_names_the_two_commands_2_pictures_and_every_page_of_the_docs():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= README_LINES
    assert "make run" in text and "make test" in text
    assert [link for link in links_of(text) if link.endswith((".png", ".svg"))] == [
        "assets/pictures/inspect.png",
        "assets/pictures/yours.png",
    ]
    linked = {link.partition("#")[0] for link in links_of(text)}
    assert {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")} <= linked


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_relative_link_and_picture_leads_to_a_file_and_every_anchor_to_a_heading(page):
    assert broken(page) == []


def test_one_place_of_the_docs_takes_the_table_of_make_bench():
    assert [page for page in PAGES if any(mark in page.read_text() for mark in MARKS)] == [PAGE]
    assert [PAGE.read_text().count(mark) for mark in MARKS] == [1, 1]


def test_links_are_found_in_text_tables_and_pictures_but_not_in_code():
    text = '| [a](b.md#c) | ![d](e.png "title") |\n`[no](no.md)`\n```\n[no](no.md)\n```\n[f]: g.md\n<img src="h.png">\n'
    assert links_of(text) == ["b.md#c", "e.png", "g.md", "h.png"]


def test_anchors_are_those_a_repository_browser_gives():
    text = "# Where does my change go?\n## `make bench`, again\n## A [link](b.md)\n## A link\n```\n# no heading\n```\n"
    assert anchors_of(text) == {"where-does-my-change-go", "make-bench-again", "a-link", "a-link-1"}


def test_a_missing_file_a_missing_heading_and_a_file_outside_the_repository_are_broken(tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "there.md").write_text("# One\n")
    page = tmp_path / "docs" / "page.md"
    page.write_text(
        "# Page\n[1](there.md#one) [2](#page) [3](https://a.b/c) [4](not.md) [5](there.md#two) [6](../../etc.md)\n"
    )
    (tmp_path.parent / "etc.md").write_text("")
    assert broken(page) == ["not.md: no such file", "there.md#two: no such heading", "../../etc.md: no such file"]
