"""One edit of a face behind the original kind of backbone, 1024 px, against the naive way; the seeded stand-in."""

from __future__ import annotations

import pytest

from tests.benchmarks.rendering import measure_stylegan2
from tests.conftest import SHARED


def bench_stylegan2(benchmark):
    """See `measure_stylegan2`: both ways in processes with the server's memory settings, in one run."""
    if not (SHARED / "parity").is_dir():
        pytest.skip("no folder parity in the shared folder beside the project")
    found = benchmark.pedantic(measure_stylegan2, rounds=1)
    naive = {"plain": found["naive_same"], "way": found["way"], "faster": 20}
    benchmark.extra_info["rows"] = [
        {"what": "StyleGAN2: one 1024 px edit, the concept under a slider", "ours": found["ours"], **naive},
        {"what": "StyleGAN2: the same the first time", "ours": found["first"], **naive},
        {"what": "StyleGAN2: the same as a 256 px preview, as the page shows it", "ours": found["preview"], **naive},
    ]
    benchmark.extra_info["stylegan2"] = found
