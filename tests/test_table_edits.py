"""Edits on a table that somebody imported count in that table's standard deviations, and show at every size."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
import torch

from img2tab_core.backbones import backbone
from img2tab_core.base.records import Edit, StyleCode, decided_classes
from img2tab_core.networks.stylegan2 import StyleGAN2
from img2tab_core.studio import Studio
from img2tab_core.tables import importing_codes

FACES = 240
NARROW = 0.3  # how far the table's faces spread, as a share of the backbone's own


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A StyleGAN2 of 256 px with random weights, and a table of 240 faces nearer to the mean than its own."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMG2TAB_HOME", str(folder))
        torch.manual_seed(0)
        generator = StyleGAN2(256)
        torch.save({"g_ema": generator.state_dict(), "latent_avg": torch.zeros(512)}, folder / "small.pt")
        small = backbone.add_backbone(folder / "small.pt", "small")
        codes = small.random_codes(FACES, seed=3)
        codes = small.stats.mean + NARROW * (codes - small.stats.mean)
        odd = codes[:, 700] > np.median(codes[:, 700])
        np.save(folder / "codes.npy", codes)
        pd.DataFrame({"odd": odd.astype(int)}).to_csv(folder / "labels.csv", index=False)
        importing_codes.import_codes(folder / "codes.npy", folder / "labels.csv", small, name="narrow")
        yield folder


@pytest.fixture(scope="module")
def door(home):
    return Studio()


@pytest.fixture(scope="module")
def table(door):
    return door.table("narrow")


@pytest.fixture(scope="module")
def run(door, table):
    return door.run(table, "odd")


@pytest.fixture(scope="module")
def code(table):
    return StyleCode.of(table.psi[7], "small")


def late(table) -> int:
    """A channel of the last layer: it shows at 256 px and in no smaller picture."""
    return table.layout.index_of(table.layout.layers - 1, 3)


def test_the_tables_standard_deviations_are_less_than_half_of_the_backbones(door, table):
    assert np.median(table.stats.std / np.maximum(door.stats("small").std, 1e-9)) < 0.5


def test_a_family_of_strength_1_5_moves_1_5_times_the_distance_of_the_table(door, table, run, code):
    distance, _ = door.trainer.distances(table, "odd")
    family = door.family(run, count=20, strength=1.5)
    moved = door.edited(code, family, stats=door.stats_of(run)).values - code.values
    index = np.array([edit.index for edit in family])
    assert np.abs(moved[index]) == pytest.approx(1.5 * distance[index] * table.stats.std[index], rel=1e-3)
    assert np.count_nonzero(moved) <= 20


def test_predictions_and_frames_of_13_shifts_are_those_of_codes_moved_by_the_tables_deviations(door, table, run, code):
    shifts = np.linspace(-3, 3, 13)

    def chances(std: float) -> list[float]:
        values = np.repeat(code.values[None], len(shifts), axis=0)
        values[:, 700] += (shifts * std).astype(np.float32)
        return run.classifier.predict_proba(values)[:, 1].tolist()

    wanted = pytest.approx(chances(float(table.stats.std[700])), abs=1e-6)
    assert chances(float(door.stats("small").std[700])) != wanted
    assert [door.predict(run, code, [Edit(700, float(shift))]).probability for shift in shifts] == wanted
    assert [frame.probability for frame in door.strip(run, code, 700, reach=3.0, frames=13, size=32)] == wanted


def test_a_picture_of_an_edit_in_the_tables_deviations_is_that_of_the_moved_style_code(door, table, run, code):
    values = code.values.copy()
    values[700] += 4 * table.stats.std[700]
    wanted = door.render(StyleCode.of(values, "small"), size=128)
    assert np.array_equal(door.render(code, [Edit(700, 4.0)], size=128, stats=door.stats_of(run)), wanted)
    assert not np.array_equal(door.render(code, [Edit(700, 4.0)], size=128), wanted)  # the backbone's own are wider


def test_another_edit_in_the_last_layer_stays_in_a_strip_of_128_px(door, table, run, code):
    stats = door.stats_of(run)
    early, other = 5, Edit(late(table), 60.0)
    with_other = door.strip(run, code, early, edits=[other], reach=4.0, frames=3, size=128)
    without = door.strip(run, code, early, reach=4.0, frames=3, size=128)
    assert np.abs(with_other[1].pixels.astype(int) - without[1].pixels).max() > 5
    for frame in with_other:
        still = door.render(code, [other, Edit(early, frame.shift)], size=128, stats=stats)
        assert np.array_equal(frame.pixels, still)


def test_a_known_edit_of_the_last_layer_agrees_with_itself_at_1_and_is_json(door, table, run, code, monkeypatch):
    order = np.zeros(table.layout.total)
    order[late(table)] = 1.0
    monkeypatch.setattr("img2tab_core.studio.KNOWN_EDIT", (1, 60.0))
    monkeypatch.setattr(door.trainer, "distances", lambda table, target: (order, order))
    agreement = door.edit_agreement(run, code, code)
    assert agreement.picture == pytest.approx(1.0)
    json.dumps(asdict(agreement), allow_nan=False)


def test_an_edit_that_changes_neither_picture_agrees_at_1_and_one_of_them_at_0():
    from img2tab_core.studio import agreement_of

    flat, bump = np.zeros(12), np.arange(12.0)
    assert agreement_of(flat, flat) == 1.0
    assert agreement_of(flat, bump) == agreement_of(bump, flat) == 0.0
    assert agreement_of(bump, 3 * bump) == pytest.approx(1.0)
    assert agreement_of(bump, -bump) == pytest.approx(-1.0)


def test_a_probability_of_one_half_is_class_0_for_a_number_a_column_a_prediction_and_a_classifier():
    from img2tab_core.base.records import Prediction
    from img2tab_core.classifiers.measures import metrics_of

    chances = np.array([0.4999, 0.5, 0.5001])
    assert decided_classes(chances).tolist() == [0, 0, 1]
    assert int(decided_classes(0.5)) == 0
    assert [Prediction(float(chance), np.zeros(1), 0.0).decided for chance in chances] == [0, 0, 1]
    assert metrics_of(chances, np.array([0, 0, 1])).accuracy == 1.0
