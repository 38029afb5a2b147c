"""The report: its numbers are the audit's, it is one file that loads nothing, and whatever people typed stays text."""

from __future__ import annotations

import base64
import itertools
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from jinja2 import UndefinedError

from img2tab_core import tables
from img2tab_core.audits import remedies, stand_ins
from img2tab_core.audits.auditor import Auditor
from img2tab_core.audits.changes import change
from img2tab_core.audits.group_differences import gap_sentence
from img2tab_core.audits.metrics import GAPS, METRICS
from img2tab_core.base import files
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.records import Target
from img2tab_core.base.words import listed, percent, place, points
from img2tab_core.classifiers.treatment import treatment_of
from img2tab_core.reports import model_card
from img2tab_core.reports.drawings import Scale
from img2tab_core.reports.measured_chapters import PLOTTED
from img2tab_core.reports.page import environment
from img2tab_core.reports.report import check_page, report_html, write_report
from img2tab_core.reports.sheets import NAMES
from img2tab_core.reports.wording import difference_range, number, span
from img2tab_core.sessions.session_runs import REPEATED, SessionRuns
from img2tab_core.sessions.shared_exclusions import read_exclusions
from img2tab_core.studio import Studio
from tests.browser import ARGUMENTS, chromium
from tests.test_families import description as hand_made

N, SIZES = 800, (12, 20)
EVIL = "<script>alert('1')</script>"
VOID = {"br", "img", "meta"}


class Painted(Studio):
    """A studio that draws a plain colour at once: the tests are about what stands around the pictures."""

    def description(self, backbone: str = "toy-ffhq"):
        return hand_made(groups=((9, 11), (5, 6)), stand_ins=((7, 0),), total=sum(SIZES))

    def backbone(self, name: str = "toy-ffhq"):
        return SimpleNamespace(layout=StyleLayout(SIZES))

    def render(self, code, edits=(), *, size=256):
        return np.full((size, size, 3), int(abs(code.values[9]) * 50) % 256, np.uint8)

    def contact_sheet(self, index, *, backbone="", faces=4, shifts=(-8.0, 0.0, 8.0), size=128, stats=None):
        return np.full((faces, len(shifts), size, size, 3), index, np.uint8)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A visitor's folder with a table of 800 faces x 32 channels: `kind` follows channel 5, and the group elsewhere."""
    own = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMG2TAB_HOME", str(own))
        patch.delenv("IMG2TAB_DATABASE", raising=False)
        rng = np.random.default_rng(0)
        psi = rng.normal(size=(N, sum(SIZES))).astype(np.float32)
        group = rng.integers(0, 2, N).astype(np.int8)
        split = tables.split_of(N, seed=0)
        kind = ((psi[:, 5] + 0.8 * (2 * group - 1) * (split != 1)) > 0).astype(np.int8)
        psi[:, 9] += 3 * group
        rare = (np.arange(N) % 8 == 0).astype(np.int8)
        group[:40] = -1
        labels = pd.DataFrame({"kind": kind, "group": group, "rare": rare})
        targets = [
            Target("kind", "Kind", ("plain", "special"), "by hand & eye"),
            Target("group", "Perceived group", ("left", "right"), "by hand"),
            Target("rare", "Rare", ("common", "seldom"), "every eighth"),
        ]
        tables.write_table(
            own / "tables" / "toy",
            lambda rows: psi[rows],
            labels,
            targets=targets,
            layout=StyleLayout(SIZES),
            backbone="toy-ffhq",
            key="toy-key",
            split=split,
        )
        yield own


@pytest.fixture(scope="module")
def runs(home):
    return SessionRuns(Auditor(Painted()))


@pytest.fixture(scope="module")
def table(runs):
    return runs.studio.table("toy")


@pytest.fixture(scope="module")
def session(runs, table):
    """Run 1 excludes nothing, run 2 channels 9 and 11, run 3 was interrupted, run 4 failed."""
    found = runs.begin("First look", "Ada", table, "kind", ["group"], "Is it the group?\n\nWe look.")
    one = runs.sessions.run(found, 1)
    runs.train(found, one, excluded=frozenset({9, 11}), note="They carry the group.", who="Bob")
    lost = runs.sessions.start_run(found, one, "catboost", 3, [1], "half way")
    runs.sessions._end(lost, "interrupted", reason="Its process is gone.")
    failed = runs.sessions.start_run(found, one, "logistic", 0, [2])
    runs.sessions.fail_run(failed, "The disk was full.")
    names = files.home() / "names.json"
    names.write_text(json.dumps({"toy-ffhq": {"11": f"beard {EVIL}"}}))
    return runs.sessions.open(found.id)


@pytest.fixture(scope="module")
def written(runs, session, tmp_path_factory):
    return write_report(runs, session, tmp_path_factory.mktemp("out") / "look.html")


@pytest.fixture(scope="module")
def page(written):
    return Page(written.html.read_text(encoding="utf-8"))


class Page(HTMLParser):
    """What a reader of the page finds: its tables by caption, headings, pictures, and every tag closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.source, self.text = text, ""
        self.tags: list[tuple[str, dict]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.headings: list[tuple[int, str]] = []
        self._open: list[str] = []
        self._caption, self._rows = "", []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in VOID:
            return
        self._open.append(tag)
        if tag == "table":
            self._caption, self._rows = "", []
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._rows[-1].append("")
        elif re.fullmatch("h[1-6]", tag):
            self.headings.append((int(tag[1]), ""))

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag, f"{tag} at {self.getpos()}"
        if tag == "table":
            self.tables[self._caption.strip()] = self._rows
        elif tag in ("td", "th"):
            self._rows[-1][-1] = re.sub(" +", " ", self._rows[-1][-1]).strip(" ")

    def handle_data(self, data):
        if "style" in self._open:
            return
        if "pre" not in self._open:
            data = re.sub("[ \n]+", " ", data)
        self.text += data
        if "caption" in self._open and "a" not in self._open:
            self._caption += data
        elif self._open and {"td", "th"} & set(self._open):
            self._rows[-1][-1] += data if self._open[-1] in ("td", "th") else f"{data} "
        if self._open and re.fullmatch("h[1-6]", self._open[-1]):
            level, title = self.headings[-1]
            self.headings[-1] = (level, title + data)

    def table(self, begins: str) -> dict[str, list[str]]:
        """The rows of the table whose caption begins so, by their headings, cells tidied."""
        (rows,) = [rows for caption, rows in self.tables.items() if caption.startswith(begins)]
        return {" ".join(row[0].split()): row[1:] for row in rows}

    def attributes(self, name: str) -> list[str]:
        return [attrs[name] for _, attrs in self.tags if name in attrs]


def _said(measure, metric="") -> str:
    return f"{number(measure.value, metric)} {span(measure.low, measure.high, metric)}"


# --- the numbers ----------------------------------------------------------------------------------------


def test_every_metric_of_every_group_is_that_of_the_audit(runs, session, page):
    found = runs.auditor.audit(runs.model(session, runs.sessions.run(session, 2)), ["group"])
    shown = page.table("Run 2: every group")
    assert shown["Measure"] == ["Left", "Right", "Everyone"]
    for name, title in METRICS.items():
        assert shown[title] == [_said(one.measures[name], name) for one in (*found.by_group, found.overall)]
    assert shown["Faces"] == [f"{one.count:,}" for one in (*found.by_group, found.overall)]
    assert sum(one.count for one in found.by_group) == found.faces == 120 - found.ungrouped


def test_the_5_gaps_before_and_after_are_those_of_two_audits(runs, session, page):
    before, after = (runs.auditor.audit(runs.model(session, runs.sessions.run(session, n)), ["group"]) for n in (1, 2))
    shown = page.table("The gaps between groups")
    for name, title in GAPS.items():
        (row,) = [cells for head, cells in shown.items() if head.startswith(title)]
        assert row[0] == _said(before.gaps[name], name) and row[1] == _said(after.gaps[name], name)
    assert f"is {100 * after.gaps['equalised_odds'].value:.1f}\N{NO-BREAK SPACE}points" in page.text
    assert f"it was {100 * before.gaps['equalised_odds'].value:.1f}\N{NO-BREAK SPACE}points" in page.text
    run = runs.model(session, runs.sessions.run(session, 2))
    differences = runs.auditor.differences(run, session.sensitive, after)
    assert gap_sentence(after, runs.table(session).targets[0].classes, differences) in page.text


def test_both_runs_are_compared_on_the_same_test_faces_and_every_change_has_its_paired_interval(runs, session, page):
    before, after = (runs.model(session, runs.sessions.run(session, n)) for n in (1, 2))
    found = runs.auditor.compare_runs(before, after, ["group"])
    _, labels, probability = runs.studio.trainer.test_answers(before)
    right = [(p > 0.5) == (labels == 1) for p in (probability, runs.studio.trainer.test_answers(after)[2])]
    assert (found.lost, found.gained) == ((right[0] & ~right[1]).sum(), (~right[0] & right[1]).sum())
    assert page.text.count(found.sentence) == 2 and "exact McNemar" in found.sentence  # in short, and among the gaps
    shown = page.table("The gaps between groups")
    for name, title in GAPS.items():
        (row,) = [cells for head, cells in shown.items() if head.startswith(title)]
        gap = found.gaps[name]
        assert row[2] == f"{points(gap.value)} {difference_range(gap.low, gap.high)}"


def test_runs_of_two_targets_are_not_compared(runs, session, table):
    run = runs.model(session, runs.sessions.run(session, 2))
    with pytest.raises(Img2TabError, match="kind of toy and rare of toy"):
        runs.auditor.compare_runs(run, replace(run, target="rare"))


def test_groups_are_counted_by_split_and_faces_of_unknown_group_are_told(page, table):
    shown = page.table("Faces of each group")
    labels = table.labels["group"].to_numpy()
    for name, code in (("Left", 0), ("Right", 1), ("Unknown group", -1)):
        assert shown[name][:3] == [str(int(((labels == code) & (table.split == part)).sum())) for part in (0, 1, 2)]
    assert "left out of every comparison" in shown["Unknown group"][5]


def test_what_took_over_and_what_flips_are_those_of_the_auditor(runs, session, page):
    one, two = (runs.model(session, runs.sessions.run(session, n)) for n in (1, 2))
    found = runs.auditor.intervene(two, "group")
    shown = page.table("Decisions that flip")
    for moved in found.by:
        names = ("left", "right")
        row = shown[f"{names[moved.group].title()}, moved towards {names[moved.towards]}"]
        assert row[0] == f"{moved.faces:,}" and row[2].startswith(f"{moved.flips:,} · {percent(moved.share)}")
    assert runs.auditor.readable(two, "group").sentence in page.text
    gains = page.table("Share of what the classifier uses")
    over = stand_ins.took_over(*(runs.studio.scores(run).importance for run in (one, two)), count=10)
    assert list(gains)[1:] == [place(gain.index, StyleLayout(SIZES)) for gain in over.gains] and len(over.gains) == 10
    assert [row[1] for row in gains.values()][1:] == [percent(gain.after) for gain in over.gains]
    assert f"had {percent(over.freed)} of the importance in run 1" in page.text


def test_every_csv_file_is_the_table_again_and_the_page_carries_the_same_bytes(runs, session, written, page):
    found = runs.auditor.audit(runs.model(session, runs.sessions.run(session, 2)), ["group"])
    back = pd.read_csv(written.tables[0].parent / "groups.csv")
    pd.testing.assert_frame_equal(back.fillna({"note": ""}), found.frame(), check_dtype=False, check_exact=True)
    excluded = pd.read_csv(written.tables[0].parent / "excluded.csv")
    assert excluded["index"].tolist() == [9, 11] and excluded["name"].tolist()[1] == f"beard {EVIL}"
    runs_file = pd.read_csv(written.tables[0].parent / "runs.csv")
    assert runs_file["state"].tolist() == ["done", "done", "interrupted", "failed"]
    carried = {
        attrs["download"]: base64.b64decode(attrs["href"].split(",")[1])
        for tag, attrs in page.tags
        if tag == "a" and "download" in attrs
    }
    for file in (*written.tables, written.exclusions, written.card):
        assert carried[file.name] == file.read_bytes()
    assert len(written.tables) == len(set(NAMES) - {"seeds", "remedies", "scenarios"}) == 16


def test_what_it_looks_at_names_2_concepts_with_their_share_and_how_far_the_groups_differ(
    runs, table, session, written, page
):
    run = runs.model(session, runs.sessions.run(session, 2))  # excludes 9 and 11
    importance = runs.studio.scores(run).importance
    told = pd.read_csv(written.tables[0].parent / "looks_at.csv").set_index("id")
    assert told.loc["part-1", "importance"] == pytest.approx(importance[[5, 6]].sum()) and len(told) == 2
    assert told.loc["part-0", "importance"] == 0
    assert told.loc["part-0", "importance of stand-ins"] == pytest.approx(importance[7])
    apart = runs.auditor.concept_differences(table, "kind", "group")
    assert told["apart, group"].to_dict() == pytest.approx({"part-0": apart[0], "part-1": apart[1]}) and apart[0] > 1
    assert "What it looks at" in page.source and "Part: 1" in page.source
    assert "- Looks at most: Part: 1 (" in written.card.read_text()


def test_the_list_it_carries_repeats_the_run_to_the_same_model(runs, session, written):
    shared = read_exclusions(written.exclusions, backbone="toy-ffhq", channels=32, table_key="toy-key")
    assert shared.excluded == (9, 11) and shared.run_id == runs.sessions.run(session, 2).run_id


# --- one file that loads nothing, and text that stays text ----------------------------------------------


def test_the_page_is_1_file_that_loads_nothing(page, written):
    links = [*page.attributes("src"), *page.attributes("href")]
    assert links and all(link.startswith(("data:", "#")) for link in links)
    assert not {"script", "link", "iframe", "object", "base", "form"} & {tag for tag, _ in page.tags}
    assert "http:" not in page.source and "https:" not in page.source and "url(" not in page.source
    assert {attrs["content"] for _, attrs in page.tags if attrs.get("http-equiv")} == {
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    }
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    assert written.html.stat().st_size < 2e6


def test_both_excluded_concepts_and_12_faces_that_flip_have_their_pictures_inline(page):
    sources = page.attributes("src")
    assert all(one.startswith("data:image/webp;base64,") for one in sources)
    flips = [alt for alt in page.attributes("alt") if alt.startswith("Test face")]
    assert len(flips) == 24 and len(sources) == 24 + 1 + 2 * 2


def test_links_within_the_page_lead_somewhere_and_no_id_is_there_twice(page):
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    inner = [link[1:] for link in page.attributes("href") if link.startswith("#")]
    assert len(inner) == 56 and set(inner) <= set(ids)


def test_headings_tables_and_pictures_can_be_heard_as_well_as_seen(page):
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1 and levels.count(1) == 1 and all(b - a <= 1 for a, b in itertools.pairwise(levels))
    assert all(title.strip() for _, title in page.headings)
    count = [tag for tag, _ in page.tags].count
    assert count("caption") == count("table") == len(page.tables)
    assert {attrs.get("scope") for tag, attrs in page.tags if tag == "th"} == {"col", "row"}
    assert all(attrs.get("alt") for tag, attrs in page.tags if tag == "img")
    drawn = [attrs for tag, attrs in page.tags if tag == "svg" and "aria-hidden" not in attrs]
    assert len(drawn) == 6 and all(one["role"] == "img" and one["aria-label"] for one in drawn)
    assert next(attrs for tag, attrs in page.tags if tag == "html")["lang"] == "en"


def test_what_people_typed_is_text_in_the_page_and_in_the_card(runs, table, tmp_path):
    found = runs.begin(f"S {EVIL}", f"O {EVIL}", table, "kind", ["group"], f"N {EVIL}\n![x](http://example.org/x)")
    runs.train(
        found,
        runs.sessions.run(found, 1),
        kind="logistic",
        excluded=frozenset({9, 11}),
        note=f"W {EVIL}",
        who=f"B {EVIL}",
    )
    text = report_html(runs, found)
    one = Page(text)
    assert "<script" not in text and text.count("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;") >= 6
    for begins in ("S ", "O ", "N ", "W ", "B ", "Beard "):
        assert f"{begins}{EVIL}" in one.text
    assert all(link.startswith(("data:", "#")) for link in [*one.attributes("src"), *one.attributes("href")])
    card = model_card.card_of(runs, found, runs.sessions.run(found, 2))
    assert "<script" not in card and card.count("&lt;script&gt;alert('1')") == 4


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ evil }}", "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;"),
        ("{{ m.code('&', '\"><b>') }}", '<code title="&#34;&gt;&lt;b&gt;">&amp;</code>'),
        ("{{ m.fact('<b>', '&') }}", "<div><dt>&lt;b&gt;</dt><dd>&amp;</dd></div>"),
        ("{{ m.fact('Note', none) }}{{ m.fact('Note', '') }}", ""),
        (
            "{{ m.rows([['<a>', 1, '<c>']], [2]) }}",
            '<tr><th scope="row">&lt;a&gt;</th><td class="number">1</td><td>&lt;c&gt;</td></tr>\n',
        ),
        ("{{ 'a\nb\r\n\r\n\n<c>'|paragraphs }}", "[[&#39;a&#39;, &#39;b&#39;], [&#39;&lt;c&gt;&#39;]]"),
    ],
)
def test_6_pieces_of_templates_are_written_as_html_has_them(template, expected):
    written = environment().from_string('{% import "macros.html.j2" as m %}' + template).render(evil=EVIL)
    assert written == expected


def test_a_name_that_a_template_does_not_know_is_an_error_and_no_template_marks_text_as_safe():
    with pytest.raises(UndefinedError, match="unheard"):
        environment().from_string("{{ unheard }}").render()
    names = environment().list_templates()
    sources = {name: environment().loader.get_source(environment(), name)[0] for name in names}
    assert len(sources) >= 27
    assert [name for name, text in sources.items() if re.search(r"\|\s*safe\b|autoescape", text)] == []


# --- what a session can be --------------------------------------------------------------------------------


def test_a_run_that_was_interrupted_and_one_that_failed_are_in_the_tree_with_their_reasons(page):
    shown = page.table("The tree of runs")
    assert shown["1"][3] == "done" and shown["2"][3] == "done, current"
    assert shown["3"][3] == "interrupted Its process is gone." and shown["4"][3] == "failed The disk was full."
    assert "They carry the group." in shown["2"][0] and "half way" in shown["3"][0] and shown["3"][1] == "–"


def test_a_group_of_fewer_than_30_faces_is_flagged_and_kept(runs, session, table):
    found = runs.begin("Few", "Ada", table, "kind", ["group", "rare"])
    one = Page(report_html(runs, found))
    shown = one.table("Run 1: every group")
    assert shown["Measure"] == ["Left, common", "Left, seldom", "Right, common", "Right, seldom", "Everyone"]
    faces = [cell.split() for cell in shown["Faces"]]
    assert [int(cell[0]) < 30 for cell in faces[:4]] == [False, True, False, True]
    assert [" ".join(cell[1:]) for cell in faces[:4]] == ["", "Fewer than 30 test faces"] * 2
    small = [
        found
        for found in runs.auditor.audit(runs.model(session, runs.sessions.run(session, 1)), ["group", "rare"]).by_group
        if found.small
    ]
    known = [found.measures[name].value is not None for found in small for name in PLOTTED]
    assert len(known) == 8 and one.source.count('class="dot now small"') == sum(known)  # open dots in the 4 plots
    assert "of Rare" not in one.text and {"Perceived group", "Rare"} <= {title for _, title in one.headings}


def test_of_a_first_run_the_3_chapters_on_change_say_so(runs, table):
    found = runs.begin("Only one", "Ada", table, "kind", ["group"])
    one = Page(report_html(runs, found))
    assert "Run 1 is the first run: there is nothing to set it against yet." in one.text
    assert "there is no before to set it against" in one.text and "Run 1 excludes nothing" in one.text
    assert "Who took over can be said once a run excludes something" in one.text
    assert "Not repeated with other seeds yet." in one.text
    assert "before and after" not in " ".join(one.attributes("aria-label"))
    assert "The session has no notes" in one.text


def test_the_model_of_an_older_run_may_be_lost_and_its_noted_gap_is_shown(runs, table):
    found = runs.begin("Lost", "Ada", table, "kind", ["group"])
    first, _ = runs.train(found, None, kind="logistic", excluded=frozenset({20}))
    second, _ = runs.train(found, first, kind="logistic", excluded=frozenset({9, 20}))
    shutil.rmtree(files.home() / "runs" / first.run_id)
    fresh = SessionRuns(Auditor(Painted()))  # knows no model but those on the disk
    one = Page(report_html(fresh, found))
    assert one.table("The tree of runs")["2"][3].startswith("done, without its model The model of run 2")
    row = next(cells for head, cells in one.table("The gaps between").items() if head.startswith("Equalised"))
    assert row[0] == number(first.metrics["equalised_odds"], "equalised_odds")  # no interval
    assert "Who took over cannot be said: the model of run 2" in one.text
    shutil.rmtree(files.home() / "runs" / second.run_id)
    with pytest.raises(Img2TabError, match=r"The model of run 3 of 'Lost' is not in this folder"):
        report_html(SessionRuns(Auditor(Painted())), found)


def test_without_a_run_that_is_done_there_is_no_report_and_1_sentence(runs, table):
    found = runs.sessions.create("Empty", "Ada", table, "kind", ["group"])
    with pytest.raises(Img2TabError, match=r"needs a run that is done .* it has no run yet\. Train one"):
        report_html(runs, found)
    runs.sessions.fail_run(runs.sessions.start_run(found, None, "catboost", 0, []), "no")
    with pytest.raises(Img2TabError, match="run 1 is failed"):
        report_html(runs, found)


def test_the_verdict_over_3_seeds_is_told_once_somebody_asked(runs, table):
    found = runs.begin("Asked", "Ada", table, "kind", ["group"])
    first = runs.sessions.run(found, 1)
    second, _ = runs.train(found, first, kind="logistic", excluded=frozenset({9}))
    assert "whether the change would come again is not known" in report_html(runs, found)
    answer = {
        "equalised_odds": change([0.3, 0.31, 0.29], [0.1, 0.12, 0.11]),
        "accuracy": change([0.9, 0.9, 0.91], [0.91, 0.9, 0.9], smaller_is_better=False, what="accuracy"),
    }
    runs.sessions.record(
        found,
        "Ada",
        REPEATED,
        {
            "before": first.number,
            "after": second.number,
            "seeds": 3,
            "changes": {name: one.to_json() for name, one in answer.items()},
        },
    )
    one = Page(report_html(runs, found))
    assert "Smaller gap, beyond what the seed changes: gap goes down by 19.0 points" in one.text
    assert one.table("Over 3 seeds")["Accuracy"][3] == "No clear change"
    assert one.table("Over 3 seeds")["Equalised odds difference"][2].startswith("−19.0")
    assert [row for row in one.tables["Who did what, and when (UTC)"] if "run 1 and run 2, 3 seeds" in row[3]]


def test_the_5_standard_remedies_have_a_chapter_only_if_the_log_has_them(runs, session, page, table):
    assert "Beside the standard remedies" not in page.text
    trial = remedies.Trial(0, 0.9, 0.2, 0.1, 0.1, 0.8, 0.1, 1.0)
    outcomes = tuple(
        remedies.Outcome(
            one.remedy,
            one.title,
            one.how,
            one.needs_group,
            one.random,
            False,
            tuple(replace(trial, seed=seed, equalised_odds=0.2 + 0.01 * seed) for seed in (0, 1)),
        )
        for one in remedies.REMEDIES.values()
    )
    compared = remedies.Remedies("Group", "CatBoost", 32, 32, (0, 1), (500, 500), 120, outcomes)
    found = runs.begin("Remedies", "Ada", table, "kind", ["group"])
    runs.sessions.record(found, "Ada", "compared remedies", {"remedies": compared.to_json()})
    one = Page(report_html(runs, found))
    shown = one.tables["Accuracy against gap"]
    assert len(shown) == 7 and shown[1][2].startswith("90.0") and shown[1][3].startswith("20.5 ± ")
    assert one.attributes("aria-label").count("Contents") == 1
    assert any(said.startswith("Accuracy against the equalised odds") for said in one.attributes("aria-label"))


def test_without_the_generator_the_report_has_no_pictures_and_says_why(runs, session):
    plain = SessionRuns(Auditor(Studio()))
    one = Page(report_html(plain, session))
    assert one.attributes("src") == [] and "toy-ffhq" in one.text
    assert "Some pictures could not be drawn" in one.text


def test_no_sentence_claims_that_a_model_is_fair(page, written):
    for text in (page.text, written.card.read_text()):
        assert not re.findall(r"(?i)\b(un)?fair(ness|er)?\b|debias|unbiased|bias-free", text)


# --- files ------------------------------------------------------------------------------------------------


def test_the_model_card_has_the_9_usual_headings_beside_the_classifier(runs, session, written, page):
    info = runs.sessions.run(session, 2)
    assert written.card == files.home() / "runs" / info.run_id / "model_card.md"
    assert (written.card.parent / "model.json").is_file()
    text = written.card.read_text()
    assert re.findall(r"(?m)^## (.+)$", text) == list(model_card.HEADINGS) and len(model_card.HEADINGS) == 9
    found = runs.auditor.audit(runs.model(session, info), ["group"])
    row = next(line for line in text.splitlines() if line.startswith("| Accuracy |"))
    assert row.count("|") == 5 and percent(found.by_group[0].measures["accuracy"].value) in row
    assert "2 channels excluded" in text and text in page.text
    assert model_card.card_of(runs, session, info) == text  # the same, audited anew


def test_a_second_report_removes_the_tables_that_only_the_first_had(runs, table, tmp_path):
    found = runs.begin("Twice", "Ada", table, "kind", ["group"])
    runs.train(found, runs.sessions.run(found, 1), kind="logistic", excluded=frozenset({9}))
    file = tmp_path / "new" / "twice.html"
    first = write_report(runs, found, file)
    own = file.with_name("twice-tables") / "mine.csv"
    own.write_text("1")
    runs.sessions.restore(found, runs.sessions.run(found, 1))
    second = write_report(runs, found, file)
    gone = {one.name for one in first.tables} - {one.name for one in second.tables}
    assert {"excluded.csv", "layers.csv", "took_over.csv", "groups_before.csv"} <= gone
    assert {one.name for one in own.parent.iterdir()} == {
        *(one.name for one in second.tables),
        "mine.csv",
        "exclusions.json",
        "model_card.cdx.json",
        "table.croissant.json",
    }
    assert sorted(one.name for one in file.parent.iterdir()) == ["twice-tables", "twice.html"]
    assert all(f'download="{one.name}"' in file.read_text() for one in second.machine) and len(second.machine) == 2


def test_a_report_that_is_stopped_writes_nothing(runs, session, tmp_path):
    said = []
    with pytest.raises(Cancelled):
        write_report(
            runs,
            session,
            tmp_path / "x.html",
            progress=lambda share, text: said.append((share, text)),
            cancelled=lambda: len(said) > 3,
        )
    assert list(tmp_path.iterdir()) == [] and 0 < len(said) < 8


def test_its_progress_only_grows_up_to_1(runs, session):
    said = []
    report_html(runs, session, progress=lambda share, text: said.append(share))
    assert said == sorted(said) and said[0] == 0 and 0.9 < said[-1] <= 1


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("x.pdf", r"must end in .html, got x.pdf"),
        ("there.html", "got the folder"),
        ("file/x.html", "could not be"),
    ],
)
def test_a_place_where_no_page_can_be_written_is_1_sentence_before_any_work(tmp_path, name, why):
    (tmp_path / "there.html").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(Img2TabError, match=why):
        check_page(tmp_path / name)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (["a"], "a"),
        (["a (1,337)", "b (2)", "c"], "a (1,337), b (2) and c"),
        (["a, b", "c"], "a, b; and c"),
    ],
)
def test_3_lists_read_as_sentences(parts, said):
    assert listed(parts) == said


@pytest.mark.parametrize("values", [[0.925, 0.936], [0.0], [1.0], [0.2, 0.2], [0.0, 1.0], [], [0.0301, 0.0302]])
def test_an_axis_has_2_to_9_round_ticks_around_its_values(values):
    scale = Scale.of(values)
    assert 2 <= len(scale.ticks) <= 9 and np.allclose(np.diff(scale.ticks), scale.ticks[1] - scale.ticks[0])
    assert all(2 <= scale.at(value) <= 98 for value in values)
    assert scale.low <= min(values, default=1) and scale.high >= max(values, default=0) and 0 <= scale.low


@pytest.mark.browser
def test_a_browser_shows_it_on_390_px_without_asking_for_anything(written):
    if not chromium():
        pytest.skip("no Chromium is installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        asked, complaints = [], []
        one = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme="dark").new_page()
        one.on("request", lambda request: asked.append(request.url))
        one.on("console", lambda message: complaints.append(message.text))
        one.goto(written.html.as_uri())
        assert one.evaluate("document.documentElement.scrollWidth") == 390
        assert one.evaluate("[...document.images].every(one => one.complete && one.naturalWidth > 0)")
        assert [url for url in asked if not url.startswith("data:")] == [written.html.as_uri()] and complaints == []
        with one.expect_download() as saved:
            one.get_by_role("link", name="groups.csv").click()
        assert pd.read_csv(StringIO(Path(saved.value.path()).read_text()))["faces"].iloc[-1] > 0
        browser.close()


# --- for machines ---------------------------------------------------------------------------------------


def test_the_model_card_for_machines_keeps_the_schema_of_cyclonedx_1_7_and_says_what_the_audit_measured(
    runs, session, written
):
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    (file,) = [file for file in written.machine if file.name.endswith(".cdx.json")]
    text = file.read_text(encoding="utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(text) is None
    (model,) = [part for part in json.loads(text)["components"] if part["type"] == "machine-learning-model"]
    current = runs.sessions.run(session, 2)
    audited = runs.auditor.audit(runs.model(session, current), session.sensitive)
    rows = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    gap = next(row for row in rows if row["type"] == "Equalised odds difference between groups")
    assert float(gap["value"]) == pytest.approx(audited.gaps["equalised_odds"].value, rel=1e-5)
    assert float(gap["confidenceInterval"]["upperBound"]) == pytest.approx(
        audited.gaps["equalised_odds"].high, rel=1e-5
    )
    assert {row["slice"] for row in rows if "slice" in row} == {"left", "right", "everyone"}
    assert {"name": "img2tab:excluded", "value": "2"} in model["properties"]
    assert json.loads(text)["serialNumber"] == json.loads(text)["serialNumber"].lower()


def test_the_table_for_machines_is_croissant_without_a_warning_and_names_every_column_and_the_digest_of_its_file(
    table, written
):
    import mlcroissant

    (file,) = [file for file in written.machine if file.name.endswith(".croissant.json")]
    described = json.loads(file.read_text(encoding="utf-8"))
    dataset = mlcroissant.Dataset(jsonld=described)
    assert not dataset.metadata.ctx.issues.errors and not dataset.metadata.ctx.issues.warnings
    fields = {field["name"] for field in described["recordSet"][0]["field"]}
    assert fields == set(table.labels.columns)
    labels = next(part for part in described["distribution"] if part["name"] == "labels.parquet")
    assert labels["sha256"] == files.sha256_of(files.home() / "tables" / "toy" / "labels.parquet")
    assert any("%" in told for told in described["rai:dataBiases"])


def test_a_run_that_erases_and_balances_says_so_in_the_page_the_tables_and_both_cards(runs, table, tmp_path):
    found = runs.begin("Erasing", "Ada", table, "kind", ["group"])
    first = runs.sessions.run(found, 1)
    runs.train(found, first, treatment=treatment_of(("group",), balance=True), note="The group should not count.")
    written = write_report(runs, runs.sessions.open(found.id), tmp_path / "erasing.html")
    one = Page(written.html.read_text(encoding="utf-8"))
    told = "erases group and is balanced over group"
    assert f"Run 2 {told}." in one.text and f"nothing excluded; {told}" in one.text
    rows = pd.read_csv(tmp_path / "erasing-tables" / "runs.csv").fillna("")
    assert rows.erased.tolist() == ["", "group"] and rows.balanced.tolist() == ["", "group"]
    assert f"- Training: {told}." in written.card.read_text(encoding="utf-8")
    bill = json.loads(written.machine[0].read_text(encoding="utf-8"))
    titled = {"name": "img2tab:treatment", "value": told.replace("group", "perceived group")}
    assert titled in bill["components"][0]["properties"]
    again = runs.again(found, runs.sessions.run(found, 2))
    assert again.id == runs.sessions.run(found, 2).run_id and again.treatment.erased == ("group",)
