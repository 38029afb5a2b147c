"""Running an ONNX classifier: guessed from its graph, tried in a process of its own first, then within limits.

The first time a file is run it is run in a process whose memory and time are bounded, so that what is made to exhaust
this machine, or to break ONNX Runtime, breaks nothing here.
"""

from __future__ import annotations

import ast
import io
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import cast

import numpy as np

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.foreign import printable
from img2tab_core.classifiers.onnx_files import FLOAT, FLOAT16, UINT8, OnnxFile, Value
from img2tab_core.classifiers.pixel_models import (
    NORMALISATIONS,
    TOGETHER,
    Ask,
    Colour,
    Layout,
    Output,
    PixelInput,
    checked_answer,
)

MOST_MEMORY = 8_000_000_000  # bytes of address space of the process that tries a file
TRY_SECONDS = 60.0  # for opening a file and asking a dozen faces
BATCH_SECONDS = 30.0  # for one batch from then on
MOST_AT_ONCE = 64  # pictures that a graph may want at once
_TRIAL = "img2tab_core.classifiers.onnx_trial"
_TYPES = {FLOAT: np.float32, UINT8: np.uint8, FLOAT16: np.float16}


def only_input(about: OnnxFile, name: str) -> Value:
    """The one input that is a batch of pictures. Raises Img2TabError where there is none."""
    if len(about.inputs) != 1:
        names = ", ".join(value.name[:40] for value in about.inputs[:5]) or "none"
        raise Img2TabError(f"{name} must take one input, a batch of pictures, got {len(about.inputs)} ({names}).")
    value = about.inputs[0]
    if value.kind not in _TYPES:
        raise Img2TabError(f"The input of {name} must be float32, float16 or uint8, got type {value.kind} of ONNX.")
    if value.shape is not None and len(value.shape) != 4:
        raise Img2TabError(
            f"The input of {name} must have four axes, a batch of pictures with colours, got {len(value.shape)}: "
            f"{_shape(value)}."
        )
    if _batch(value) > MOST_AT_ONCE:
        raise Img2TabError(
            f"{name} wants {_batch(value):,} pictures at once, at most {MOST_AT_ONCE} are handed to it. Export it for "
            "any number of them, or for 1."
        )
    return value


def guessed_layout(value: Value) -> Layout:
    """Where the colours stand, by the side that is 1 or 3; channels first where that says nothing."""
    shape = value.shape or (None,) * 4
    return "nhwc" if shape[3] in (1, 3) and shape[1] not in (1, 3) else "nchw"


def guessed_input(about: OnnxFile, name: str, *, layout: Layout | None = None) -> PixelInput:
    """What can be read from the graph: layout, size, colours; normalised as for ImageNet, or not at all for uint8.

    Raises Img2TabError where its size is not fixed and none can be guessed, it is not square, or has no colours.
    """
    value = only_input(about, name)
    layout = layout or guessed_layout(value)
    shape = value.shape or (None,) * 4
    colours, sides = (shape[1], shape[2:]) if layout == "nchw" else (shape[3], shape[1:3])
    if colours not in (None, 1, 3):
        raise Img2TabError(f"{name} must take pictures of 3 colours or 1, got {colours}: {_shape(value)}.")
    fixed = [side for side in sides if side is not None]
    if len(set(fixed)) > 1:
        raise Img2TabError(f"{name} must take square pictures, got {_shape(value)}. Export it for a square.")
    colour: Colour = "grey" if colours == 1 else "rgb"
    mean, std = NORMALISATIONS["0..255" if value.kind == UINT8 else "imagenet"]
    return PixelInput(fixed[0] if fixed else 224, layout, colour, mean, std)


def guessed_output(about: OnnxFile) -> Output:
    """By the operator that makes the first output: chances after Softmax or Sigmoid, else log-odds."""
    return "probabilities" if about.last in ("Softmax", "Sigmoid") else "logits"


def guessed_count(about: OnnxFile, name: str) -> int | None:
    """How many numbers an answer has, by its declared shape; None where it is not fixed."""
    if not about.outputs:
        raise Img2TabError(f"{name} has no output.")
    shape = about.outputs[0].shape
    if shape is None or len(shape) < 1:
        return None
    if len(shape) == 1:
        return 1
    return None if any(side is None for side in shape[1:]) else int(np.prod(cast(tuple, shape[1:])))


def noted_classes(about: OnnxFile) -> tuple[str, ...]:
    """The classes that the file's own notes name, () where they name none."""
    for key in ("classes", "labels", "names", "class_names"):
        text = about.metadata.get(key, "")
        if not text or len(text) > 100_000:
            continue
        try:
            noted = ast.literal_eval(text)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            noted = [word.strip() for word in text.split(",")]
        if isinstance(noted, dict):
            numbers = all(isinstance(number, int) for number in noted)
            noted = [noted[number] for number in (sorted(noted) if numbers else noted)]
        if isinstance(noted, list | tuple) and noted and all(isinstance(word, str) for word in noted):
            return tuple(noted)
    return ()


def tried(file: Path, about: OnnxFile, handed: PixelInput, squares: np.ndarray, name: str) -> np.ndarray:
    """The answers of an ONNX file about squares uint8 (n, S, S, 3), from a process of its own: float64 (n, K).

    Raises Img2TabError where the file cannot be opened or run, or takes more time or memory than it may.
    """
    value = only_input(about, name)
    stream = io.BytesIO()
    np.save(stream, _filled(handed.tensor(squares, _TYPES[value.kind]), value))
    try:
        done = subprocess.run(  # noqa: S603 - our own program, no shell; the file's name is one word of it
            [sys.executable, "-m", _TRIAL, str(file.resolve()), str(MOST_MEMORY), str(_batch(value))],
            input=stream.getvalue(),
            capture_output=True,
            timeout=TRY_SECONDS,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            cwd=Path(__file__).resolve().parents[2],
        )
    except subprocess.TimeoutExpired as error:
        raise Img2TabError(
            f"{name} took more than {TRY_SECONDS:.0f} seconds for {len(squares)} faces and was stopped. Export a "
            "smaller classifier."
        ) from error
    if done.returncode == 0:
        try:
            answer = np.load(io.BytesIO(done.stdout), allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise Img2TabError(f"{name} gave no answer that can be read ({error}).") from error
        return checked_answer(*_with_classes(answer[: len(squares)], about, name, len(squares)))
    if done.returncode == 3:  # it says so in a sentence
        raise Img2TabError(f"{name} cannot be run: {_first_line(done.stdout)}")
    if done.returncode == -9:
        raise Img2TabError(
            f"The process that tried {name} was killed, by somebody or for want of memory; nothing was kept. Try "
            "again; where it is killed again, close other programs or export a smaller classifier."
        )
    if done.returncode == 4:
        raise Img2TabError(
            f"{name} wants more than {MOST_MEMORY / 1e9:.0f} GB of memory for {len(squares)} faces. Export a smaller "
            "classifier."
        )
    raise Img2TabError(f"{name} broke ONNX Runtime (it ended with {done.returncode}). Export it again.")


def opened(file: Path, about: OnnxFile, handed: PixelInput, name: str) -> Ask:
    """A function that asks an ONNX file about squares uint8 (n, S, S, 3), within limits of time; thread-safe.

    Raises Img2TabError where it cannot be opened. What it returns does where a batch takes longer than it may.
    """
    import onnxruntime

    value = only_input(about, name)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # its threads would else go round while the next faces are drawn, and take half of the cores from that
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(file.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises classes of its own for every mishap
        raise Img2TabError(f"{name} cannot be opened: {_first_line(str(error))}") from error
    output = session.get_outputs()[0].name
    at_once = _batch(value)

    def ask(squares: np.ndarray) -> np.ndarray:
        tensor = _filled(handed.tensor(squares, _TYPES[value.kind]), value)
        parts = []
        for start in range(0, len(tensor), at_once):
            run = onnxruntime.RunOptions()
            run.log_severity_level = 4
            watch = threading.Timer(BATCH_SECONDS, lambda run=run: setattr(run, "terminate", True))
            watch.start()
            try:
                parts.append(session.run([output], {value.name: tensor[start : start + at_once]}, run)[0])
            except Exception as error:
                if run.terminate:
                    raise Img2TabError(
                        f"{name} took more than {BATCH_SECONDS:.0f} seconds for {min(at_once, len(tensor))} faces and "
                        "was stopped."
                    ) from error
                raise Img2TabError(f"{name} cannot be run: {_first_line(str(error))}") from error
            finally:
                watch.cancel()
        return np.concatenate(parts)[: len(squares)]

    return ask


def _with_classes(answer: np.ndarray, about: OnnxFile, name: str, count: int) -> tuple[np.ndarray, int, int, str]:
    classes = guessed_count(about, name) or (int(np.prod(answer.shape[1:])) if answer.ndim > 1 else 1)
    return answer, count, classes, name


def _batch(value: Value) -> int:
    """How many pictures the graph takes at once."""
    fixed = value.shape[0] if value.shape else None
    return fixed or TOGETHER


def _filled(tensor: np.ndarray, value: Value) -> np.ndarray:
    """The same with its last picture repeated, where the graph takes a fixed number of them at once."""
    fixed = value.shape[0] if value.shape else None
    missing = -len(tensor) % fixed if fixed else 0
    return np.concatenate([tensor, tensor[-1:].repeat(missing, axis=0)]) if missing else tensor


def _shape(value: Value) -> str:
    return "(" + ", ".join("?" if side is None else str(side) for side in value.shape or ()) + ")"


def _first_line(text: str | bytes) -> str:
    words = text.decode(errors="replace") if isinstance(text, bytes) else text
    words = re.sub(r"/onnxruntime_src/\S+ [^()]*\([^()]*\)(?: const)? ", "", words)  # where in its source it says so
    words = re.sub(r"\[ONNXRuntimeError\] : \d+ : \w+ : ", "", words)
    line = next((line.strip() for line in words.splitlines() if line.strip()), "no reason was given")
    return (printable(line, 240) + "…" if len(line) > 240 else printable(line, 240)).rstrip(".") + "."
