"""The classifiers that people brought: added from an ONNX file, listed, opened, removed; kept under the visitor's
folder by the hash of their file."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, cast

import numpy as np

from img2tab_core.base import persons
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import changing, home, json_to_change, keep_json, keeping, read_json, sha256_of
from img2tab_core.base.foreign import inside, not_led_out
from img2tab_core.base.once import Once
from img2tab_core.base.records import digest
from img2tab_core.classifiers import onnx_files, onnx_models
from img2tab_core.classifiers.pixel_models import (
    Ask,
    PixelAnswer,
    PixelInput,
    PixelModel,
    check_steady,
    checked_name,
    cropping,
    normalisation,
    numbered,
    with_spread,
)

FILE = "models.json"
OPEN_AT_ONCE = 4
_sessions: Once[tuple[str, str], Ask] = Once(OPEN_AT_ONCE)  # of files, by the visitor's folder and key
_functions: dict[str, PixelModel] = {}  # of this process, by name


@dataclass(frozen=True)
class Wishes:
    """What a person says of a classifier's file; None or "" where the file itself is asked."""

    input: int | None = None
    layout: str = ""
    colour: str = ""
    normalise: str = ""
    crop: str = "1"
    output: str = ""
    classes: tuple[str, ...] = ()
    positive: str = ""
    against: str = ""
    threshold: float | None = None
    title: str = ""
    judges: str = ""


@dataclass(frozen=True, eq=False)
class Added:
    """A classifier that was tried: itself, what of it was guessed, and log-odds float64 (n,) of the sample faces."""

    model: PixelModel
    guessed: tuple[str, ...]
    log_odds: np.ndarray

    @property
    def ones(self) -> int:
        """How many of the sample faces it takes for class 1."""
        return int((self.log_odds > 0).sum())

    @property
    def warning(self) -> str:
        """A sentence where its answers look as if it saw something else than it should; "" where they do not."""
        spread = float(self.log_odds.std())
        count = len(self.log_odds)
        if min(self.ones, count - self.ones) <= 1:
            which = self.model.classes[int(2 * self.ones > count)]
            return (
                f"It takes {max(self.ones, count - self.ones)} of {count} sample faces for {which}. Where that cannot "
                "be, it is handed its pictures in another form than in training: try another --normalise, --colour or "
                "--crop."
            )
        if spread < 0.05:
            return "It answers nearly the same about every sample face: see whether --normalise and --output are right."
        return ""


def add(file: Path, name: str, wishes: Wishes, faces: np.ndarray) -> Added:
    """Check an ONNX file, try it on sample faces, copy it, and keep it under a name.

    faces: aligned, uint8 (n, P, P, 3). Nothing is kept where anything is wrong. Raises Img2TabError with what is.
    """
    checked_name(name)
    made = examined(file, name, wishes, faces)
    sha = sha256_of(file)
    with changing(home() / "models" / FILE):
        known = json_to_change(home() / "models" / FILE)
        if name in _functions:
            raise Img2TabError(f"There is a classifier named {name} already, a function. Choose another name.")
        if name in known and known[name].get("key") != made.model.key:
            raise Img2TabError(
                f"There is a classifier named {name} already, from {known[name]['origin']}. Choose another name, or "
                f"remove that one: `img2tab model remove {name}`."
            )
        _copy(file, sha)
        known[name] = made.model.to_json() | {"sha256": sha, "added": date.today().isoformat()}
        keep_json(home() / "models" / FILE, known)
    return made


def examined(file: Path, name: str, wishes: Wishes, faces: np.ndarray) -> Added:
    """The same without keeping anything."""
    about = onnx_files.read_onnx(file)
    guessed: list[str] = []
    handed = _input_of(about, name, wishes, guessed)
    numbers = onnx_models.tried(file, about, handed, handed.squares(faces), name)
    answer = _answer_of(about, name, wishes, numbers.shape[1], guessed)
    ask = onnx_models.opened(file, about, handed, name)
    model = PixelModel(name, wishes.title or name, "", handed, answer, ask, wishes.judges, file.name)
    model = with_spread(model, faces)
    key = digest(sha256_of(file).encode(), repr((handed, model.answer, wishes.judges)).encode())[:16]
    return Added(replace(model, key=key), tuple(guessed), check_steady(model, faces))


def names() -> list[str]:
    """Of every classifier that was added, and of the functions of this process."""
    return [*read_json(home() / "models" / FILE), *_functions]


def records() -> list[dict]:
    """What is known of every added classifier, without opening it."""
    known = list(read_json(home() / "models" / FILE).values())
    return known + [model.to_json() for model in _functions.values()]


def record_of(name: str) -> dict:
    """What is known of one. Raises Img2TabError where there is none of this name."""
    for record in records():
        if record["name"] == name:
            return record
    there = names()
    raise Img2TabError(
        f"There is no classifier named {name!r}. "
        + (f"There are: {', '.join(there)}." if there else "None was added: img2tab model add FILE.onnx --name NAME.")
    )


def open_model(name: str) -> PixelModel:
    """The classifier of this name; its file is opened when it is asked for the first time.

    Raises Img2TabError where there is none; asking it does where its file is not whole any more.
    """
    if name in _functions:
        return _functions[name]
    record = record_of(name)
    handed = PixelInput(**{key: _tuples(value) for key, value in record["input"].items()})
    answer = PixelAnswer(**{key: _tuples(value) for key, value in record["answer"].items()})

    def opened() -> Ask:
        file = not_led_out(inside(home() / "models", f"{record['sha256']}.onnx"))
        if not file.is_file() or sha256_of(file) != record["sha256"]:
            raise Img2TabError(
                f"The file of the classifier {name} is gone or damaged. Add {record['origin']} again: "
                f"`img2tab model remove {name}`, then `img2tab model add`."
            )
        return onnx_models.opened(file, onnx_files.read_onnx(file), handed, name)

    def ask(squares: np.ndarray) -> np.ndarray:
        return _sessions.get((str(home()), record["key"]), opened)(squares)

    return PixelModel(name, record["title"], record["key"], handed, answer, ask, record["judges"], record["origin"])


def register(model: PixelModel) -> PixelModel:
    """Make a function a classifier of this process, by its name; one of the same name is replaced."""
    if model.name in read_json(home() / "models" / FILE):
        raise Img2TabError(f"There is a classifier named {model.name} already, from a file. Choose another name.")
    _functions[model.name] = model
    return model


def remove(name: str) -> None:
    """Forget a classifier, its copied file and its answers. Raises Img2TabError where there is none of this name."""
    persons.must_be_auditor("remove a classifier")
    if _functions.pop(name, None) is not None:
        return
    record_of(name)
    with changing(home() / "models" / FILE):
        known = json_to_change(home() / "models" / FILE)
        record = known.pop(name, None)
        keep_json(home() / "models" / FILE, known)
    if record is None:
        return
    if all(other["key"] != record["key"] for other in known.values()):
        _sessions.forget((str(home()), record["key"]))
        shutil.rmtree(answers_folder(record["key"]), ignore_errors=True)
    if all(other["sha256"] != record["sha256"] for other in known.values()):
        inside(home() / "models", f"{record['sha256']}.onnx").unlink(missing_ok=True)


def answers_folder(key: str) -> Path:
    """Where the answers of a classifier of this key are kept."""
    return inside(home() / "models" / "answers", key)


# --- inside ------------------------------------------------------------------------------------------------------


def _input_of(about: onnx_files.OnnxFile, name: str, wishes: Wishes, guessed: list[str]) -> PixelInput:
    handed = onnx_models.guessed_input(about, name, layout=wishes.layout or None)  # type: ignore[arg-type]
    fixed = onnx_models.only_input(about, name).shape or (None,) * 4
    colours, sides = (fixed[1], fixed[2:]) if handed.layout == "nchw" else (fixed[3], fixed[1:3])
    if wishes.input and any(side not in (None, wishes.input) for side in sides):
        raise Img2TabError(f"--input must be {handed.size}, the size the graph takes, got {wishes.input}.")
    if not wishes.input:
        guessed.append(f"--input {handed.size}" + ("" if any(sides) else " (the graph takes any size)"))
    if not wishes.layout:
        guessed.append(f"--layout {handed.layout}")
    if not wishes.colour:
        guessed.append(f"--colour {handed.colour}")
    if wishes.colour and colours and (wishes.colour == "grey") != (colours == 1):
        raise Img2TabError(
            f"{name} takes pictures of {'1 colour' if colours == 1 else '3 colours'}, so --colour cannot be "
            f"{wishes.colour}."
        )
    mean, std = normalisation(wishes.normalise) if wishes.normalise else (handed.mean, handed.std)
    if not wishes.normalise:
        guessed.append(f"--normalise {handed.normalisation}")
    return replace(
        handed,
        size=wishes.input or handed.size,
        colour=cast(Any, wishes.colour or handed.colour),
        mean=mean,
        std=std,
        crop=cropping(wishes.crop),
    )


def _answer_of(about: onnx_files.OnnxFile, name: str, wishes: Wishes, count: int, guessed: list[str]) -> PixelAnswer:
    if not count:
        raise Img2TabError(f"{name} answers with no number at all about a face. Export it with its last layer.")
    output = wishes.output or ("value" if wishes.threshold is not None else onnx_models.guessed_output(about))
    if not wishes.output:
        guessed.append(f"--output {output}")
    classes = wishes.classes or _noted(onnx_models.noted_classes(about), count, guessed)
    if not classes:
        classes = (name,) if count == 1 else tuple(f"class {number}" for number in range(count))
        if count > 1:
            guessed.append(f"--classes {','.join(classes[:4])}{',...' if count > 4 else ''}")
    if len(classes) != count:
        raise Img2TabError(
            f"{name} answers with {count} number{'' if count == 1 else 's'} a face, so --classes must name {count}, "
            f"got {len(classes)}."
        )
    if count > 1 and len(set(classes)) != count:
        raise Img2TabError("The names of --classes must differ.")
    if wishes.positive:
        positive = numbered(wishes.positive, classes, "--class")
    elif count <= 2:
        positive = (count - 1,)
    else:
        shown = ", ".join(classes[:12]) + (", ..." if count > 12 else "")
        raise Img2TabError(
            f"{name} tells {count} classes apart. Name the one that is asked about with --class (or several, such as "
            f"30-80), against all others or those of --against; there are {shown}."
        )
    return PixelAnswer(
        output,  # type: ignore[arg-type]
        tuple(classes),
        positive,
        numbered(wishes.against, classes, "--against"),
        wishes.threshold,
    )


def _noted(noted: Sequence[str], count: int, guessed: list[str]) -> tuple[str, ...]:
    if len(noted) != count:
        return ()
    guessed.append("--classes, from the file's own notes")
    return tuple(noted)


def _copy(file: Path, sha: str) -> None:
    place = home() / "models" / f"{sha}.onnx"
    if place.is_file() and sha256_of(place) == sha:
        return
    with keeping(place) as part:
        shutil.copyfile(file, part)


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
