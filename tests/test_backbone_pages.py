"""The pages with a backbone that somebody added, and the pages Compare and Data, driven as a person would."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
import streamlit as st
import torch
from streamlit.testing.v1 import AppTest

from dashboard.state import faces as face_state
from dashboard.state import visit as state
from img2tab_core.backbones import backbone, checkpoints
from img2tab_core.base import files
from img2tab_core.base.records import Edit
from img2tab_core.classifiers import kinds
from img2tab_core.classifiers import kinds as classifiers
from img2tab_core.networks.stylegan2 import StyleGAN2
from img2tab_core.studio import Studio
from img2tab_core.tables import importing_codes
from tests import app

pytestmark = pytest.mark.usefixtures("small_pictures")

PAGES = {name: f"views/{name}.py" for name in ("inspect", "concepts", "exclude", "compare", "data")}


@pytest.fixture(scope="module")
def home(studio, tmp_path_factory):
    """The default table, a small StyleGAN2 with an encoder and a table, and a generator without either."""
    real, own = files.home(), tmp_path_factory.mktemp("home")
    (own / "tables").mkdir()
    (own / "tables" / "default").symlink_to(real / "tables" / "default")
    shutil.copytree(real / "runs", own / "runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMG2TAB_HOME", str(own))
        torch.manual_seed(0)
        generator = StyleGAN2(32)
        encoder = checkpoints.new_encoder("SingleStyleCodeEncoder", 8)
        parts = {f"decoder.{name}": value for name, value in generator.state_dict().items()}
        parts |= {f"encoder.{name}": value for name, value in encoder.state_dict().items()}
        torch.save(
            {
                "state_dict": parts,
                "latent_avg": torch.zeros(8, 512),
                "opts": {"encoder_type": "SingleStyleCodeEncoder"},
            },
            own / "small.pt",
        )
        torch.save({"g_ema": generator.state_dict(), "latent_avg": torch.zeros(512)}, own / "bare.pt")
        small = backbone.add_backbone(own / "small.pt", "small")
        backbone.add_backbone(own / "bare.pt", "bare")
        psi = small.random_codes(240, seed=5)
        odd = psi[:, 700] > np.median(psi[:, 700])
        np.save(own / "codes.npy", psi)
        pd.DataFrame({"odd": odd.astype(int), "pair": np.arange(240) % 2}).to_csv(own / "labels.csv", index=False)
        importing_codes.import_codes(own / "codes.npy", own / "labels.csv", small, name="small-faces")
        _forget()
        yield own
    _forget()


def _forget():
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture
def visit(home):
    return app.begun()


def _go(at: AppTest, page: str) -> AppTest:
    return app.ready(at.switch_page(PAGES[page]).run())


def _choose(at: AppTest, name: str) -> AppTest:
    return app.ready(at.selectbox(key="frame.backbone").set_value(name).run())


def _errors(at: AppTest) -> list[str]:
    return [one.value for one in at.error]


# ---- another backbone


def test_the_sidebar_offers_3_backbones_and_each_has_its_own_tables_and_targets(visit):
    assert visit.selectbox(key="frame.backbone").options == ["mobilestylegan-ffhq", "small", "bare"]
    assert len(app.held(visit.selectbox, "frame.target").options) == 12  # with the age bands
    at = _choose(visit, "small")
    assert app.held(at.selectbox, "frame.target").options == ["Odd", "Pair"] and not _errors(at)
    assert any("small-faces" in one.value for one in at.sidebar.caption)


def test_a_sample_is_read_judged_and_moved_by_the_backbone_that_is_chosen(visit):
    at = app.well(_choose(visit, "small").button(key="sample-2").click().run())
    door, face = state.studio(), face_state.samples()[2]
    run = door.run(state.table("small-faces"), "odd")
    code = door.encode(face, backbone="small")
    assert code.values.shape == (5632,) and code.backbone == "small"
    expected = door.predict(run, code).probability
    shown = max(expected, 1 - expected)
    assert any(f", {100 * shown:.1f}" in each.value for each in (*at.header, *at.markdown))
    assert not any(one.key == "inspect.refine" for one in at.button)  # 32 px are too small to compare with a face
    low, high = (door.predict(run, code, [Edit(700, shift)]).probability for shift in (-100.0, 100.0))
    assert low < high  # the label is made of this channel
    back = _choose(at, "mobilestylegan-ffhq")
    assert door.encode(face).values.shape == (6752,)
    assert any(one.key == "inspect.refine" for one in back.button)


def test_concepts_and_exclusion_work_with_its_5632_channels(visit):
    at = _go(_choose(visit, "small"), "concepts")
    assert len(at.dataframe[0].value) == 5632 and "published" in at.dataframe[0].value
    assert at.dataframe[0].value["index"].iloc[0] == 700  # the channel its label is made of
    at = _go(at, "exclude")
    assert sum(bool(one.key and one.key.startswith("exclude.tick.")) for one in at.checkbox) == 12
    assert not _errors(at)


def test_a_name_belongs_to_1_backbone(visit):
    door = state.studio()
    door.name_concept(700, "oddness", backbone="small")
    assert door.concept_names("small") == {700: "oddness"} and 700 not in door.concept_names()
    at = _go(_choose(visit, "small"), "concepts")
    assert at.dataframe[0].value["name"].iloc[0] == "oddness"
    door.name_concept(700, "", backbone="small")


def test_a_backbone_without_a_table_or_an_encoder_says_the_1_command_that_makes_one(visit):
    at = _choose(visit, "bare")
    assert any("has no table yet" in one.value for one in at.markdown) and not _errors(at)
    (code,) = [one.value for one in at.code]
    assert code.startswith("img2tab import psi CODES LABELS --backbone bare")  # it cannot read photos
    assert any("no encoder" in one.value for one in at.caption)
    assert any(one.label == "Target" for one in _choose(at, "small").selectbox)


# ---- classifiers


def test_another_classifier_is_retrained_judged_and_listed(visit):
    if classifiers.absent("lightgbm"):
        pytest.skip(classifiers.absent("lightgbm"))
    at = _go(_choose(visit, "small"), "exclude")
    at.selectbox(key="exclude.kind").set_value("lightgbm").run()
    at = app.well(at)
    assert not at.button(key="exclude.train").disabled  # another classifier without any exclusion
    at = app.well(at.button(key="exclude.train").click().run())
    assert at.session_state["visit.job"].wait(120)
    at = app.well(at.run())
    assert any(one.value.startswith("**Run 2**, LightGBM, excludes nothing") for one in at.markdown)
    at = app.well(_go(at, "inspect").button(key="sample-0").click().run())
    assert at.metric


# ---- compare


def test_compare_starts_empty_then_shows_2_classifiers_with_intervals_and_keeps_them(visit, home):
    at = _go(_choose(visit, "small"), "compare")
    assert any("Nothing was compared" in one.value for one in at.info)
    at.button_group(key="compare.kinds").set_value(["forest", "logistic"])
    at = app.well(at.run())
    at = app.well(at.button(key="compare.start").click().run())
    (job,) = at.session_state["visit.comparing"].values()
    assert job.wait(120)
    at = app.well(at.run())
    table = at.dataframe[0].value
    assert table["classifier"].tolist() == ["Random forest", "Logistic regression"]
    assert all("±" in value for value in table["accuracy"])
    assert any("judges best" in one.value for one in at.markdown)
    kept = Studio().trainer.compared(state.table("small-faces"), "odd")
    assert [one.kind for one in kept.contenders] == ["forest", "logistic"] and kept.seeds == (0, 1, 2)
    again = _go(_choose(app.begun(), "small"), "compare")
    assert again.dataframe[0].value.equals(table)
    assert (home / "comparisons" / "small-faces-odd.json").is_file()


def test_a_comparison_of_nothing_cannot_be_started_and_an_absent_classifier_is_named(visit, monkeypatch):
    monkeypatch.setattr(kinds, "absent", lambda kind: "TabNet is not here." if kind == "tabnet" else None)
    at = _go(visit, "compare")
    assert "TabNet" not in at.button_group(key="compare.kinds").options
    assert any(one.value == "TabNet is not here." for one in at.caption)
    at.button_group(key="compare.kinds").set_value([])
    assert app.well(at.run()).button(key="compare.start").disabled


def test_a_cancelled_comparison_says_so(visit):
    at = _go(visit, "compare")
    at = app.well(at.button(key="compare.start").click().run())
    (job,) = at.session_state["visit.comparing"].values()
    at = app.well(at.button(key="compare-cancel").click().run())
    assert job.wait(120) and job.state == "cancelled"
    assert any("cancelled" in one.value for one in app.well(at.run()).info)


# ---- data


def test_data_lists_3_backbones_and_2_tables_with_their_classes(visit):
    at = _go(visit, "data")
    frames = [one.value for one in at.dataframe]
    backbones = next(frame for frame in frames if "Name" in frame)
    assert backbones["Name"].tolist() == ["mobilestylegan-ffhq", "small", "bare"]
    assert backbones["Encoder"].tolist()[2] == "none"
    default, small = (frame for frame in frames if "Known" in frame)
    assert len(default) == 12 and small["Known"].tolist() == [240, 240]
    assert any("img2tab import folder" in one.value for one in at.code)


def test_data_opens_for_a_backbone_without_a_table(visit):
    at = _go(_choose(visit, "bare"), "data")
    assert [one.value for one in at.title] == ["Data"] and not _errors(at)
