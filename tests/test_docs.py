"""The documents for people: the README stays short, links lead somewhere, commands exist, and the site stands alone."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from urllib.parse import unquote

import pytest

from docs.make import reference, site
from img2tab_core.tables.population import AGE_BANDS
from tests import documented
from tests.benchmarks.table import MARKS, PAGE

ROOT = Path(__file__).resolve().parents[1]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *DOCS]
README_LINES = 200
VERBS = dict(reference.verbs())
GROUPS = {words[:depth] for words in VERBS for depth in range(1, len(words))}
COMMANDS = [command for page in documented.PAGES for command in documented.commands(page)]
NAMED_BY_A_READER = {"male", "lamp", "smile"}  # a target of CelebA, a column of labels.csv, a classifier of one's own

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


def test_the_readme_has_at_most_200_lines_and_names_the_two_commands_and_2_pictures():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= README_LINES
    assert "make run" in text and "make test" in text
    assert [link for link in links_of(text) if link.endswith((".png", ".svg"))] == [
        "assets/pictures/inspect.png",
        "assets/pictures/yours.png",
    ]


def test_the_first_page_of_the_docs_and_the_navigation_of_the_site_name_every_page_of_the_docs():
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in DOCS} - {"README.md"}
    assert pages <= {link.partition("#")[0] for link in links_of((ROOT / "docs" / "README.md").read_text())}
    nav = re.findall(r'"([^"]+\.md)"', json.dumps(tomllib.loads((ROOT / "docs" / "zensical.toml").read_text())))
    made = {f"reference/{name}" for name in reference.pages()}
    of_the_repository = {name.removeprefix("project/") for name in nav if name.startswith("project/")}
    assert {name for name in nav if not name.startswith("project/")} - made == pages | {"index.md"}
    assert all((ROOT / name).is_file() for name in of_the_repository)


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


# --- what a reader types -----------------------------------------------------------------------------------


def understood(words: tuple[str, ...], *, whole: bool) -> str:
    """What is wrong with a command of img2tab, "" for nothing.

    whole: it has all it needs, and is parsed as the program would; else its verb and options must exist.
    """
    path = ("img2tab",)
    rest = list(words[1:])
    while rest and ((*path, rest[0]) in GROUPS or (*path, rest[0]) in VERBS):
        path = (*path, rest.pop(0))
        if path in VERBS:
            break
    if rest[:1] == ["--help"] and not whole:
        return ""
    if path == ("img2tab", "report") and rest:  # `img2tab report SESSION` writes it
        path = (*path, "write")
    if path not in VERBS:
        return "" if path in GROUPS and not rest else f"no verb {' '.join([*path, *rest[:1]])}"
    verb = VERBS[path]
    if not whole:
        known = {option for param in verb.params for option in (*param.opts, *param.secondary_opts)} | {"--help"}
        return next((f"no option {word}" for word in rest if word.startswith("--") and word not in known), "")
    try:
        given = verb.make_context(path[-1], rest).params
    except Exception as error:  # noqa: BLE001 (whatever the parser says of a command is what is wrong with it)
        return str(error)
    return _values(given)


def _values(given: dict) -> str:
    """What is wrong with the names of targets, channels and families among a verb's values."""
    bands = {AGE_BANDS.name, *(view.name for view in AGE_BANDS.against_rest)}
    targets = {target["name"] for target in population()["targets"]} | NAMED_BY_A_READER | bands
    for name in ("target", "sensitive", "suggest", "also_target"):
        value = given.get(name)
        if isinstance(value, str) and (unknown := set(filter(None, value.split(","))) - targets):
            return f"no target {unknown}"
    moved = [*(given.get("edit") or ()), *(given.get("edits") or ())]
    parts = [part for part in (given.get("exclude") or "").split(",") if part] + [part.split(":")[0] for part in moved]
    ids = {family["id"] for family in families()}
    unknown = {part for part in parts if not (part.isdigit() and int(part) < 6752) and part[0] != "@"} - ids
    return f"no family {unknown}" if unknown else ""


def population() -> dict:
    return json.loads((ROOT / "assets" / "population" / "population.json").read_text())


def families() -> list[dict]:
    return json.loads((ROOT / "assets" / "concepts" / "mobilestylegan-ffhq.json").read_text())["families"]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: f"{command.page}: {command.line[:60]}")
def test_every_command_of_a_block_is_one_that_the_program_the_makefile_or_the_package_knows(command):
    if command.program == "img2tab":
        assert understood(command.words, whole=True) == ""
    elif command.program == "make":
        goals = [word for word in command.words[1:] if "=" not in word]
        rules = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert goals and set(goals) <= set(rules)
    else:
        assert command.words[:3] == ("pip", "install", "-e")
        extra = re.fullmatch(r"\.\[(\w+)\]", command.words[3])[1]
        assert extra in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.mark.parametrize("page", documented.PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_verb_and_option_that_a_sentence_names_is_there_and_every_block_says_what_it_is(page):
    wrong = {command.line: understood(command.words, whole=False) for command in documented.inline(page)}
    assert {line: reason for line, reason in wrong.items() if reason} == {}
    languages = {fence["language"].strip() for fence in documented.FENCE.finditer(page.read_text())}
    assert languages <= {"bash", "python", "text"} or page.name == "CONTRIBUTING.md"


def test_a_command_with_a_wrong_verb_option_value_target_or_family_is_told():
    def told(line: str, whole: bool = True) -> str:
        return understood(tuple(line.split()), whole=whole)

    assert told("img2tab audit --target smiling --sensitive young --exclude 2839,hair-long") == ""
    assert "no verb" in told("img2tab judge a.jpg")
    assert "no verb" in told("img2tab session begin")
    assert "--sensitiv" in told("img2tab audit --target smiling --sensitiv young")
    assert told("img2tab audit --target smiling") != ""  # --sensitive is needed
    assert told("img2tab audit --target smiling --sensitive young --seeds 500") != ""
    assert "no target" in told("img2tab audit --target smilling --sensitive young")
    assert "no family" in told("img2tab train --target smiling --out run --exclude hair-longer")
    assert told("img2tab weights list", whole=False) == ""
    assert told("img2tab weights", whole=False) == ""
    assert "no option --seed" in told("img2tab audit --seed 3", whole=False)


# --- the site ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The folder of the site, built as `make docs` builds it."""
    pytest.importorskip("zensical")
    return site.build(tmp_path_factory.mktemp("docs")).parent


def test_the_site_has_every_page_and_asks_no_other_host_for_a_script_a_style_a_font_or_a_picture(built):
    for page in DOCS:
        assert (built / site.place(page)).with_suffix(".html").is_file()
    asked = re.compile(r'<(?:script|img|iframe|source)\b[^>]*\bsrc="(https?:)?//|<link\b[^>]*\bhref="(https?:)?//')
    assert [page for page in built.rglob("*.html") if asked.search(page.read_text())] == []
    styles = [style.read_text() for style in built.rglob("*.css")]
    assert styles and not any(re.search(r"@import|url\([\"']?(https?:)?//", style) for style in styles)


def test_the_reference_has_every_verb_with_every_option_that_its_help_has(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    text = "\n".join(text for name, text in reference.pages().items() if name.startswith("cli/"))
    names = re.split(r"^## img2tab (.+)$", text, flags=re.MULTILINE)[1:]
    parts = dict(zip(names[::2], names[1::2], strict=True))
    assert set(parts) == {" ".join(words[1:]) for words in VERBS}
    for name, part in parts.items():
        reference.command().main([*name.split(), "--help"], prog_name="img2tab", standalone_mode=False)
        shown = capsys.readouterr().out.partition("Options")[2]
        options = set(re.findall(r"^│[* ]*(--[a-z][a-z0-9-]+)", shown, re.MULTILINE)) - {"--help"}
        assert set(re.findall(r"^\| `(--[a-z0-9-]+)", part, re.MULTILINE)) == options, name
        assert options, name


def test_a_link_to_no_page_and_an_anchor_to_no_heading_stop_the_site(tmp_path, monkeypatch):
    pytest.importorskip("zensical")
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "zensical.toml").write_text((ROOT / "docs" / "zensical.toml").read_text())
    monkeypatch.setattr(site, "ROOT", tmp_path)
    monkeypatch.setattr(site, "DOCS", docs)
    monkeypatch.setattr(reference, "pages", dict)
    (docs / "README.md").write_text("# Home\n\n[here](#home)\n")
    (docs / "zensical.toml").write_text(re.sub(r"nav = \[.*?^\]", "", site.settings(), flags=re.S | re.M))
    assert site.build(tmp_path / "good").is_file()
    (docs / "README.md").write_text("# Home\n\n[a](nowhere.md) [b](#no-such-heading)\n")
    with pytest.raises(RuntimeError, match="does not exist"):
        site.build(tmp_path / "bad")
