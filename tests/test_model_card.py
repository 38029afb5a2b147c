"""The model card says of every goal what was measured and whether that reaches it."""

from __future__ import annotations

from img2tab_core.training.measuring.backbone_card import GOALS, card
from img2tab_core.training.measuring.evaluation import Evaluated, Evaluation, Measures, summary


def _figures(**of_method: float) -> dict:
    """4 photos, 2 of them held out; identity 0.1 apart around each method's middle."""
    photos = tuple(
        Evaluated(
            f"{i}.jpg",
            i < 2,
            {
                method: Measures(
                    pixels=0.1,
                    lpips=0.2,
                    landmarks=0.04,
                    identity=middle + 0.1 * (i - 1.5),
                    second=0.5,
                    face_found=True,
                    word="partial",
                    encode_seconds=0.05 if method == "encoder" else 21.0,
                    draw_seconds=0.1,
                )
                for method, middle in of_method.items()
            },
            {},
        )
        for i in range(4)
    )
    return summary(Evaluation(photos, (), 4, False), same_person=0.46)


def _found(refined: dict | None) -> dict:
    right = {"right": 440, "of": 456, "interval": [0.94, 0.98]}
    return {
        "date": "2026-11-23",
        "machine": "2 cores",
        "seconds": 20.0,
        "made_by": "img2tab write-model-card",
        "encoder": {
            "sha256": "ab" * 32,
            "date": "2026-11-22",
            "machine": "2 cores",
            "held_out_r2": 0.61,
            "held_out_r2_augmented": 0.55,
        },
        "figures": _figures(encoder=0.55),
        "refined": refined,
        "gender": {"folder": "congress", "all": right, "held_out": right},
    }


def _row(text: str, begins: str) -> list[str]:
    return [cell.strip() for cell in next(line for line in text.splitlines() if line.startswith(begins)).split("|")]


def test_the_9_goals_are_each_said_to_be_reached_or_not():
    text = card(_found(_figures(encoder=0.55, refined=0.3)), "the classifier's report")
    assert text.count("| yes |") + text.count("| no |") == len(GOALS) + 2 == 9
    assert _row(text, "| same person by dlib")[3:6] == ["50.0%", "100.0%", "yes"]  # 0.4 and 0.5 of 0.4 to 0.7
    assert _row(text, "| perceived gender")[3] == "96.5% (94.0% to 98.0%)"
    assert _row(text, "| perceived gender")[5] == "no"  # 97 % is the goal
    assert _row(text, "| seconds of one refinement")[3:6] == ["21.0", "21.0", "no"]
    assert _row(text, "| R2")[3:6] == ["0.610", "0.550 augmented", "yes"]
    assert text.endswith("the classifier's report\n")


def test_without_refinement_its_4_goals_are_not_measured_and_not_reached():
    text = card(_found(None), "")
    assert text.count("| not measured | not measured | no |") == 4
