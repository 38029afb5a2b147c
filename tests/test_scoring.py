"""Distances between the classes: exact against SciPy, and the laws a distance obeys."""

import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from img2tab_core.base.errors import Img2TabError
from img2tab_core.concepts import scores, wasserstein


def ones(d):
    return np.ones(d)


def test_a_case_worked_by_hand():
    # {0, 1} against {2, 2, 5}: quantiles differ by 2 on [0, 1/2), 1 on [1/2, 2/3), 4 on [2/3, 1):
    # 1 + 1/6 + 4/3 = 5/2; with a standard deviation of 2, 5/4. Means: 3 - 1/2 = 5/2, so 5/4 as well.
    psi = np.array([[0.0], [2.0], [1.0], [5.0], [2.0]])
    labels = np.array([0, 1, 0, 1, 1])
    assert wasserstein.wasserstein(psi, labels, std=np.array([2.0])) == pytest.approx([1.25], abs=1e-15)
    assert wasserstein.direction(psi, labels, std=np.array([2.0])) == pytest.approx([1.25], abs=1e-15)


def test_crossing_classes_have_a_distance_but_no_direction():
    # {-1, 1} against {0, 0}: each half moves by 1, and the means are equal.
    psi, labels = np.array([[-1.0], [1.0], [0.0], [0.0]]), np.array([1, 1, 0, 0])
    assert wasserstein.wasserstein(psi, labels, std=ones(1)) == pytest.approx([1.0])
    assert wasserstein.direction(psi, labels, std=ones(1)) == pytest.approx([0.0])


@pytest.mark.parametrize("seed", range(40))
def test_equals_scipy_to_1e_6_on_40_random_tables(seed):
    rng = np.random.default_rng(seed)
    n0, n1 = rng.choice([1, 2, 3, 7, 20, 64, 150], 2)
    d = int(rng.integers(1, 12))
    kind = seed % 4
    if kind == 0:
        psi = rng.normal(size=(n0 + n1, d)).astype(np.float32)
    elif kind == 1:  # whole numbers, many ties
        psi = rng.integers(-3, 4, (n0 + n1, d))
    elif kind == 2:  # far from zero, heavy tails
        psi = (1e4 + rng.standard_cauchy((n0 + n1, d))).astype(np.float32)
    else:  # float64, rounded, some columns constant
        psi = np.round(rng.normal(size=(n0 + n1, d)), 1)
        psi[:, rng.random(d) < 0.4] = 2.5
    labels = rng.permutation(np.repeat([0, 1], [n0, n1]))
    std = rng.uniform(0.1, 10, d)
    expected = [wasserstein_distance(psi[labels == 0, i], psi[labels == 1, i]) / std[i] for i in range(d)]
    for layout in (np.asfortranarray, np.ascontiguousarray):
        got = wasserstein.wasserstein(layout(psi), labels, std=std, block=int(rng.integers(1, 6)))
        assert got.dtype == np.float64
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)
        assert (got >= np.abs(wasserstein.direction(psi, labels, std=std)) - 1e-9).all()


def kinds(n, labels, seed=0):
    """Channels that a way of counting could get wrong, (n,) each."""
    rng = np.random.default_rng(seed)
    normal = rng.normal(size=n) + 0.3 * labels
    even = np.sort(rng.normal(size=n))
    return {
        "normal": normal,
        "the same in both classes": rng.normal(size=n),
        "far from zero": 1e4 + normal,
        "whole numbers": np.rint(3 * normal),
        "whole numbers up to 300": np.rint(60 * normal),
        "a rare whole number": np.where(rng.random(n) < 0.002, 7, np.rint(normal)),
        "0 or 1": (normal > 0.5),
        "constant": np.full(n, 2.5),
        "constant but for one face": np.where(np.arange(n) == n // 3, 1.0, 0.0),
        "half of it zero": np.maximum(normal, 0),
        "negative zeros": np.where(normal > 0.4, 0.0, np.where(normal < -0.4, -0.0, np.rint(normal))),
        "two values side by side and one far off": np.where(
            np.arange(n) == 5, 9.0, np.where(normal > 0.2, np.float32(1), np.nextafter(np.float32(1), np.float32(2)))
        ),
        "heavy tails": rng.standard_cauchy(n) + labels,
        "huge": 1e34 * normal,
        "tiny": 1e-36 * normal,
        "below the least normal number": 1e-43 * normal,
        "apart": normal + 50 * labels,
        "in order": np.where(labels, even, even[::-1]),
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n0", "n1"), [(1, 6000), (6000, 1), (3, 4000), (2500, 2500), (1700, 5200)])
def test_18_kinds_of_channels_equal_scipy_to_1e_6_of_the_distance(n0, n1, dtype):
    labels = np.random.default_rng(1).permutation(np.repeat([0, 1], [n0, n1]))
    channels = kinds(n0 + n1, labels)
    psi = np.stack(list(channels.values()), axis=1).astype(dtype, order="F")
    got, shift = wasserstein.distance_and_direction(psi, labels, std=ones(len(channels)))
    for index, name in enumerate(channels):
        values = psi[:, index].astype(np.float64)
        expected = wasserstein_distance(values[labels == 0], values[labels == 1])
        assert got[index] == pytest.approx(expected, rel=1e-6, abs=1e-13 * np.ptp(values)), name
        means = values[labels == 1].mean() - values[labels == 0].mean()
        assert shift[index] == pytest.approx(means, rel=1e-9, abs=1e-12 * np.abs(values).max()), name
    assert got[list(channels).index("constant")] == 0


@pytest.mark.parametrize("dtype", [np.float16, np.int8, np.uint16, np.int64, np.bool_, ">f4"])
def test_6_other_number_types_equal_their_float64(dtype):
    labels = np.random.default_rng(2).integers(0, 2, 900)
    psi = (np.random.default_rng(3).normal(40, 10, (900, 5)) + labels[:, None]).astype(dtype)
    expected = wasserstein.wasserstein(psi.astype(np.float64), labels, std=ones(5))
    assert np.array_equal(wasserstein.wasserstein(psi, labels, std=ones(5)), expected)


def test_neither_block_nor_threads_nor_neighbours_change_a_bit_of_18_kinds(monkeypatch):
    labels = (np.random.default_rng(4).random(3000) < 0.3).astype(int)
    psi = np.stack(list(kinds(3000, labels).values()), axis=1).astype(np.float32, order="F")
    std = ones(psi.shape[1])
    whole = wasserstein.distance_and_direction(psi, labels, std=std)
    for cores, block in ((1, 1), (2, 1), (3, 4), (5, 7), (1, 18), (2, 256)):
        monkeypatch.setattr(wasserstein, "_cores", lambda cores=cores: cores)
        found = wasserstein.distance_and_direction(psi, labels, std=std, block=block)
        assert np.array_equal(found, whole)
        assert np.array_equal(wasserstein.wasserstein(psi, labels, std=std, block=block), whole[0])
        assert np.array_equal(wasserstein.direction(psi, labels, std=std, block=block), whole[1])
        assert np.array_equal(
            wasserstein.wasserstein(np.ascontiguousarray(psi), labels, std=std, block=block), whole[0]
        )
    order = np.random.default_rng(5).permutation(len(std))
    assert np.array_equal(wasserstein.wasserstein(psi[:, order], labels, std=std), whole[0][order])


def test_two_classes_of_the_same_1000_values_are_0_apart():
    values = np.random.default_rng(6).normal(size=(1000, 3)).astype(np.float32)
    psi, labels = np.concatenate([values, values[::-1]]), np.repeat([0, 1], 1000)
    np.testing.assert_allclose(wasserstein.wasserstein(psi, labels, std=ones(3)), 0, atol=1e-15)


def test_6000_faces_in_another_order_change_no_bit_of_18_kinds():
    labels = (np.random.default_rng(14).random(6000) < 0.4).astype(int)
    psi = np.stack(list(kinds(6000, labels).values()), axis=1).astype(np.float32, order="F")
    rows = np.random.default_rng(15).permutation(6000)
    ordered = wasserstein.distance_and_direction(psi, labels, std=ones(18))
    assert np.array_equal(wasserstein.distance_and_direction(psi, labels[rows], std=ones(18), rows=rows), ordered)


@pytest.mark.parametrize("n", [900, 30_000])
def test_equals_scipy_to_1e_9_where_no_face_lies_far_out(n):
    labels = (np.random.default_rng(16).random(n) < 0.4).astype(int)
    shift = np.linspace(0, 2, 12)
    psi = (np.random.default_rng(17).normal(size=(n, 12)) + shift * labels[:, None]).astype(np.float32, order="F")
    expected = [wasserstein_distance(x[labels == 0], x[labels == 1]) for x in psi.astype(np.float64).T]
    np.testing.assert_allclose(wasserstein.wasserstein(psi, labels, std=ones(12)), expected, rtol=1e-9)


def test_8_threads_at_once_get_what_one_gets():
    from concurrent.futures import ThreadPoolExecutor

    psi, labels = table(7, n=4000, d=40)
    alone = wasserstein.wasserstein(psi, labels, std=ones(40))
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: wasserstein.wasserstein(psi, labels, std=ones(40), block=3), range(16)):
            assert np.array_equal(found, alone)


def test_a_progress_that_stops_the_work_is_heard_after_1_block_of_50():
    psi, labels = table(8, d=50)

    def stop(done):
        heard.append(done)
        raise Img2TabError("Enough.")

    heard = []
    with pytest.raises(Img2TabError, match="Enough"):
        wasserstein.wasserstein(psi, labels, std=ones(50), block=1, progress=stop)
    assert heard == [0.02]


def test_two_threads_work_on_a_map_of_256_mb_in_less_than_90_mb(tmp_path, monkeypatch):
    labels = np.random.default_rng(9).integers(0, 2, 160_000)
    psi = np.lib.format.open_memmap(tmp_path / "psi.npy", "w+", np.float32, (400, 160_000))
    psi[:] = np.random.default_rng(10).normal(size=160_000).astype(np.float32) + np.arange(400)[:, None]
    monkeypatch.setattr(wasserstein, "_cores", lambda: 2)
    tracemalloc.start()
    try:
        wasserstein.distance_and_direction(psi.T, labels, std=ones(400))
        assert tracemalloc.get_traced_memory()[1] < 90e6
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux says what is resident")
def test_of_a_map_of_26_mb_never_more_than_12_are_resident(tmp_path, monkeypatch):
    labels = np.random.default_rng(18).integers(0, 2, 160_000)
    np.save(tmp_path / "psi.npy", np.random.default_rng(19).normal(size=(40, 160_000)).astype(np.float32))
    psi = np.load(tmp_path / "psi.npy", mmap_mode="r")
    monkeypatch.setattr(wasserstein, "_cores", lambda: 1)
    monkeypatch.setattr(wasserstein, "MOST_READ", 4 << 20)
    resident, let_go = [], wasserstein.let_go

    def looked_at(psi):
        resident.append(_resident(tmp_path / "psi.npy"))
        let_go(psi)

    monkeypatch.setattr(wasserstein, "let_go", looked_at)
    wasserstein.distance_and_direction(psi.T, labels, std=ones(40))
    assert len(resident) == 4 and max(resident) < 12e6


def _resident(file):
    """Bytes of a mapped file that count as this process's memory."""
    size, inside = 0, False
    with open("/proc/self/smaps") as lines:
        for line in lines:
            if "-" in line.split(" ", 1)[0]:
                inside = line.rstrip().endswith(str(file))
            elif inside and line.startswith("Rss:"):
                size += int(line.split()[1]) * 1024
    return size


def test_what_a_graphics_card_would_do_has_the_bits_of_the_processor_and_equals_scipy_to_1e_6_on_18_kinds(monkeypatch):
    torch = pytest.importorskip("torch")
    labels = (np.random.default_rng(11).random(2000) < 0.35).astype(int)
    rows = np.random.default_rng(12).permutation(2000)[:1500]
    channels = kinds(2000, labels)
    psi = np.stack(list(channels.values()), axis=1).astype(np.float32, order="F")
    psi.setflags(write=False)
    std, labels = ones(len(channels)), labels[rows]
    expected = wasserstein.distance_and_direction(psi, labels, std=std, rows=rows)
    monkeypatch.setattr(wasserstein, "GPU_VALUES", 1)
    monkeypatch.setattr(wasserstein, "_graphics_card", lambda: torch.device("cpu"))
    monkeypatch.setattr(wasserstein, "_per_channel", None)  # it must not be needed
    seen = []
    found = wasserstein.distance_and_direction(psi, labels, std=std, rows=rows, block=4, progress=seen.append)
    assert np.array_equal(found, expected)
    oracle = [wasserstein_distance(x[rows][labels == 0], x[rows][labels == 1]) for x in psi.astype(np.float64).T]
    np.testing.assert_allclose(found[0], oracle, rtol=1e-6, atol=0)
    assert len(seen) == 5 and seen[-1] == 1
    assert np.array_equal(wasserstein.wasserstein(psi, labels, std=std, rows=rows), found[0])
    with pytest.raises(Img2TabError, match="channel 1"):
        wasserstein.wasserstein(np.array([[0, 0], [1, np.inf], [2, 0]]), np.array([0, 1, 1]), std=ones(2))


def test_a_graphics_card_that_is_full_leaves_3_channels_to_the_processor(monkeypatch):
    torch = pytest.importorskip("torch")
    psi, labels = table(13, d=3)
    expected = wasserstein.wasserstein(psi, labels, std=ones(3))

    def full(*_, **__):
        raise torch.cuda.OutOfMemoryError

    monkeypatch.setattr(wasserstein, "GPU_VALUES", 1)
    monkeypatch.setattr(wasserstein, "_graphics_card", lambda: torch.device("cpu"))
    monkeypatch.setattr(torch, "empty", full)
    assert np.array_equal(wasserstein.wasserstein(psi, labels, std=ones(3)), expected)


def test_without_a_driver_400_channels_are_measured_and_torch_stays_unimported():
    code = (
        "import sys, numpy as np; from img2tab_core.concepts import wasserstein as w; w.GPU_VALUES, w.DRIVERS = 1, (); "
        "w.wasserstein(np.eye(4, 400), np.array([0, 1, 0, 1]), std=np.ones(400)); print('torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"


def table(seed=0, n=120, d=9):
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.3).astype(np.int8)
    return rng.normal(size=(n, d)) + labels[:, None] * np.linspace(0, 2, d), labels


def test_is_symmetric_and_the_direction_changes_its_sign():
    psi, labels = table()
    there, back = (wasserstein.wasserstein(psi, of, std=ones(9)) for of in (labels, 1 - labels))
    assert np.array_equal(there, back)
    there = wasserstein.direction(psi, labels, std=ones(9))
    assert np.array_equal(there, -wasserstein.direction(psi, 1 - labels, std=ones(9)))


def test_a_shift_of_100_changes_nothing_and_a_scale_of_3_triples_it():
    psi, labels = table(1)
    plain = wasserstein.wasserstein(psi, labels, std=ones(9))
    np.testing.assert_allclose(wasserstein.wasserstein(psi + 100, labels, std=ones(9)), plain, rtol=1e-9)
    np.testing.assert_allclose(wasserstein.wasserstein(psi * -3, labels, std=ones(9)), 3 * plain, rtol=1e-9)
    np.testing.assert_allclose(wasserstein.wasserstein(psi * 3, labels, std=3 * ones(9)), plain, rtol=1e-9)


def test_moving_one_class_by_7_is_a_distance_of_7():
    psi, _ = table(2)
    both, labels = np.concatenate([psi, psi + 7]), np.repeat([0, 1], len(psi))
    np.testing.assert_allclose(wasserstein.wasserstein(both, labels, std=ones(9)), 7, rtol=1e-12)
    np.testing.assert_allclose(wasserstein.direction(both, labels, std=ones(9)), 7, rtol=1e-12)


def test_neither_the_block_nor_the_memory_bound_changes_a_bit(monkeypatch):
    psi, labels = table(3)
    psi = np.asfortranarray(psi, np.float32)
    whole = wasserstein.wasserstein(psi, labels, std=ones(9), block=9)
    assert np.array_equal(wasserstein.wasserstein(psi, labels, std=ones(9), block=4), whole)
    monkeypatch.setattr(wasserstein, "BLOCK_VALUES", 250)  # two channels of 120 faces
    assert np.array_equal(wasserstein.wasserstein(psi, labels, std=ones(9)), whole)


def test_channels_without_spread_get_0_even_where_the_rows_differ():
    psi, labels = table(4)
    std = np.where(np.arange(9) == 5, 0.0, 1.0)
    assert wasserstein.wasserstein(psi, labels, std=std)[5] == 0
    assert wasserstein.direction(psi, labels, std=std)[5] == 0


def test_a_read_only_memory_map_with_chosen_rows_gives_the_same_numbers(tmp_path):
    psi, labels = table(5)
    psi = psi.astype(np.float32)
    np.save(tmp_path / "psi.npy", np.asfortranarray(psi))
    mapped = np.load(tmp_path / "psi.npy", mmap_mode="r")
    rows = np.random.default_rng(0).permutation(120)[:50]
    for score in (wasserstein.wasserstein, wasserstein.direction):
        np.testing.assert_allclose(
            score(mapped, labels[rows], std=ones(9), rows=rows), score(psi[rows], labels[rows], std=ones(9)), rtol=1e-12
        )


def test_progress_ends_at_1():
    psi, labels = table(6)
    seen = []
    wasserstein.wasserstein(psi, labels, std=ones(9), block=4, progress=seen.append)
    assert seen == pytest.approx([4 / 9, 8 / 9, 1])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"labels": np.array([0, 1, -1, 0])}, "0 or 1"),
        ({"labels": np.array([0, 1, 0.5, 0])}, "0 or 1"),
        ({"labels": np.zeros(4, int)}, "Both classes"),
        ({"labels": np.array([0, 1, 1])}, "one label for each face"),
        ({"std": np.ones(3)}, "2 finite numbers"),
        ({"std": np.array([1, np.nan])}, "finite"),
        ({"std": np.array([1, -1.0])}, "not negative"),
        ({"psi": np.ones(4)}, "shape"),
        ({"psi": np.array([[0, 0], [1, np.nan], [2, 0], [3, 0]])}, "channel 1"),
        ({"psi": np.array([[np.inf, 0], [1, 0], [2, 0], [3, 0]])}, "channel 0"),
        ({"rows": np.array([0, 1, 2, 4])}, "below 4"),
        ({"rows": np.array([0, 1, 2, -1])}, "not negative"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(change, sentence):
    arguments = {"psi": np.arange(8.0).reshape(4, 2), "labels": np.array([0, 1, 1, 0]), "std": np.ones(2)} | change
    for score in (wasserstein.wasserstein, wasserstein.direction):
        with pytest.raises(Img2TabError, match=sentence):
            score(arguments.pop("psi") if "psi" in arguments else change["psi"], **arguments)
        arguments["psi"] = change.get("psi", np.arange(8.0).reshape(4, 2))


def test_top_takes_the_largest_first_and_ties_by_the_lower_index():
    values = [1.0, 3.0, 2.0, 3.0, 0.0]
    assert scores.top(values, 3).tolist() == [1, 3, 2]
    assert scores.top(values, 3, exclude={1}).tolist() == [3, 2, 0]
    assert scores.top(values, 99, exclude=[0, 4]).tolist() == [1, 3, 2]
    assert scores.top(values, 0).tolist() == []
    assert scores.top(np.zeros(1000), 1000).tolist() == list(range(1000))
    with pytest.raises(Img2TabError, match="without gaps"):
        scores.top([1.0, np.nan], 1)
