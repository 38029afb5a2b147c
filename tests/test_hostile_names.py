"""Names are typed by people: whatever is in one, every page, figure and report shows it as text and loads nothing."""

from __future__ import annotations

import html
import io
import json
import os
import random
import socket
import string
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import streamlit as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from dashboard.components import page_words
from dashboard.state import doors
from dashboard.state import visit as state
from img2tab_core import tables
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.records import DEFAULT_BACKBONE, Target
from img2tab_core.classifiers.catboost import CatBoostConcepts
from img2tab_core.reports import page as report_page
from img2tab_core.reports.report import report_html
from tests import app, browser

pytestmark = pytest.mark.usefixtures("small_pictures")

PICTURE, ELEMENT = "![x](http://evil.test/a.png)", "<img src=x onerror=alert(1)>"
LINK, FORMULA, ICON, BOLD, CODE = "[l](javascript:alert(1))", "$x$", ":material/home:", "**b**", "a`b`c"
HOSTILE = (PICTURE, ELEMENT, LINK, FORMULA, ICON, BOLD, CODE)
PAGES = ("inspect", "concepts", "exclude", "audit", "gap", "sessions", "compare", "data")
PARTS = ("move", "differ", "amount", "instead", "else")
TABLE = "t [l](javascript:alert(1)) $x$ a`b`c"  # a folder, so it has no slash
# what Streamlit shows as it is: choices in a list, what stands in a field, a table, a figure, a picture
AS_IT_IS = {
    "id", "options", "default", "value", "set_value", "raw_value", "raw_values", "placeholder", "spec", "alt", "key",
    "query_key", "form_id", "css", "js", "html", "url", "file_name", "data", "columns", "json", "arrow_data",
    "bytes", "mixed",
}  # fmt: skip
COUNT = 600


@pytest.fixture(scope="module")
def home(studio, tmp_path_factory):
    """A table of 600 faces whose name, targets and classes are hostile; pictures of concepts are grey."""
    own, sizes = tmp_path_factory.mktemp("home"), studio.table().layout.sizes
    grey = np.full((2, 128, 128, 3), 128, np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMG2TAB_HOME", str(own))
        patch.setitem(CatBoostConcepts.__init__.__kwdefaults__, "iterations", 60)
        patch.setattr(state, "concept_picture", lambda index: grey)
        patch.setattr(state, "contact_sheet", lambda index: np.stack([grey[0]] * 12).reshape(4, 3, 128, 128, 3))
        rng = np.random.default_rng(0)
        psi = rng.normal(size=(COUNT, 6752)).astype(np.float32)
        group = rng.integers(0, 2, COUNT).astype(np.int8)
        split = tables.split_of(COUNT, seed=0)
        kind = ((psi[:, 5] + 0.9 * (2 * group - 1) * (split != 1)) > 0).astype(np.int8)
        psi[:, 9] += 3 * group
        psi[:, 10] = psi[:, 9] + 0.3 * psi[:, 10]
        tables.write_table(
            own / "tables" / TABLE,
            lambda rows: psi[rows],
            pd.DataFrame({"kind": kind, "group": group}),
            targets=[
                Target("kind", PICTURE, (ELEMENT, LINK), f"by {PICTURE}"),
                Target("group", f"{ICON} {BOLD}", (f"{FORMULA} {PICTURE}", f"{CODE} {ELEMENT}"), f"by {LINK}"),
            ],
            layout=StyleLayout(sizes),
            backbone=DEFAULT_BACKBONE,
            key="hostile",
            split=split,
        )
        st.cache_data.clear()
        st.cache_resource.clear()
        yield own
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture(scope="module")
def visit(home) -> AppTest:
    """A visitor in a session of hostile words with two runs, whose twelve most used concepts have hostile names."""
    door = doors.session_runs()
    table = door.auditor.studio.table(TABLE)
    session = door.begin(f"{PICTURE} {BOLD}", ELEMENT, table, "kind", ("group",), " ".join(HOSTILE))
    first = door.model(session, door.sessions.runs(session)[0])
    scores = door.auditor.studio.scores(first)
    used = np.argsort(-scores.importance, kind="stable")[:40].tolist()
    for number, index in enumerate(dict.fromkeys([5, 9, 10, *used])):
        door.auditor.studio.name_concept(index, HOSTILE[number % len(HOSTILE)])
    door.train(
        session, door.sessions.runs(session)[0], excluded=frozenset({9, *used[:3]}), note=" ".join(HOSTILE), who=LINK
    )
    at = app.begun()
    at = app.well(at.switch_page("views/sessions.py").run())
    at = app.well(at.button(key=f"sessions.open.{session.id}").click().run())
    return app.ready(at)


def _shown(at: AppTest) -> list[str]:
    """Every text that Streamlit renders as Markdown, casefolded: pages write some names with a capital or without."""
    texts: list[str] = []
    for element in (*at.main, *at.sidebar):
        if getattr(element, "proto", None) is not None:
            _texts(element.proto, texts)
    return texts


def _texts(message, texts: list[str]) -> None:
    for field, value in message.ListFields():
        if field.name in AS_IT_IS and not (field.name == "options" and "ButtonGroup" in message.DESCRIPTOR.name):
            continue
        for part in value if not isinstance(value, str | bytes) and hasattr(value, "__iter__") else [value]:
            if isinstance(part, str):
                texts.append(f"{message.DESCRIPTOR.name}.{field.name}: {part.casefold()}")
            elif hasattr(part, "ListFields"):
                _texts(part, texts)


def _bare(texts: list[str]) -> list[str]:
    return [text for text in texts if any(hostile.casefold() in text for hostile in HOSTILE)]


def _specs(at: AppTest) -> list[str]:
    return [json.dumps(json.loads(chart.proto.spec), ensure_ascii=False).casefold() for chart in at.get("plotly_chart")]


def _harmless(at: AppTest) -> str:
    """Everything shown on a page, which has no hostile text bare and no HTML element in a figure."""
    texts = _shown(at)
    assert not _bare(texts)
    for spec in _specs(at):
        assert "<img" not in spec
    return "\n".join((*texts, *_specs(at)))


def test_of_7_hostile_names_none_is_bare_on_any_of_8_pages_and_escaped_they_are_all_shown(visit):
    everything = ""
    for name in PAGES:
        at = app.ready(visit.switch_page(f"views/{name}.py").run())
        everything += _harmless(at)
    assert "!\\[x\\](http:\N{WORD JOINER}//evil.test/a.png)" in everything
    assert "\\<img src=x onerror=alert(1)\\>" in everything and "&lt;img src=x" in everything
    assert "\\[l\\](javascript\\:alert(1))" in everything
    assert "\\$x\\$" in everything and "\\*\\*b\\*\\*" in everything and "a\\`b\\`c" in everything
    assert ":\N{WORD JOINER}material/home:" in everything


def test_nor_in_any_of_5_parts_behind_the_gap_nor_where_a_concept_is_picked_ticked_and_moved(visit):
    at = app.ready(visit.switch_page("views/gap.py").run())
    for part in PARTS:
        at = app.well(at.button_group(key="gap.part").set_value(part).run())
        while at.get("progress"):
            time.sleep(0.2)
            at.run()
        _harmless(app.well(at))
    at = app.well(at.button_group(key="gap.part").set_value("differ").run())
    if switch := [one for one in at.button_group if one.key == "gap.what"]:  # where concepts are described
        at = app.well(switch[0].set_value("Channels").run())
    at = app.well(at.button(key="gap.suggest").click().run())
    _harmless(at)
    at = app.ready(at.switch_page("views/exclude.py").run())
    assert len(at.session_state["visit.ticked"][TABLE, "kind"]) > 3
    _harmless(at)


def test_nor_where_a_photo_of_2_faces_has_such_a_name_nor_where_a_bad_one_is_refused(visit, shared_photos):
    files = [shared_photos / "london" / name for name in ("003f.jpg", "008f.jpg")]
    files = [file if file.exists() else next(shared_photos.rglob(file.name)) for file in files]
    both = np.hstack([np.asarray(Image.open(file).convert("RGB").resize((600, 800))) for file in files])
    stream = io.BytesIO()
    Image.fromarray(both).save(stream, "JPEG", quality=90)
    at = app.ready(visit.switch_page("views/inspect.py").run())
    at = app.well(at.button_group(key="inspect.source").set_value("Upload").run())
    name = f"{PICTURE} {ELEMENT} {LINK} {CODE}\n# {BOLD}.jpg"
    at = app.well(at.file_uploader(key="inspect.upload").set_value([(name, stream.getvalue(), "image/jpeg")]).run())
    assert any("2 faces found in !\\[x\\]" in caption.value for caption in at.caption)
    _harmless(at)
    at = app.well(at.number_input[0].set_value(4.0).run())  # an edit becomes a chip
    assert any(button.key and button.key.startswith("inspect.chip.") for button in at.button)
    _harmless(at)
    at = app.well(at.file_uploader(key="inspect.upload").set_value([(name, b"no photo", "image/jpeg")]).run())
    assert len(at.error) == 1 and "!\\[x\\]" in at.error[0].value
    _harmless(at)


def test_a_report_of_that_session_has_no_element_that_a_name_made(visit):
    door = doors.session_runs()
    (session,) = door.sessions.list()
    text = report_html(door, session)
    assert "<img src=x" not in text.casefold() and "&lt;img src=x onerror=alert(1)&gt;" in text
    assert text.count("<img ") == text.count('<img src="data:')
    assert "<a href=javascript" not in text and 'href="javascript' not in text
    for hostile in HOSTILE:
        written = report_page.environment().from_string('<p title="{{ name }}">{{ name }}</p>').render(name=hostile)
        assert html.unescape(written) == f'<p title="{hostile}">{hostile}</p>'
        assert written.count("<") == written.count(">") == 2 and written.count('"') == 2


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("Hair darkness", "Hair darkness"),
        ("a [b](c)", "a \\[b\\](c)"),
        ("2. Oktober", "2\\. Oktober"),
        ("# one\n# two", "\\# one # two"),
        ("Place 7:311, at 12:30", "Place 7:311, at 12:30"),
        ("87.3\N{NO-BREAK SPACE}%", "87.3\N{NO-BREAK SPACE}%"),
        ("me@evil.test", "me@\N{WORD JOINER}evil.test"),
    ],
)
def test_a_name_is_escaped_in_7_ways_or_left_as_it_is(text, escaped):
    assert page_words.plain(text) == escaped


def test_a_sentence_keeps_its_1_command_as_code_and_escapes_the_name_in_it():
    assert page_words.prose("No table **b**. Run `make run_all`.") == "No table \\*\\*b\\*\\*. Run `make run_all`."
    assert page_words.prose("`` ` one") == "\\`\\` \\` one"


# ---- what a browser makes of it

SCRIPT = """
import json
import plotly.graph_objects as go
import streamlit as st
from dashboard.components import page_words as words
texts = json.loads(open({file!r}).read())
for number, text in enumerate(texts):
    with st.container(key=f"one-{{number}}"):
        st.markdown(f"**{{words.plain(text)}}**")
        st.caption("Before " + words.plain(text))
        st.button(words.plain(text), key=f"button-{{number}}")
for number, text in enumerate(texts[:{figures}]):
    with st.container(key=f"figure-{{number}}"):
        st.plotly_chart(go.Figure(layout={{"annotations": [{{"text": words.in_figure(text), "showarrow": False}}]}}))
st.write("That is all.")
"""


@pytest.mark.browser
def test_160_wild_texts_are_read_in_a_browser_as_they_were_typed_and_load_nothing(tmp_path):
    if browser.chromium() is None:
        pytest.skip("no Chromium here")
    rng = random.Random(0)
    letters = string.punctuation * 2 + "ab1 " * 6
    wild = ["".join(rng.choices(letters, k=rng.randint(3, 24))) for _ in range(140)]
    texts = [
        *HOSTILE, ":red[x]", ":smile:", "www.evil.test", "http://evil.test", "me@evil.test", "&lt;b&gt;", "# a", "1) a",
        "- a", "> a", "| a | b |", "~~a~~", "_a_", *wild,
    ]  # fmt: skip
    texts = [text for text in (" ".join(text.split()) for text in texts) if not set(text.split()) & set(ARROWS)]
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    (tmp_path / "script.py").write_text(SCRIPT.format(file=str(tmp_path / "texts.json"), figures=len(HOSTILE)))
    with _served(tmp_path / "script.py") as address, browser.opened() as chromium:
        page, asked = chromium.new_page(), []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        page.get_by_text("That is all.").wait_for(timeout=60_000)
        browser.settle(page)
        assert not [url for url in asked if not url.startswith((address, "data:", "blob:"))]
        assert page.locator(".stMarkdown :is(img, a, code, .katex), button :is(img, a, code)").count() == 0
        for number, text in enumerate(texts):
            one = page.locator(f".st-key-one-{number}")
            read = [part.replace("\N{WORD JOINER}", "") for part in one.locator("p").all_inner_texts()]
            assert read == [text, f"Before {text}", text]
        for number in range(len(HOSTILE)):
            drawn = page.locator(f".st-key-figure-{number} .annotation-text").text_content()
            assert drawn == texts[number]


ARROWS = ("<->", "->", "<-", "--", ">=", "<=", "~=")  # Streamlit sets these, alone between spaces, as one sign


class _served:
    """The address of a Streamlit script that runs meanwhile."""

    def __init__(self, script: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.server = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(self.port)],
            cwd=browser.ROOT,
            env={**os.environ, "PYTHONPATH": str(browser.ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> str:
        address = f"http://127.0.0.1:{self.port}"
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=1).read()
                break
            except OSError:
                time.sleep(0.05)
        return address

    def __exit__(self, *_: object) -> None:
        self.server.terminate()
        self.server.wait(20)
