"""What an ONNX file holds, read without running it: its graph, what it asks for, and why it cannot be used here.

Only the bytes are walked (protocol buffers, https://protobuf.dev/programming-guides/encoding/; the fields as in
onnx.proto of ONNX 1.19): no library that could load something beside the file sees it before this has passed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from img2tab_core.base.errors import Img2TabError

MOST_BYTES = 500_000_000  # of a file
MOST_WEIGHTS = 1_000_000_000  # bytes that its tensors say they take, unpacked
MOST_NODES = 20_000
MOST_FIELDS = 200_000  # of a message
DEEPEST = 8  # graphs inside graphs
DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")  # operators that come with ONNX Runtime
_BYTES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2}  # of a number, by type
FLOAT, UINT8, FLOAT16 = 1, 2, 10  # TensorProto.DataType
_EXTERNAL = 1  # TensorProto.DataLocation

Message = dict[int, list[int | memoryview]]


@dataclass(frozen=True)
class Value:
    """An input or output of the graph: its name, type (TensorProto.DataType), and sides; None where not fixed."""

    name: str
    kind: int
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class OnnxFile:
    """What a file says of itself. inputs: without those that have a value in the file; weights: bytes unpacked."""

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    operators: tuple[str, ...]
    last: str  # the operator that makes the first output, "" where none does
    weights: int
    producer: str
    metadata: dict[str, str] = field(default_factory=dict)


def read_onnx(file: Path) -> OnnxFile:
    """What an ONNX file holds. Raises Img2TabError where it cannot be read, is damaged, or asks for what it may not
    have: too many bytes, weights in other files, operators that ONNX Runtime does not know, a graph that goes round."""
    try:
        size = file.stat().st_size
        if not file.is_file():
            raise Img2TabError(f"{file} is not a file. Name an ONNX file.")
        if size > MOST_BYTES:
            raise Img2TabError(
                f"{file.name} has {size / 1e6:,.0f} MB; at most {MOST_BYTES / 1e6:,.0f} MB are opened. Export a "
                "smaller classifier."
            )
        data = file.read_bytes()
    except OSError as error:
        raise Img2TabError(f"{file} cannot be read ({error.strerror}). Name an ONNX file.") from error
    return parsed(data, file.name)


def parsed(data: bytes, name: str) -> OnnxFile:
    """`read_onnx` of the bytes of a file of this name."""
    try:
        return _Reader(name).model(memoryview(data))
    except (ValueError, IndexError, UnicodeDecodeError, RecursionError) as error:
        raise Img2TabError(
            f"{name} is not a whole ONNX file ({error}). Export it again, for instance with torch.onnx.export."
        ) from error


class _Reader:
    """Walks one file; what it may not have is a sentence with the file's name."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._operators: dict[str, None] = {}
        self._domains = set(DOMAINS)
        self._weights = self._nodes = 0

    def model(self, data: memoryview) -> OnnxFile:
        model = _message(data)
        if 7 not in model or not isinstance(model[7][-1], memoryview):
            raise ValueError("it holds no graph")
        functions = [_message(_part(function)) for function in model.get(25, [])]
        self._domains.update(_text(function, 10) for function in functions)  # of operators that the file itself holds
        for function in functions:
            for attribute in function.get(11, []):
                self._attribute(_message(_part(attribute)), 1)
            self._body(function, nodes=7, depth=1)
        graph = _message(_part(model[7][-1]))
        last = self._graph(graph, 0)
        given = {_text(_message(_part(tensor)), 8) for tensor in graph.get(5, [])}
        inputs = tuple(_value(_part(value)) for value in graph.get(11, []))
        return OnnxFile(
            tuple(value for value in inputs if value.name not in given),
            tuple(_value(_part(value)) for value in graph.get(12, [])),
            tuple(self._operators),
            last,
            self._weights,
            _text(model, 2),
            {_text(pair, 1): _text(pair, 2) for pair in (_message(_part(entry)) for entry in model.get(14, []))},
        )

    def _graph(self, graph: Message, depth: int) -> str:
        """Check a graph; the operator that makes its first output."""
        for tensor in graph.get(5, []):
            self._tensor(_message(_part(tensor)))
        for sparse in graph.get(15, []):
            self._sparse(_message(_part(sparse)))
        return self._body(graph, nodes=1, depth=depth)

    def _body(self, graph: Message, *, nodes: int, depth: int) -> str:
        if depth > DEEPEST:
            raise Img2TabError(f"{self._name} has graphs inside graphs, more than {DEEPEST} deep. Export it plainly.")
        first = _text(_message(_part(graph[12][0])), 1) if graph.get(12) and nodes == 1 else ""
        made_by: dict[str, int] = {}
        takes: list[list[str]] = []
        last = ""
        for number, entry in enumerate(graph.get(nodes, [])):
            node = _message(_part(entry))
            operator, domain = _text(node, 4), _text(node, 7)
            self._nodes += 1
            if self._nodes > MOST_NODES:
                raise Img2TabError(f"{self._name} has more than {MOST_NODES:,} operators. Export a smaller classifier.")
            if domain not in self._domains:
                raise Img2TabError(
                    f"{self._name} uses the operator {operator[:80]!r} of {domain[:80]!r}, which is not one of "
                    "ONNX Runtime's: it would need a library beside the file. Export it with the standard operators "
                    "alone."
                )
            self._operators[operator] = None
            outputs = [bytes(_part(name)).decode() for name in node.get(2, [])]
            takes.append([bytes(_part(name)).decode() for name in node.get(1, [])])
            made_by.update((name, number) for name in outputs if name)  # "" is an output that is left out
            if first and first in outputs:
                last = operator
            for attribute in node.get(5, []):
                self._attribute(_message(_part(attribute)), depth)
        _must_not_go_round(self._name, takes, made_by)
        return last

    def _attribute(self, attribute: Message, depth: int) -> None:
        for tensor in [*attribute.get(5, []), *attribute.get(10, [])]:
            self._tensor(_message(_part(tensor)))
        for sparse in [*attribute.get(22, []), *attribute.get(23, [])]:
            self._sparse(_message(_part(sparse)))
        for graph in [*attribute.get(6, []), *attribute.get(11, [])]:
            self._graph(_message(_part(graph)), depth + 1)

    def _sparse(self, sparse: Message) -> None:
        for tensor in [*sparse.get(1, []), *sparse.get(2, [])]:
            self._tensor(_message(_part(tensor)))

    def _tensor(self, tensor: Message) -> None:
        where = {_text(pair, 1): _text(pair, 2) for pair in (_message(_part(entry)) for entry in tensor.get(13, []))}
        if where or _EXTERNAL in tensor.get(14, []):
            place = where.get("location", "another file")
            path = PurePosixPath(place.replace("\\", "/"))
            outside = path.is_absolute() or ".." in path.parts or ":" in place[:2]
            raise Img2TabError(
                f"{self._name} keeps weights in another file, {place[:80]!r}"
                + (", outside its own folder: such a file is not opened. " if outside else ": only one file is taken. ")
                + "Save it whole: onnx.save(onnx.load(FILE), NEW), or export without external data."
            )
        count = 1
        for side in _numbers(tensor.get(1, [])):
            if side < 0:
                raise ValueError(f"a tensor has the side {side}")
            count = min(count * side, 10**18)  # far too much already, and still a number that can be divided
        kind = next((value for value in tensor.get(2, []) if isinstance(value, int)), 0)
        self._weights += count * _BYTES.get(kind, 1)
        if self._weights > MOST_WEIGHTS:
            raise Img2TabError(
                f"{self._name} says its weights take {self._weights / 1e9:,.1f} GB; at most "
                f"{MOST_WEIGHTS / 1e9:,.0f} GB are opened. Export a smaller classifier."
            )


def _must_not_go_round(name: str, takes: list[list[str]], made_by: dict[str, int]) -> None:
    """Raises Img2TabError where an operator needs, by way of others, what it makes itself."""
    waits = [{made_by[value] for value in values if value in made_by} for values in takes]
    needed_by: list[list[int]] = [[] for _ in takes]
    for number, needs in enumerate(waits):
        for other in needs:
            needed_by[other].append(number)
    left = [len(needs) for needs in waits]
    ready = [number for number, count in enumerate(left) if not count]
    done = 0
    while ready:
        done += 1
        for number in needed_by[ready.pop()]:
            left[number] -= 1
            if not left[number]:
                ready.append(number)
    if done < len(takes):
        raise Img2TabError(
            f"The graph of {name} goes round: {len(takes) - done} of its {len(takes)} operators wait for each other. "
            "Export it again."
        )


# --- the bytes ---------------------------------------------------------------------------------------------------


def _message(data: memoryview) -> Message:
    """The fields of a message, by number: numbers, and the bytes of texts, messages and packed lists."""
    fields: Message = {}
    for count, (number, value) in enumerate(_fields(data)):
        if count == MOST_FIELDS:  # each takes a hundred times its two bytes here
            raise ValueError(f"a part of it has more than {MOST_FIELDS:,} fields")
        fields.setdefault(number, []).append(value)
    return fields


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise ValueError("a field has the number 0")
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == 2:
            length, at = _varint(data, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError(f"a field is of the unknown kind {wire}")
        if length > len(data) - at:
            raise ValueError("it ends too early")
        yield number, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("it ends too early")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number has no end")


def _part(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number stands where a message should be")
    return value


def _text(fields: Message, number: int) -> str:
    return bytes(_part(fields[number][-1])).decode() if number in fields else ""


def _numbers(values: list[int | memoryview]) -> Iterator[int]:
    """Whole numbers, one by one or packed; of 64 bits with a sign."""
    for value in values:
        if isinstance(value, int):
            yield value - (1 << 64) if value >> 63 else value
            continue
        at = 0
        while at < len(value):
            number, at = _varint(value, at)
            yield number - (1 << 64) if number >> 63 else number


def _value(data: memoryview) -> Value:
    fields = _message(data)
    name = _text(fields, 1)
    tensor = _inner(_inner(fields, 2), 1)
    kind = next((value for value in tensor.get(1, []) if isinstance(value, int)), 0)
    if 2 not in tensor:
        return Value(name, kind, None)
    sides: list[int | None] = []
    for entry in _inner(tensor, 2).get(1, []):
        side = next(iter(_numbers(_message(_part(entry)).get(1, []))), 0)
        sides.append(side if side > 0 else None)
    return Value(name, kind, tuple(sides))


def _inner(fields: Message, number: int) -> Message:
    return _message(_part(fields[number][-1])) if number in fields else {}
