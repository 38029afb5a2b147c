"""Many small pieces of work for PyTorch: each on one core, as many at a time as there are cores."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def on_single_cores(work: Callable[..., T], *columns: Iterable) -> list[T]:
    """work(a, b, ...) for every a, b, ... of the columns, in order; raises what the first that fails raises.

    Sharing every small piece out among the cores takes longer, and far longer where other programs want them too.
    """
    import torch

    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(work, *columns))
    finally:
        torch.set_num_threads(threads)  # of this thread it is unchanged; those that begin later take the last one set
