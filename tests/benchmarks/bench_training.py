"""What a person waits for after excluding one more concept."""

from __future__ import annotations

from tests.benchmarks.retraining import COUNTS, measure_retraining, retraining_over_columns


def bench_retraining(benchmark):
    """Ours and the plain way in turn, the least of the repeats; see `measure_retraining`."""
    benchmark.extra_info["rows"] = benchmark.pedantic(measure_retraining, rounds=1)


def bench_growth(benchmark):
    found = benchmark.pedantic(retraining_over_columns, args=(COUNTS,), rounds=1)
    benchmark.extra_info["series"] = [
        {"what": "retrain", "over": "concepts", "points": [(columns, ours) for columns, ours, _ in found]}
    ]
