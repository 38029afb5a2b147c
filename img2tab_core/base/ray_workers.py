"""Parts of some work answered by the workers of a Ray cluster, through Ray Data.

Every item of the data set is a part, a range of rows, and not its content: an actor reads, computes and writes a part
in one call, so nothing that grows on the way waits between two steps, and what Ray makes a block of is of no matter.
Ray begins an actor that is gone anew and hands it what it had not done.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import pickle
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import DAY, home
from img2tab_core.base.process_workers import cores
from img2tab_core.base.shards import Shards, Taker, Work

if TYPE_CHECKING:
    from ray.data import Dataset

LOOK = 1.0  # seconds between two looks at what is done and whether to stop
STORE = 100 << 20  # bytes of memory that Ray shares among processes: the work itself goes through it, no photo does
SETTLES = 60.0  # seconds after which a network drive shows every machine what another one wrote (NFS: up to 60)
IN_HAND = 2  # parts that are sent to an actor: the one it works on and the next
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent home
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # what Ray will do in later versions; unsaid, it warns of it
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
}


def work_on(
    work: Work,
    parts: Sequence[range],
    shards: Shards,
    *,
    workers: int | None,
    address: str,
    gpus: bool,
    progress: Callable[[range], None],
    stopped: Callable[[], bool],
) -> bool:
    """Have the actors of a cluster answer these parts; whether all are done, or `stopped` said to stop before.

    address: of a cluster that runs, "" for one of this machine. progress: called with every one as it is done.
    Raises as `engines.each`.
    """
    package = pickle.dumps((str(home()), shards, pickle.dumps(work)))
    with _quiet(), cluster(address, workers) as ray:
        there = ray.cluster_resources()
        if gpus and not there.get("GPU"):
            raise Img2TabError("--gpus needs graphics cards, got a Ray cluster without one. Leave --gpus out.")
        if not there.get("CPU"):  # every worker asks for one, and would wait for it for ever
            raise Img2TabError("The Ray cluster offers no processor core. Begin one of its machines with cores.")
        many = workers or max(1, int(there["GPU" if gpus else "CPU"]))
        answering = _Answering(_dataset(ray, parts, package, workers=min(many, len(parts)), gpus=gpus))
        missing = list(parts)
        while True:
            goes_on = answering.goes_on()
            before, missing = missing, shards.missing(missing)
            for part in sorted(set(before) - set(missing), key=lambda part: part.start):
                progress(part)
            if not goes_on:
                break
            if stopped():
                return not missing
        if answering.failure is not None:
            raise answering.failure
    until = time.monotonic() + SETTLES
    while missing and time.monotonic() < until:
        if stopped():
            return False
        time.sleep(LOOK)
        before, missing = missing, [part for part in missing if not shards.file(part).is_file()]
        for part in before:
            if part not in missing:
                progress(part)
    if missing:
        raise Img2TabError(
            f"The workers of the cluster answered {len(parts):,} parts, and {len(missing):,} of them are not in "
            f"{shards.folder}. Put IMG2TAB_HOME on a drive that all its machines share, under the same path."
        )
    return True


class _Answering:
    """A data set being computed in a thread, while the one that asked looks at what is there and whether to stop."""

    def __init__(self, data: Dataset) -> None:
        self._data = data
        self.failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="img2tab-ray", daemon=True)
        self._thread.start()

    def goes_on(self) -> bool:
        """Whether it is still being computed, after a moment."""
        self._thread.join(LOOK)
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            for batch in self._data.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
                for failure in batch["failure"]:
                    if failure:
                        self.failure = pickle.loads(failure)  # noqa: S301 - of an actor of ours
                        return
        except Exception as error:  # noqa: BLE001 - of Ray itself: what the work raises is in the batches
            self.failure = Img2TabError(
                f"The Ray cluster gave up ({_first_line(error)}). What is done is kept: run the same command again."
            )


class _Actor:
    """What works; Ray begins no actor anew that ended while it was made, so nothing is opened here."""

    def __init__(self, package: bytes) -> None:
        self._taker = Taker(partial(_unpacked, package))

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The same parts, start and stop int64 (n,), with the exception each ended in, pickled; b"" for none."""
        failures = [self._taker.take(range(int(a), int(b))) for a, b in zip(batch["start"], batch["stop"], strict=True)]
        return batch | {"failure": np.array([pickle.dumps(each) if each else b"" for each in failures], object)}


def _unpacked(package: bytes) -> tuple[Shards, Work]:
    os.environ["OMP_NUM_THREADS"] = "1"  # PyTorch, imported with what follows, takes so many threads
    os.environ["IMG2TAB_HOME"], shards, work = pickle.loads(package)  # noqa: S301 - ours
    if not shards.folder.is_dir():
        raise Img2TabError(
            f"The worker on {socket.gethostname()} sees no folder {shards.folder}. Put IMG2TAB_HOME on a drive that "
            "all machines of the cluster share, under the same path."
        )
    return shards, pickle.loads(work)  # noqa: S301 - ours; a backbone in it is looked for in IMG2TAB_HOME


def _dataset(ray: Any, parts: Sequence[range], package: bytes, *, workers: int, gpus: bool) -> Dataset:
    import ray.data as data

    context = data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what fails is said once, by whoever called
    items = [{"start": part.start, "stop": part.stop} for part in parts]
    return data.from_items(items, override_num_blocks=len(items)).map_batches(
        _Actor,
        fn_constructor_args=(package,),
        batch_size=1,
        batch_format="numpy",
        compute=data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=IN_HAND),
        num_cpus=1,
        num_gpus=1 if gpus else None,
    )


@contextmanager
def cluster(address: str, workers: int | None) -> Iterator[Any]:
    """Ray, connected: to the cluster of this address, or to one of this machine that ends with the body.

    Raises Img2TabError where Ray is not installed, or the cluster does not answer.
    """
    if not has_ray():
        raise Img2TabError(
            "--engine ray needs Ray, which is not installed. Run `pip install -e .[ray]` in the project's folder."
        )
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if not address and "ray" not in sys.modules:  # it reads them once, when it is imported
        # the ports are open to the network, and who reaches them has programs run: not without this
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    import ray

    if ray.is_initialized():  # whoever called connected it
        yield ray
        return
    options: dict[str, Any] = {"address": address}
    folder = None
    if not address:
        folder = _own_folder()
        options = {
            "address": "local",
            "num_cpus": workers or cores(),
            "object_store_memory": STORE,
            "include_dashboard": False,
            "_temp_dir": folder,
        }
    in_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM) if in_main else None
    try:
        try:
            ray.init(**options, logging_level=logging.CRITICAL, log_to_driver=False)
        except Exception as error:  # Ray raises this very class as well
            where, mend = (
                (f"at {address}", "Begin one with `ray start --head`, or leave --address out for one of this machine.")
                if address
                else ("on this machine", "Run it again when the machine is less busy, or without --engine ray.")
            )
            raise Img2TabError(f"No Ray cluster answers {where} ({_first_line(error)}). {mend}") from error
        if in_main:
            signal.signal(signal.SIGTERM, handler)
        yield ray
    finally:
        with suppress(Exception):
            ray.shutdown()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _own_folder() -> str:
    """Where a cluster of this process keeps its sockets and logs: Ray's own place fills up with those of every one.

    What killed processes left there a day ago is removed; near the root, since a socket's path has 107 letters at most.
    """
    for left in Path(tempfile.gettempdir()).glob("img2tab-ray-*-*"):
        with suppress(OSError, ValueError):
            if left.stat().st_mtime < time.time() - DAY and not _is_there(int(left.name.split("-")[2])):
                shutil.rmtree(left)
    return tempfile.mkdtemp(prefix=f"img2tab-ray-{os.getpid()}-")


def _is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


@contextmanager
def _quiet() -> Iterator[None]:
    """A body in which Ray says nothing; what Python writes to standard error is there as ever.

    Ray prints a paragraph of every worker that it replaces, on standard output, where the answer of a verb belongs, and
    warns from C++ of how Ray Data begins its actors.
    """
    try:
        is_terminal = sys.stderr.fileno() == 2
    except (AttributeError, OSError, ValueError):  # somebody's own stream
        is_terminal = False
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere, open(kept, "w", closefd=False) as errors:
            os.dup2(nowhere.fileno(), 2)
            with redirect_stdout(nowhere), redirect_stderr(errors if is_terminal else sys.stderr):
                yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def has_ray() -> bool:
    """Whether Ray is installed; it is not imported, which takes a second."""
    return importlib.util.find_spec("ray") is not None
