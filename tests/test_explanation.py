"""The report on a classifier of somebody's own: its numbers are those that were measured, it is one file that loads
nothing, and whatever a person typed stays text."""

from __future__ import annotations

import base64
import itertools
import json
from dataclasses import replace
from io import StringIO
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.words import chance, percent
from img2tab_core.classifiers import models, reactions
from img2tab_core.classifiers.pixel_models import chances, of_function
from img2tab_core.classifiers.reactions import Fidelity, Moved, Pair, Reactions
from img2tab_core.concepts import ranking
from img2tab_core.concepts.description import Mean
from img2tab_core.concepts.ranking import RankedFamily
from img2tab_core.reports.explanation import ALONE, GALLERY, PHOTOS, explanation_html
from img2tab_core.studio import Studio
from tests.browser import ARGUMENTS, chromium
from tests.test_families import description as hand_made
from tests.test_report import Page

EVIL = "<b>x</b>"
NAME = EVIL.replace("/", "")  # of a folder, so it has no slash
SKIN, FACES = 1, 3  # the family that draws lighter skin; how many faces are moved
GROUPS, TOTAL = tuple((2 * number, 2 * number + 1) for number in range(22)), 60


def brightness(squares: np.ndarray) -> np.ndarray:
    """Probabilities of dark and light, by the middle of the face: uint8 (n, S, S, 3) -> float (n, 2)."""
    side = squares.shape[1]
    middle = squares[:, side // 3 : 2 * side // 3, side // 3 : 2 * side // 3].mean(axis=(1, 2, 3))
    light = 1 / (1 + np.exp(-(middle - 128) / 12))
    return np.stack([1 - light, light], axis=1)


def broken(squares: np.ndarray) -> np.ndarray:
    raise Img2TabError(f"{EVIL} is gone.")


class Painted(Studio):
    """A studio of 22 families by hand that draws plain colours at once."""

    def table(self, name: str = "toy"):
        return SimpleNamespace(
            name=name, key="toy-key", backbone="hand", layout=StyleLayout((TOTAL,)), split=np.zeros(500)
        )

    def description(self, backbone: str = "hand"):
        return hand_made(groups=GROUPS, stand_ins=((50, 0), (51, 0)), total=TOTAL)

    def pair(self, made: Reactions, number: int) -> Pair:
        pictures = np.full((3, 300, 300, 3), 40 + number, np.uint8)
        pictures[2] += 100
        return Pair(pictures, tuple(made.moved.probability[0, [2 * number, -1, 2 * number + 1]].tolist()))


def measured(model=None, *, effects=None, verdicts=None, trained: bool = True) -> Reactions:
    """What was measured of 22 families on 4 faces: 20 were moved, the first 16 move it, family k by 8 - k / 2.

    effects: means of some families instead, by number; verdicts: one for each instead.
    """
    described = hand_made(groups=GROUPS, stand_ins=((50, 0), (51, 0)), total=TOTAL)
    verdicts = verdicts or ["moves it"] * 16 + ["goes with it"] * 5 + ["not seen"]
    log_odds = np.full((4, 2 * len(GROUPS) + 1), np.nan)
    log_odds[:, -1] = -1
    means = {number: 8 - number / 2 for number in range(20)} | (effects or {})
    for number, mean in means.items():
        log_odds[:, 2 * number] = -2
        log_odds[:, 2 * number + 1] = -2 + mean + np.array([-0.3, -0.1, 0.1, 0.3])
    moved = Moved(128, log_odds)
    rows = tuple(
        RankedFamily(
            number,
            family,
            1.5 - number / 20 if trained else 0.0,
            0.5,
            0.01 * number if trained else 0.0,
            0.002 * number if trained else 0.0,
            Mean.of(moved.effects[number]) if number in means else None,
            verdicts[number],
            described.stand_ins(number),
        )
        for number, family in enumerate(described.families)
    )
    model = model or of_function(brightness, "light", size=32, classes=("dark", "light"))
    fidelity = Fidelity(90, 100, (0.82, 0.95), 0.6, 0.71) if trained else None
    return Reactions(model, "toy", 200, 128, 70, fidelity, rows, moved, "" if trained else "It takes all for light.")


@pytest.fixture(scope="module")
def real(studio, other_home) -> tuple[Reactions, Page]:
    """A function asked about 3 faces of the default table in which 3 of its 75 families were moved, and its report."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMG2TAB_HOME", str(other_home))
        patch.setattr(models, "_functions", {})
        model = models.register(of_function(brightness, "light", size=64, classes=("dark", "light")))
        table, described = studio.table(), studio.described()
        moved = reactions.ask_moved(
            model, table, studio.backbone(), described, size=128, faces=FACES, families=[0, SKIN, 2]
        )
        rows = tuple(ranking.by_effect(described, moved.effects))
        made = Reactions(model, table.name, 200, 128, 90, None, rows, moved, "Nothing was trained.")
        return made, Page(explanation_html(studio, made))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """An empty visitor's folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMG2TAB_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setattr(models, "_functions", {})
        yield


@pytest.fixture(scope="module")
def page(home) -> Page:
    return Page(explanation_html(Painted(), measured()))


def carried(page: Page) -> dict[str, bytes]:
    """Files inside the page, by name."""
    return {
        attributes["download"]: base64.b64decode(attributes["href"].split(",")[1])
        for tag, attributes in page.tags
        if tag == "a" and "download" in attributes
    }


def triples(page: Page) -> list[str]:
    """Names of the families that are shown in pictures, in order."""
    return [alt.split(", ")[1] for alt in page.attributes("alt") if alt.endswith("as it is") and "A face" in alt]


# --- a real classifier ------------------------------------------------------------------------------------


def test_all_75_families_of_a_real_classifier_are_in_its_table_and_in_the_appendix_with_their_channels(real):
    made, page = real
    told, channels = page.table("The same in numbers"), page.table("Channels by concept")
    assert len(made.families) == len(told) - 1 == len(channels) - 1 == 75
    for row in made.families:
        assert told[row.family.name][1] == ("not moved" if row.effect is None else row.effect.text())
        assert channels[row.family.name][:2] == [row.family.id, " ".join(map(str, row.family.channels))]
    assert [cells[1] for cells in told.values()].count("not moved") == 72
    assert "3 of 75 concepts were moved" in page.text and "Not drawn: 72 concepts" in page.text


def test_lighter_skin_is_told_to_raise_the_brightness_on_3_faces_in_pictures_with_the_chances_that_were_measured(real):
    made, page = real
    (skin,) = [row for row in made.families if row.number == SKIN]
    assert made.movers[0] is skin and skin.effect.mean > 3
    assert f"It reacts most to {skin.family.name}" in page.text.replace("\N{NO-BREAK SPACE}", " ")
    assert "it makes “light” more likely" in page.text or "each of them makes “light” more likely" in page.text
    probability = made.moved.probability[made.clearest(SKIN), [2 * SKIN, -1, 2 * SKIN + 1]]
    told = page.text[page.text.index("moved down") :][: len("moved downdarkmoved uplight") + 60]
    for value in probability:
        assert chance(max(value, 1 - value)) in told
    assert triples(page)[0] == skin.family.name and page.text.count("does not turn its decision") == 1


def test_12_sample_faces_stand_with_the_answers_of_the_classifier_itself(real, studio):
    made, page = real
    expected = chances(made.model.log_odds(np.stack([face.pixels for face in studio.samples()])))
    told = page.text[page.text.index("Twelve faces and its answers") :]
    for value in expected:
        sure = chance(max(value, 1 - value))
        assert sure in told
        told = told[told.index(sure) + len(sure) :]
    assert [alt for alt in page.attributes("alt") if alt.startswith("Sample face")][-1] == "Sample face 12"


# --- the numbers ------------------------------------------------------------------------------------------


def test_the_22_rows_of_the_table_are_the_numbers_of_to_json(page):
    told, rows = page.table("The same in numbers"), measured().to_json()["families"]
    assert len(told) == 23 and len(rows) == 22
    for row in rows:
        moved = row["effect"] is not None
        assert told[row["name"]] == [
            row["verdict"],
            Mean(row["effect"], *row["effect_interval"]).text() if moved else "not moved",
            str(row["turned"]) if moved else "–",
            f"{row['distance']:.2f}",
            percent(row["importance"]),
            percent(row["stand_in_importance"]),
            row["trust"],
        ]


def test_the_2_files_inside_have_every_digit_of_to_json(page):
    files, expected = carried(page), measured().to_json()
    assert set(files) == {"light-concepts.csv", "light-reactions.json"}
    assert json.loads(files["light-reactions.json"]) == expected
    sheet = pd.read_csv(StringIO(files["light-concepts.csv"].decode()))
    for column, key in (("effect", "effect"), ("distance", "distance"), ("importance", "importance")):
        wanted = [np.nan if row[key] is None else row[key] for row in expected["families"]]
        assert sheet[column].tolist() == pytest.approx(wanted, rel=1e-15, nan_ok=True)
    assert sheet["channels"][3] == "6 7" and sheet["stand-ins"][0] == "51 50"


def test_what_the_answer_rests_on_and_its_90_of_100_faces_are_told_before_the_numbers(page):
    made = measured()
    cannot = "Only what the generator can draw can be found: a patch, a logo, writing, or noise in the picture is never"
    for words in (made.fidelity.sentence, made.basis, made.others, cannot, made.model.input.sentence[6:]):
        assert words in page.text
    assert made.fidelity.sentence.startswith(
        "A concept classifier trained on its answers says the same about 90 of 100"
    )
    trust, numbers = page.text.index("How far to trust it", 800), page.text.index("The same in numbers")
    assert page.text.index("It reacts most to") < trust < page.text.index("What cannot be found") < numbers


def test_the_3_strongest_come_first_then_12_that_move_it_and_4_that_only_go_with_it(page):
    shown = triples(page)
    assert (GALLERY, ALONE) == (12, 4)
    assert shown[:15] == [f"Part: {number}" for number in range(15)]
    assert shown[15:] == [f"Part: {number}" for number in (16, 17, 18, 19)]  # 20 was not moved
    assert "1 further one is in the table alone" in page.text
    widths = [attributes["width"] for tag, attributes in page.tags if tag == "img" and "A face" in attributes["alt"]]
    assert widths == ["256"] * 9 + ["192"] * 48  # of pictures of 300 px


def test_a_chance_of_99_7_percent_stands_below_its_picture_and_the_chart_draws_20_families(page):
    odds = -2 + 8 - 0.3  # of the first face, moved up
    assert chance(1 / (1 + np.exp(-odds))) == "99.7\N{NO-BREAK SPACE}%" and "99.7\N{NO-BREAK SPACE}%" in page.text
    (chart,) = [label for label in page.attributes("aria-label") if label.startswith("Effect of every concept")]
    assert chart.count("Part: ") == 20 and "Part: 3 +6.5 [+6.1, +6.9], moves it" in chart
    assert page.source.count('class="dot one"') == 16 and page.source.count('class="dot before"') == 4


@pytest.mark.parametrize(
    ("effects", "answer"),
    [
        ({}, "It reacts most to Part: 0, Part: 1 and Part: 2. Moved up, each of them makes “light” more likely."),
        (
            {1: -9.0},
            "It reacts most to Part: 0, Part: 1 and Part: 2. Moved up, Part: 0 and Part: 2 make “light” more likely; "
            "Part: 1 makes “dark” more likely.",
        ),
        (
            {0: -9.0},
            "It reacts most to Part: 0, Part: 1 and Part: 2. Moved up, Part: 0 makes “dark” more likely; Part: 1 and "
            "Part: 2 make “light” more likely.",
        ),
    ],
)
def test_the_answer_names_3_concepts_and_towards_what_each_moves_it(home, effects, answer):
    text = Page(explanation_html(Painted(), measured(effects=effects))).text.replace("\N{NO-BREAK SPACE}", " ")
    assert answer in text


def test_where_none_of_20_moves_it_the_largest_changes_are_shown_and_where_nothing_was_trained_22_dashes_stand(home):
    made = measured(verdicts=["not seen"] * 22, trained=False)
    page = Page(explanation_html(Painted(), made))
    assert "none of 20 concepts changes its answer beyond chance on 4 faces" in page.text
    assert "None of these changes is beyond chance" in page.text and triples(page) == ["Part: 0", "Part: 1", "Part: 2"]
    assert "It takes all for light." in page.text and "SD apart" not in page.text
    told = page.table("The same in numbers")
    assert sum(cells[3:6] == ["–", "–", "–"] for cells in told.values()) == 22


def test_a_classifier_that_takes_12_faces_for_1_class_is_warned_of_and_one_that_is_gone_is_told(home):
    always = of_function(lambda squares: np.tile([0.1, 0.9], (len(squares), 1)), "always", size=32)
    page = Page(explanation_html(Painted(), measured(always)))
    assert "It takes 12 of 12 sample faces for yes." in page.text
    gone = of_function(broken, "gone", size=32)
    page = Page(explanation_html(Painted(), measured(gone)))
    assert f"It cannot be asked any more: {EVIL} is gone." in page.text and "Sample face 1" not in page.source


# --- photos of somebody's own -----------------------------------------------------------------------------


def test_of_26_photos_24_are_shown_all_are_listed_and_2_concepts_stand_with_their_change(page):
    grey = np.full((300, 300, 3), 90, np.uint8)
    made = measured()
    photos = SimpleNamespace(
        sentence=f"It answers alike on 25 of 26 photos {EVIL}.",
        rows=[
            SimpleNamespace(name=f"{EVIL} {number}", probability=0.8, drawn=0.3, far=number == 25, picture=grey)
            for number in range(26)
        ],
        effects=[
            SimpleNamespace(
                family=row.family, change=Mean(2.0, 1.5, 2.5), moves=row.number == 1, example=(grey, grey, 0.2, 0.7)
            )
            for row in made.families[:2]
        ],
    )
    written = Page(explanation_html(Painted(), made, photos=photos))
    assert "On photos" in written.text and "On photos" not in page.text
    assert len([alt for alt in written.attributes("alt") if alt.startswith("Photo ")]) == PHOTOS == 24
    told = written.table("Chance of light")
    assert len(told) == 27 and told[f"{EVIL} 3"] == ["80.0\N{NO-BREAK SPACE}%", "30.0\N{NO-BREAK SPACE}%"]
    assert "far from the photo" in told[f"{EVIL} 25"][1] and written.text.count("far from the photo") == 1
    assert written.table("Concepts moved in the photos")["Part: 1"] == ["+2.0 [+1.5, +2.5]", "moves it"]
    assert photos.sentence in written.text and "<b>" not in written.source
    assert written.attributes("alt").count("A photo, Part: 0 moved") == 1


# --- one file that loads nothing, and text that stays text ------------------------------------------------


def test_both_pages_are_1_file_of_less_than_3_megabytes_that_loads_nothing(page, real):
    for written in (page, real[1]):
        links = [*written.attributes("src"), *written.attributes("href")]
        assert links and all(link.startswith(("data:", "#")) for link in links)
        assert not {"script", "link", "iframe", "object", "base", "form"} & {tag for tag, _ in written.tags}
        assert "http:" not in written.source and "https:" not in written.source and "url(" not in written.source
        assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in written.attributes("content")
        assert not [name for _, attributes in written.tags for name in attributes if name.startswith("on")]
        assert len(written.source.encode()) < 3e6


def test_every_picture_and_every_1_of_the_figures_has_its_words_and_headings_go_down_by_1_level(page, real):
    for written in (page, real[1]):
        assert all(attributes.get("alt") for tag, attributes in written.tags if tag == "img")
        drawn = [attributes for tag, attributes in written.tags if tag == "svg"]
        assert drawn and all(attributes.get("aria-hidden") == "true" for attributes in drawn)
        charts = [attributes for _, attributes in written.tags if attributes.get("role") == "img"]
        assert len(charts) == 1 and charts[0]["aria-label"]
        levels = [level for level, _ in written.headings]
        assert levels[0] == 1 and levels.count(1) == 1 and all(b - a <= 1 for a, b in itertools.pairwise(levels))
        count = [tag for tag, _ in written.tags].count
        assert count("caption") == count("table") == 2 and count("figcaption") == count("figure")
        ids = written.attributes("id")
        inner = [link[1:] for link in written.attributes("href") if link.startswith("#")]
        assert len(ids) == len(set(ids)) and len(inner) == count("section") and set(inner) <= set(ids)


def test_a_hostile_title_class_name_and_reason_are_text_in_1_page(home):
    model = of_function(brightness, "light", size=32, classes=(f"no {EVIL}", f"yes {EVIL}"), title=f"T {EVIL}")
    made = measured(model, trained=False)
    rows = [replace(row, family=replace(row.family, name=f"N{row.number} {EVIL}")) for row in made.families]
    page = Page(explanation_html(Painted(), replace(made, families=tuple(rows), why=f"W {EVIL}", table=f"U {NAME}")))
    assert "<b>" not in page.source and page.source.count("&lt;b&gt;x&lt;/b&gt;") > 100
    assert f"U {NAME}" in page.text.replace("\N{NO-BREAK SPACE}", " ")
    for begins in ("T ", "no ", "yes ", "N0 ", "N21 ", "W "):
        assert f"{begins}{EVIL}" in page.text.replace("\N{NO-BREAK SPACE}", " ")


def test_a_file_of_1_classifier_is_told_with_its_hash_and_how_it_is_asked_again(home, monkeypatch):
    model = replace(measured().model, origin="smile.onnx", key="k" * 16)
    record = model.to_json() | {"sha256": "5" * 64, "added": "2026-11-28"}
    monkeypatch.setattr(models, "records", lambda: [record])
    page = Page(explanation_html(Painted(), replace(measured(), model=model)))
    for words in ("smile.onnx", "5" * 64, "k" * 16, "28 November 2026", "toy-key"):
        assert words in page.text
    assert "img2tab explain --classifier light --table toy --faces 200" in page.text
    assert "allow no other use" in page.text


@pytest.mark.browser
def test_a_browser_shows_it_on_390_px_and_asks_for_0_addresses(real, tmp_path):
    if not chromium():
        pytest.skip("no Chromium is installed")
    from playwright.sync_api import sync_playwright

    file = tmp_path / "explanation.html"
    file.write_text(real[1].source, encoding="utf-8")
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        asked, complaints = [], []
        tab = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme="dark").new_page()
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("console", lambda message: complaints.append(message.text))
        tab.goto(file.as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth") == 390
        assert tab.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()] and complaints == []
        browser.close()
