"""Two small networks with a shortcut planted and one without: whether it is found, and in what time."""

from __future__ import annotations

from img2tab_core.training.measuring import planted, planted_score

SEED = 7  # of development: the quoted ones are in assets/planted.md
MINUTE = 60.0  # that a network may take, with every method


def bench_planted(benchmark, door):
    """Each network trained, and every method asked once; what they share is drawn before."""
    made = planted.bench(door)
    networks = planted.plants_of(2, 1, SEED)

    def measured() -> list[dict]:
        return [planted.measure_one(made, plant, seed) for plant, seed in networks]

    records = benchmark.pedantic(measured, rounds=1)
    every = planted_score.GROUPS[0]
    first = {score.method: score.first[every][3].text() for score in planted_score.scores(records)}
    benchmark.extra_info.update(
        what=f"planted causes, {len(networks)} networks trained and asked by {len(first)} methods",
        way="ours",
        goal=MINUTE * len(networks),
        note="the cause among the first three: " + "; ".join(f"{name} {text}" for name, text in first.items()),
    )
