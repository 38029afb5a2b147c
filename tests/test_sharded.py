"""Distances over shards: the bits of the local answer, however the faces lie, and a bound before the last question."""

from __future__ import annotations

import json
import pickle
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wasserstein_distance
from typer.testing import CliRunner

from img2tab_core import tables
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.layout import StyleLayout
from img2tab_core.base.records import Target
from img2tab_core.cli import main
from img2tab_core.concepts import scores, sharded, wasserstein
from img2tab_core.tables import faces_of
from tests.test_scoring import kinds

TARGET = Target("warm", "warm", ("not warm", "warm"), "by a formula")
KIND = Target("kind", "kind", ("a", "b", "c"), "by a formula")


def split(psi, labels, bounds):
    """Shards of the rows between `bounds`; every question and every answer is sent as to another process."""
    labels = np.asarray(labels)
    shards = [sharded.Shard(psi, np.arange(start, stop), labels[start:stop]) for start, stop in pairwise(bounds)]

    def ask(question):
        for shard in shards:
            answer = pickle.loads(pickle.dumps(question))(shard)  # noqa: S301 - of the line itself
            yield pickle.loads(pickle.dumps(vars(answer)))  # noqa: S301

    return ask


def bounds_of(n, shards):
    """Where so many shards of n rows begin and end, none of one size; of more than two the second has no row."""
    cuts = np.sort(np.random.default_rng(shards).integers(0, n, shards - 1))
    if shards > 2:
        cuts[1] = cuts[0]
    return [0, *cuts, n]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n0", "n1"), [(1, 6000), (3, 4000), (2500, 2500), (1700, 5200)])
def test_1_2_and_7_shards_have_the_bits_of_the_local_answer_on_18_kinds_of_channels(n0, n1, dtype):
    n = n0 + n1
    labels = np.random.default_rng(1).permutation(np.repeat([0, 1], [n0, n1]))
    psi = np.stack(list(kinds(n, labels).values()), axis=1).astype(dtype, order="F")
    std = np.linspace(0.5, 2, psi.shape[1])
    local = wasserstein.distance_and_direction(psi, labels, std=std)
    for shards, buckets in ((1, None), (2, 16), (7, None), (7, 1)):
        answer = sharded.over(split(psi, labels, bounds_of(n, shards)), (n0, n1), std=std, buckets=buckets)
        assert np.array_equal(answer.distance, local[0]) and np.array_equal(answer.direction, local[1])
        assert (answer.low <= answer.distance).all() and (answer.distance <= answer.high).all()


@pytest.mark.parametrize("dtype", [np.float16, np.int8, np.int64, np.bool_, ">f4"])
def test_3_shards_of_5_other_number_types_have_the_bits_of_the_local_answer(dtype):
    labels = np.random.default_rng(2).integers(0, 2, 900)
    psi = (np.random.default_rng(3).normal(40, 10, (900, 5)) + labels[:, None]).astype(dtype)
    local = wasserstein.distance_and_direction(psi, labels, std=np.ones(5))
    faces = (int((labels == 0).sum()), int(labels.sum()))
    answer = sharded.over(split(psi, labels, [0, 10, 500, 900]), faces, std=np.ones(5))
    assert np.array_equal(answer.distance, local[0]) and np.array_equal(answer.direction, local[1])


def test_6000_values_finer_than_the_grid_beside_a_far_one_have_the_same_bits_in_7_shards_and_in_any_order():
    # 1e9 away a face of each class: the grid is 1e-6 wide, the other faces differ by 1e-8 and lie in many buckets
    labels = (np.random.default_rng(10).random(6000) < 0.4).astype(int)
    psi = 1e-8 * np.random.default_rng(11).normal(size=(6000, 3)) + 1e-7 * np.array([0, 1, -1]) * labels[:, None]
    psi[[np.argmax(labels), np.argmin(labels)]] = 1e9
    faces, rows = (int((labels == 0).sum()), int(labels.sum())), np.random.default_rng(12).permutation(6000)
    local = wasserstein.distance_and_direction(psi, labels, std=np.ones(3))
    assert np.array_equal(wasserstein.distance_and_direction(psi[rows], labels[rows], std=np.ones(3)), local)
    answer = sharded.over(split(psi, labels, bounds_of(6000, 7)), faces, std=np.ones(3))
    assert np.array_equal(answer.distance, local[0]) and np.array_equal(answer.direction, local[1])
    expected = [wasserstein_distance(x[labels == 0], x[labels == 1]) for x in psi.T]
    np.testing.assert_allclose(local[0], expected, rtol=1e-6)


def test_a_bound_worked_by_hand():
    # {0, 3} against {1, 2}, all in one bucket: F is 2, 0, -2 on three ways of 1, so its integral is 0, and F lies
    # between -4 and 4 on a way of 3: the distance is between 0 and 4 * 3 / 4 = 3. It is (1 + 1) / 2 = 1.
    psi, labels = np.array([[0.0], [3.0], [1.0], [2.0]]), np.array([0, 0, 1, 1])
    answer = sharded.over(split(psi, labels, [0, 1, 4]), (2, 2), std=np.ones(1), buckets=1)
    assert [answer.low[0], answer.distance[0], answer.high[0]] == pytest.approx([0, 1, 3], abs=1e-12)
    # A bucket each: all of it is known at once, but for the width of a bucket.
    answer = sharded.over(split(psi, labels, [0, 1, 4]), (2, 2), std=np.ones(1), buckets=1 << 12)
    assert answer.distance[0] == 1 and answer.high[0] - answer.low[0] < 1e-3


def test_a_class_far_from_the_other_is_known_at_once_and_none_of_20000_faces_travels():
    labels = np.repeat([0, 1], 10_000)
    psi = np.random.default_rng(4).normal(size=(20_000, 2)).astype(np.float32) + 50 * labels[:, None]
    answer = sharded.over(split(psi, labels, [0, 5000, 12_000, 20_000]), (10_000, 10_000), std=np.ones(2))
    assert answer.open_buckets == 0 and answer.sent.open_faces == 3 * 3 * 8  # where each channel begins and ends
    np.testing.assert_allclose(answer.high, answer.low, rtol=1e-12)


def test_of_20000_faces_that_cross_in_the_middle_less_than_a_tenth_travels_and_ties_travel_as_one():
    labels = np.random.default_rng(5).integers(0, 2, 20_000)
    normal = np.random.default_rng(6).normal(size=20_000)
    wider = (normal * (1 + labels)).astype(np.float32)
    psi = np.stack([wider, np.rint(wider), np.full(20_000, 2.5, np.float32)], axis=1)
    faces = (int((labels == 0).sum()), int(labels.sum()))
    channels = [psi[:, at : at + 1] for at in range(3)]
    sent = [sharded.over(split(one, labels, [0, 10_000, 20_000]), faces, std=np.ones(1)).sent for one in channels]
    fixed = 2 * 2 * 8  # where the channel begins and ends, in two shards
    assert 0 < (sent[0].open_faces - fixed) / 8 < 0.1 * 20_000
    assert fixed < sent[1].open_faces <= fixed + 2 * 2 * 25 * 8  # at most 25 whole numbers of two classes each
    assert sent[2].open_faces == fixed


def test_what_a_shard_sends_for_a_channel_is_known_before_as_12288_bytes_of_counts():
    expected = sharded.bytes_sent(12_383, 2)
    assert sharded.bucket_count(12_383, 2) == 256 and expected.counts == 2 * 256 * 12 == 6144
    labels = np.random.default_rng(7).integers(0, 2, 12_383)
    psi = np.random.default_rng(8).normal(size=(12_383, 3)).astype(np.float32)
    faces = (int((labels == 0).sum()), int(labels.sum()))
    sent = sharded.over(split(psi, labels, [0, 7000, 12_383]), faces, std=np.ones(3)).sent
    assert (sent.ends, sent.counts) == (2 * 3 * expected.ends, 2 * 3 * expected.counts)
    # ten million faces in 100 shards: an eighth of what lies there, in one place
    assert sum(sharded.bytes_sent(10_000_000, 100)) * 100 < 4 * 10_000_000 / 8


def test_what_does_not_fit_is_refused_in_a_sentence():
    psi, labels = np.arange(8.0).reshape(4, 2), np.array([0, 1, 1, 0])
    with pytest.raises(Img2TabError, match="Both classes"):
        sharded.over(split(psi, labels, [0, 4]), (0, 4), std=np.ones(2))
    with pytest.raises(Img2TabError, match=r"must have \(2, 2\) faces of the two classes, got \(1, 2\)"):
        sharded.over(split(psi, labels, [0, 1, 3]), (2, 2), std=np.ones(2))
    with pytest.raises(Img2TabError, match="at least one shard"):
        sharded.over(lambda question: iter(()), (2, 2), std=np.ones(2))
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(Img2TabError, match="channel 1"):
            sharded.over(split(np.where(psi == 5, bad, psi), labels, [0, 2, 4]), (2, 2), std=np.ones(2))


# --- a table ------------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A visitor's folder with the table `toy`: 300 faces x 30, channel 4 is the label, some labels unknown."""
    monkeypatch.setenv("IMG2TAB_HOME", str(tmp_path))
    psi = np.random.default_rng(9).normal(size=(300, 30)).astype(np.float32)
    warm = np.where(np.arange(300) % 11 == 0, -1, psi[:, 4] > 0).astype(np.int8)
    kind = (np.arange(300) % 3).astype(np.int8)
    tables.write_table(
        tmp_path / "tables" / "toy",
        lambda rows: psi[rows],
        pd.DataFrame({"warm": warm, "kind": kind}),
        targets=(TARGET, KIND),
        layout=StyleLayout((20, 10)),
        backbone="made-by-hand",
        key="toy",
    )
    return tmp_path


def test_distances_stopped_after_5_of_9_answers_go_on_from_there(home):
    faces, heard = faces_of(tables.open_table(home / "tables" / "toy"), "warm"), []
    with pytest.raises(Cancelled, match="go on"):
        scores.over_shards(faces, 3, progress=lambda *_: heard.append(1), stopped=lambda: len(heard) >= 5)
    assert len(heard) == 5

    def meanwhile(*_):
        heard.append(1)
        with pytest.raises(Img2TabError, match="Another process measures the very same distances"):
            scores.over_shards(faces, 3)

    answer = scores.over_shards(faces, 3, progress=meanwhile)
    assert len(heard) == 9 and np.array_equal(answer.distance, scores.distances(faces)[0])


def test_the_verb_says_what_5_shards_sent_and_ranks_as_without_them(home):
    words = ["scores", "--table", "toy", "--target", "warm", "--top", "3"]
    plain, over = (
        json.loads(CliRunner().invoke(main.app, [*words, *more, "--json"]).stdout) for more in ([], ["--shards", "5"])
    )
    assert over["concepts"] == plain["concepts"] and over["concepts"][0]["index"] == 4
    assert over["over_shards"]["shards"] == 5 and over["over_shards"]["bytes"]["ends"] == 5 * 30 * 32
    text = CliRunner().invoke(main.app, [*words, "--shards", "1"]).stdout
    assert text.startswith("Distances over 1 shard: known within ")


def test_shards_of_3_classes_or_10001_shards_are_refused(home):
    table = tables.open_table(home / "tables" / "toy")
    with pytest.raises(Img2TabError, match="3 classes"):
        scores.over_shards(faces_of(table, "kind"), 2)
    with pytest.raises(Img2TabError, match="1 to 10,000"):
        scores.over_shards(faces_of(table, "warm"), 10_001)
