"""What belongs to one visit alone: what was worked out of photos, and how every trace of them goes.

Caches of a face that the product drew are shared by all visitors, so that what one has seen another need not wait
for. Every other face is somebody's: its caches are the visit's own, go when it ends, and no other visit can reach them.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, TypeVar

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from dashboard.components import pictures
from dashboard.state.doors import studio
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.jobs import Job
from img2tab_core.base.records import Face, StyleCode

F = TypeVar("F", bound=Callable[..., Any])

MOST = 64  # values that a visit keeps of one function
_LENT = "visit.lent"
_ALWAYS = "visit.uploads"  # how often this visit forgot: a part of the keys of its upload fields
# names in the state of a visit that hold photos, or what was worked out of them
_KEPT = (
    "visit.photos", "visit.photo", "visit.face", "visit.seen", "visit.problems", "visit.edits", "visit.refined",
    "visit.refining", "visit.drawing", "visit.tried", "visit.plain", "visit.turning", "visit.table_codes",
    "visit.notices",
    "inspect.upload", "inspect.camera", "data.check",
)  # fmt: skip
FREE = (24_000, 12_000, 6_000, 3_000, 1_500, 700, 350, 160, 80, 40)  # bytes of pieces of memory that are filled
# seconds after which it is done again: the page that was left, and a server's request, end meanwhile
LATER = (2.0, 10.0)
ROUND, MOST_ROUNDS = 500, 40  # pieces between two looks whether any are left, and how many looks at most
_FILLED = 0xA5  # what freed memory is overwritten with
_PERTURB = -6  # glibc's number of that setting


class _Mallinfo2(ctypes.Structure):
    """As glibc 2.33 and later have it."""

    _fields_: ClassVar = [("arena", ctypes.c_size_t), ("others", ctypes.c_size_t * 9)]


_C = ctypes.CDLL(None)
_C.malloc.argtypes, _C.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
_C.free.argtypes, _C.free.restype = [ctypes.c_void_p], None
with contextlib.suppress(AttributeError):
    _C.mallinfo2.restype = _Mallinfo2
_COUNTING, _overwriting = threading.Lock(), 0  # how many want what is freed to be overwritten
_drawn: set[str] = set()  # keys of faces and codes that the product drew: nobody's
_own: list[Any] = []  # the caches that belong to a visit


def share(*things: Face | StyleCode) -> None:
    """These are nobody's: what is worked out of them may be shared by all visitors."""
    _drawn.update(thing.key for thing in things)


def is_drawn(thing: Face | StyleCode) -> bool:
    """Whether a face or code is one that the product drew, and not somebody's."""
    return thing.key in _drawn


class Lent:
    """A face or code for a button that is clicked later: Streamlit keeps what a button is given as long as the visit.

    `forget` takes it back; then `value` raises Img2TabError.
    """

    def __init__(self, value: Any) -> None:
        self._value: Any = value
        st.session_state.setdefault(_LENT, weakref.WeakSet()).add(self)

    @property
    def value(self) -> Any:
        """What was lent."""
        if self._value is None:
            raise Img2TabError("This face was forgotten. Choose another.")
        return self._value

    def take_back(self) -> None:
        """Let it go."""
        self._value = None


def by_face(cache: Callable[..., Any], **options: Any) -> Callable[[F], F]:
    """A cache of `st.cache_data` or `st.cache_resource`: shared where every face given was drawn, else the visit's own.

    options: of that cache. A function that is given no face or code at all is taken to be about somebody's.
    """

    def decorate(function: F) -> F:
        shared = cache(**options)(function)
        most = min(options.get("max_entries", MOST), MOST)
        own = cache(scope="session", **{**options, "max_entries": most})(function)
        _own.append(own)

        @functools.wraps(function)
        def cached(*args: Any, **kwargs: Any) -> Any:
            about = [part for part in (*args, *kwargs.values()) if isinstance(part, Face | StyleCode)]
            if about and all(map(is_drawn, about)):
                return shared(*args, **kwargs)
            return (own if get_script_run_ctx() is not None else function)(*args, **kwargs)

        def clear(*args: Any, **kwargs: Any) -> None:
            shared.clear(*args, **kwargs)
            if get_script_run_ctx() is not None:
                own.clear(*args, **kwargs)

        cached.clear = clear  # type: ignore[attr-defined]
        return cached  # type: ignore[return-value]

    return decorate


def upload_key(name: str) -> str:
    """The key of an upload field; another one, so that the field is empty, once the visit has forgotten its photos."""
    times = st.session_state.get(_ALWAYS, 0)
    return f"{name}.{times}" if times else name


def holds_photos() -> bool:
    """Whether the visit has photos that somebody brought."""
    brought = st.session_state.get("visit.photos", ())
    return any(photo.picture is not None for photo in brought) or bool(st.session_state.get("data.check_photos"))


def forget() -> None:
    """Remove the visit's photos and everything worked out of them, here and in the server's list of uploads.

    What is freed is overwritten, and pages of memory that are free go back to the system. What an import was given
    lies on disk until it is made, and has its own button.
    """
    with overwriting():
        for name in [name for name in st.session_state if str(name).startswith(_KEPT)]:
            for value in _values(st.session_state.pop(name)):
                if isinstance(value, Job):
                    value.cancel()
                    value.wait(5)  # what it holds goes when it ends
        for lent in list(st.session_state.pop(_LENT, ())):
            lent.take_back()
        for cached in _own:
            cached.clear()
        pictures.forget()
        studio().forget_faces()
        context = get_script_run_ctx()
        if context is not None:
            context.uploaded_file_mgr.remove_session_files(context.session_id)
        st.session_state[_ALWAYS] = st.session_state.get(_ALWAYS, 0) + 1
    _wipe()
    for seconds in LATER:
        again = threading.Timer(seconds, _wipe)
        again.daemon = True
        again.start()


def _wipe() -> None:
    """Let go what nothing leads to, and overwrite what is free.

    Whole pages go back to the system, which hands them out empty. What is free between what is in use is filled, from
    the largest pieces to the smallest: a copy of a style code, say, made and let go at an earlier click.
    """
    pieces: list[int] = []
    with overwriting():  # what is handed out is filled as well
        try:
            gc.collect()
            _give_back()
            for size in FREE:
                taken = _taken()
                for _ in range(MOST_ROUNDS if taken else 0):  # without knowing when to end it would take a gigabyte
                    pieces += [_C.malloc(size) for _ in range(ROUND)]
                    if _taken() != taken:  # nothing of this size was free any more: the system was asked for memory
                        break
        finally:
            for piece in pieces:
                _C.free(piece)
    _give_back()


# what glibc knows, and other C libraries may not


@contextlib.contextmanager
def overwriting() -> Iterator[None]:
    """What is freed meanwhile, by any thread, is overwritten: nobody who takes it over finds a photo in it."""
    _count_overwriting(1)
    try:
        yield
    finally:
        _count_overwriting(-1)


def _count_overwriting(more: int) -> None:
    global _overwriting
    with _COUNTING, contextlib.suppress(AttributeError):
        _overwriting += more
        _C.mallopt(_PERTURB, _FILLED if _overwriting else 0)


def _give_back() -> None:
    with contextlib.suppress(AttributeError):
        _C.malloc_trim(0)


def _taken() -> int:
    """Bytes that the C library has from the system, without what it mapped one by one; 0 where it does not tell."""
    try:
        return _C.mallinfo2().arena
    except AttributeError:
        return 0


def _values(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [part for inner in value.values() for part in _values(inner)]
    return [value]
