"""A report on paper, as a browser prints it: title and number on every page, and no break in a bad place."""

from __future__ import annotations

import io
import re
import unicodedata

import pytest
from pypdf import PdfReader

from img2tab_core.classifiers import models
from img2tab_core.classifiers.pixel_models import of_function
from img2tab_core.reports.explanation import explanation_html
from img2tab_core.reports.page import css_text
from tests.browser import ARGUMENTS, chromium
from tests.test_explanation import Painted, brightness, measured
from tests.test_report import Page

HOSTILE = 'T "; } </style><b>x</b> \\ é'


@pytest.mark.parametrize("text", [HOSTILE, "a\nb", "smiles · audit report", "\\61", ""])
def test_5_texts_in_a_style_sheet_are_read_as_they_were_and_end_no_string(text):
    written = css_text(text)
    assert not re.search(r'["\'<>;{}\n]', written)
    assert re.sub(r"\\([0-9a-f]+) ", lambda code: chr(int(code[1], 16)), written) == text


@pytest.mark.browser
def test_every_page_on_paper_has_the_title_and_its_number_and_a_table_its_head_again(tmp_path, monkeypatch):
    if not chromium():
        pytest.skip("no Chromium is installed")
    from playwright.sync_api import sync_playwright

    monkeypatch.setenv("IMG2TAB_HOME", str(tmp_path))
    monkeypatch.setattr(models, "_functions", {})
    model = of_function(brightness, "light", size=32, classes=("dark", "light"), title=HOSTILE)
    file = tmp_path / "explanation.html"
    file.write_text(explanation_html(Painted(), measured(model)), encoding="utf-8")
    headings = {" ".join(title.split()) for _, title in Page(file.read_text(encoding="utf-8")).headings}
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        tab = browser.new_page()
        tab.goto(file.as_uri())
        printed = PdfReader(io.BytesIO(tab.pdf(prefer_css_page_size=True)))
        browser.close()
    texts = [unicodedata.normalize("NFKC", page.extract_text()) for page in printed.pages]  # no ligatures
    assert 5 <= len(texts) <= 12
    title = "".join(f"What does {HOSTILE} react to?".split())
    for number, text in enumerate(texts, start=1):
        assert f"Page {number} of {len(texts)}" in text
        assert "".join(text.split()).count(title) == 1  # of the first page it is the heading
        assert text.splitlines()[-1].strip() not in headings
    rows = [text for text in texts if re.search(r"Part: \d+ +(moves it|goes with it|not seen)", text)]
    assert len(rows) > 1 and all("Verdict" in text for text in rows)
