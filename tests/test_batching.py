"""Visitors of one device: done together where they can be, in order, and nobody waits for company."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from img2tab_core.backbones import rendering
from img2tab_core.backbones.batching import Batches
from img2tab_core.base.records import StyleCode


class Device:
    """Doubles numbers; the first batch is held until it is let go, so that a line forms behind it."""

    def __init__(self, *, held: bool = True) -> None:
        self.batches: list[tuple[str, list[int]]] = []
        self.begun, self.go = threading.Event(), threading.Event()
        if not held:
            self.go.set()

    def __call__(self, kind, things):
        self.batches.append((kind, list(things)))
        self.begun.set()
        assert self.go.wait(10)
        if kind == "broken":
            raise ValueError("the device is broken")
        return [2 * thing for thing in things]


def behind(device, batches, requests):
    """The answers to requests that arrive, one after the other, while the first batch is being done."""
    with ThreadPoolExecutor(len(requests) + 1) as pool:
        first = pool.submit(batches.do, "first", [0])
        assert device.begun.wait(10)
        asked = []
        for number, (kind, things) in enumerate(requests, 1):
            asked.append(pool.submit(batches.do, kind, things))
            while sum(len(one.things) for one in list(batches._line)) < sum(len(t) for _, t in requests[:number]):
                pass
        device.go.set()
        assert first.result(10) == [0]
        return asked


def test_eight_requests_that_arrive_during_one_are_one_batch_and_each_gets_its_own_answers():
    device = Device()
    asked = behind(device, Batches(device, most=16), [("edit", [10 * i, 10 * i + 1]) for i in range(8)])
    assert [one.result(10) for one in asked] == [[20 * i, 20 * i + 2] for i in range(8)]
    assert [len(things) for _, things in device.batches] == [1, 16]


def test_a_strip_of_40_is_split_into_16_16_and_8_and_an_edit_goes_with_the_last_of_them():
    device = Device()
    asked = behind(device, Batches(device, most=16), [("256", list(range(40))), ("256", [100])])
    assert asked[0].result(10) == [2 * i for i in range(40)] and asked[1].result(10) == [200]
    assert [len(things) for _, things in device.batches] == [1, 16, 16, 9]


def test_two_kinds_are_never_in_one_batch_and_keep_their_turn():
    device = Device()
    asked = behind(device, Batches(device, most=4), [("a", [1]), ("b", [2]), ("a", [3]), ("a", [4, 5, 6])])
    assert [one.result(10) for one in asked] == [[2], [4], [6], [8, 10, 12]]
    assert device.batches[1:] == [("a", [1, 3]), ("b", [2]), ("a", [4, 5, 6])]


def test_what_goes_wrong_reaches_everybody_in_the_batch_and_the_next_is_served():
    device = Device()
    batches = Batches(device, most=16)
    asked = behind(device, batches, [("broken", [1]), ("broken", [2])])
    for one in asked:
        with pytest.raises(ValueError, match="the device is broken"):
            one.result(10)
    assert batches.do("edit", [4]) == [8]


def test_16_threads_with_50_requests_each_get_their_own_answers():
    device = Device(held=False)
    batches = Batches(device, most=16)

    def visitor(number):
        return [batches.do(f"{number % 2}", [number, turn]) == [2 * number, 2 * turn] for turn in range(50)]

    with ThreadPoolExecutor(16) as pool:
        assert all(all(found) for found in pool.map(visitor, range(16)))
    assert sum(len(things) for _, things in device.batches) == 1600 > 2 * len(device.batches)


def test_20_pictures_in_the_line_of_a_card_are_those_drawn_one_by_one_within_1e_4(generator):
    """Three visitors at once, the device a CPU."""
    rng = np.random.default_rng(0)
    mean = generator.styles(generator.mapping(torch.randn(64, 512))).mean(dim=0).detach().numpy()
    codes = [StyleCode.of(mean + rng.normal(size=mean.shape).astype(np.float32) * 0.1) for _ in range(20)]
    how = rendering._OnCard(generator, torch.device("cpu"), 128, None, pixels=False)
    expected = rendering.draw_raw(generator, codes, size=128)
    asked = [[code.values for code in part] for part in (codes[:17], codes[17:18], codes[18:])]
    with ThreadPoolExecutor(3) as pool:
        parts = list(pool.map(lambda part: rendering._card.do(how, part), asked))
    assert [len(part) for part in parts] == [17, 1, 2]
    assert np.abs(np.stack([one for part in parts for one in part]) - expected).max() < 1e-4
    pixels = rendering._card.do(how._replace(pixels=True), asked[0])
    assert pixels[0].dtype == np.uint8
    assert np.abs(np.stack(pixels).astype(int) - rendering.to_pixels(expected[:17])).max() <= 1  # where it rounds
