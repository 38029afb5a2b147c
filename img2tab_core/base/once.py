"""What takes long is computed once per key and kept: one bounded, thread-safe cache for every wing."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Once(Generic[K, V]):
    """A value per key, computed by whoever asks first; the values unused longest go when there are too many.

    limit: how many values are kept, or with `weigh` how much they may weigh together, such as bytes. What weighs more
    than the limit alone is handed out and not kept. Thread-safe: who asks for a key that is being computed waits for
    it, everybody else does not. A computation that raises is not kept, so that the next one who asks tries again.
    """

    def __init__(self, limit: int, *, weigh: Callable[[V], int] | None = None) -> None:
        if limit < 1:
            raise ValueError(f"limit must be at least 1, got {limit}.")
        self.limit = limit
        self._weigh = weigh or (lambda value: 1)
        self._lock = threading.Lock()  # held for moments only
        self._kept: OrderedDict[K, V] = OrderedDict()
        self._locks: dict[K, tuple[threading.RLock, int]] = {}  # of a key being computed, and how many want it
        self._weight = 0

    def get(self, key: K, compute: Callable[[], V]) -> V:
        """The value of a key, computed if it is not kept; raises whatever `compute` raises."""
        with self.making(key):
            with self._lock:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    return self._kept[key]
            value = compute()
            self.put(key, value)
            return value

    def peek(self, key: K) -> V | None:
        """The value of a key if it is kept, else None; nothing is computed and nobody is waited for."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: K, value: V) -> None:
        """Keep a value that was computed elsewhere."""
        weight = self._weigh(value)
        with self._lock:
            if key in self._kept:
                self._weight -= self._weigh(self._kept.pop(key))
            if weight > self.limit:
                return
            self._kept[key] = value
            self._weight += weight
            while self._weight > self.limit:
                self._weight -= self._weigh(self._kept.popitem(last=False)[1])

    def forget(self, key: K) -> None:
        """Drop the value of a key, if it is kept."""
        with self._lock:
            if key in self._kept:
                self._weight -= self._weigh(self._kept.pop(key))

    def clear(self) -> None:
        """Drop every value."""
        with self._lock:
            self._kept.clear()
            self._weight = 0

    @contextmanager
    def making(self, key: K, *, wait: bool = True) -> Iterator[bool]:
        """A context in which nobody else computes the value of this key; yields whether that is so.

        wait: whether to wait for who is computing it now; without, False is yielded where somebody is.
        """
        with self._lock:
            lock, wanted = self._locks.get(key) or (threading.RLock(), 0)
            self._locks[key] = lock, wanted + 1
        mine = False
        try:
            mine = lock.acquire(blocking=wait)
            yield mine
        finally:
            if mine:
                lock.release()
            with self._lock:
                lock, wanted = self._locks.pop(key)
                if wanted > 1:  # else nobody waits: a lock outlives no work
                    self._locks[key] = lock, wanted - 1

    @property
    def weight(self) -> int:
        """What the kept values weigh together."""
        with self._lock:
            return self._weight

    def __len__(self) -> int:
        with self._lock:
            return len(self._kept)
