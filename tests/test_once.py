"""One cache for what takes long: computed once per key, bounded, and a failure is not kept."""

from __future__ import annotations

import threading
import time

import pytest

from img2tab_core.base.once import Once


def test_of_8_threads_that_want_1_key_1_computes_and_all_get_its_value():
    once, calls = Once(4), []

    def compute():
        calls.append(1)
        time.sleep(0.05)
        return object()

    values = []
    threads = [threading.Thread(target=lambda: values.append(once.get("key", compute))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1 and len(values) == 8 and len(set(map(id, values))) == 1
    assert not once._locks


def test_a_key_that_takes_long_does_not_hold_up_another():
    once, go = Once(4), threading.Event()
    slow = threading.Thread(target=lambda: once.get("slow", go.wait))
    slow.start()
    assert once.get("fast", lambda: 7) == 7
    go.set()
    slow.join()
    assert once.peek("slow") is True


def test_of_3_values_with_room_for_2_the_one_unused_longest_goes():
    once = Once(2)
    for key in "ab":
        once.put(key, key)
    once.peek("a")
    once.put("c", "c")
    assert [once.peek(key) for key in "abc"] == ["a", None, "c"]


def test_values_weigh_at_most_10_together_and_one_of_11_is_not_kept():
    once = Once(10, weigh=len)
    once.put("a", "1234")
    once.put("b", "123456")
    assert once.weight == 10
    assert once.get("huge", lambda: "x" * 11) == "x" * 11
    assert once.peek("huge") is None and len(once) == 2
    once.put("a", "12")
    assert once.weight == 8
    once.forget("b")
    assert once.weight == 2
    once.clear()
    assert (once.weight, len(once)) == (0, 0)


def test_after_a_failure_the_next_one_who_asks_tries_again():
    once, answers = Once(1), iter([MemoryError("no memory"), 5])

    def compute():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(MemoryError):
        once.get("key", compute)
    assert once.get("key", compute) == 5


def test_who_does_not_want_to_wait_is_told_that_somebody_computes():
    once, inside, go = Once(1), threading.Event(), threading.Event()

    def compute():
        inside.set()
        return go.wait()

    thread = threading.Thread(target=lambda: once.get("key", compute))
    thread.start()
    inside.wait()
    with once.making("key", wait=False) as mine:
        assert mine is False
    go.set()
    thread.join()
    with once.making("key", wait=False) as mine:
        assert mine is True
    assert not once._locks


def test_a_limit_below_1_is_refused():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        Once(0)
