"""The worked example on a table made by hand: the attribute sits in channels of its own, so excluding them helps."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from img2tab_core import tables
from img2tab_core.audits import worked_example
from img2tab_core.audits.remedies import NOTHING
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.records import Target

COUNT, CHANNELS = 4000, 60


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """`kind` sits faintly in channels 0 to 4, `group` loudly in 40 to 59; a seed trains on 600 faces, nine to one."""
    rng = np.random.default_rng(0)
    kind, group = rng.integers(0, 2, (2, COUNT)).astype(np.int8)
    psi = rng.normal(size=(COUNT, CHANNELS)).astype(np.float32)
    psi[:, :5] += 0.8 * kind[:, None]
    psi[:, 40:] += 1.5 * group[:, None]
    table = tables.write_table(
        tmp_path_factory.mktemp("tables") / "toy",
        lambda rows: psi[rows],
        pd.DataFrame({"kind": kind, "group": group}),
        targets=[Target("kind", "Kind", ("plain", "special"), ""), Target("group", "Group", ("left", "right"), "")],
        layout=StyleLayout((CHANNELS,)),
        backbone="toy",
        key="toy",
    )
    return worked_example.worked_example(table, "kind", "group", seeds=(0, 1), faces=600, base="logistic")


def test_the_suggested_exclusion_closes_half_of_the_gap_or_more_and_costs_less_than_1_point(found):
    nothing, ours = found.outcome(NOTHING), found.outcome(worked_example.OURS)
    assert nothing.estimate("equalised_odds").mean > 0.2 and ours.reason is None
    assert worked_example.closed(found, worked_example.OURS) > 0.5
    assert ours.estimate("accuracy").mean > nothing.estimate("accuracy").mean - 0.01
    assert worked_example.closed(found, NOTHING) == 0


def test_erased_and_balanced_closes_8_tenths_and_cannot_be_told_from_an_unbiased_sample_on_264_faces(found):
    assert worked_example.closed(found, worked_example.BALANCED) > 0.8
    above = worked_example.above_reference(found, worked_example.BALANCED)
    assert above.faces.low < 0.01 and above.faces.low < above.faces.value < above.faces.high
    assert worked_example.above_reference(found, worked_example.UNBIASED) is None
    for ours in (worked_example.UNGROUPED, worked_example.MOVED):
        assert worked_example.closed(found, ours) > 0.6


def test_every_remedy_has_2_seeds_of_600_faces_and_a_row(found):
    assert found.train_faces == (600, 600) and all(len(one.trials) == 2 for one in found.outcomes)
    text = worked_example.as_markdown(found)
    assert text.count("\n| ") == len(found.outcomes) + 1 and worked_example.OURS in text and "± " in text
