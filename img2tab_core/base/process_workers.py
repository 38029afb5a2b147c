"""Parts of some work answered by processes of this machine: each takes the next one when it is done with the last.

A process that ends in the middle of a part, killed or for want of memory, is replaced, and the part is taken up again.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.shards import Shards, Taker, Work

LOOK = 0.2  # seconds between two looks at whether to stop
PROGRAM = "from img2tab_core.base import process_workers; process_workers.serve({})"
ENDED_AT_ONCE = 3  # times the number of workers: how many may end in a row without a part that is done


def work_on(
    work: Work,
    parts: Sequence[range],
    shards: Shards,
    *,
    workers: int,
    progress: Callable[[range], None],
    stopped: Callable[[], bool],
) -> bool:
    """Have so many processes answer these parts; whether all are done, or `stopped` said to stop before.

    progress: called with every one as it is done. Raises as `engines.each`.
    """
    package = pickle.dumps((work, shards))
    waiting, ended = deque(parts), 0
    crew: dict[Connection, _Worker] = {}

    def hire() -> None:
        try:
            worker = _Worker(package)
        except OSError as error:
            raise Img2TabError(
                f"Beside {len(crew)} processes no other could be begun ({error.strerror}). What was done is kept: run "
                "the same command with fewer --workers."
            ) from error
        crew[worker.line] = worker
        worker.give(waiting.popleft())

    try:
        for _ in range(min(workers, len(parts))):
            hire()
        while crew:
            if stopped():
                return False
            ready = wait(list(crew), timeout=LOOK)
            for worker in [worker for line, worker in crew.items() if line in ready]:
                try:
                    failure: Exception | None = worker.line.recv()
                except (EOFError, OSError):  # it ended without a word
                    crew.pop(worker.line).end()
                    ended += 1
                    if ended > ENDED_AT_ONCE * workers:
                        raise Img2TabError(
                            f"{ended} processes ended one after the other, and no part was done meanwhile. "
                            "What was done is kept: close other programs and run the same command with fewer --workers."
                        ) from None
                    waiting.appendleft(worker.part)
                    hire()
                    continue
                if failure is not None:
                    raise failure
                ended = 0
                progress(worker.part)
                if waiting:
                    worker.give(waiting.popleft())
                else:
                    crew.pop(worker.line).end()
    finally:
        for worker in crew.values():
            worker.end()
    return True


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Worker:
    """A process and the line to it; part: what it works on.

    A program of its own: the processes of `multiprocessing` begin with the script that began them, which a user's may
    not expect and which, under Streamlit, is a page.
    """

    part: range

    def __init__(self, package: bytes) -> None:
        self.line, far = Pipe()
        places = os.pathsep.join(sys.path)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own program, no shell
                [sys.executable, "-P", "-c", PROGRAM.format(far.fileno())],
                env=os.environ | {"PYTHONPATH": places, "OMP_NUM_THREADS": "1"},
                stdin=subprocess.PIPE,  # ends with this process, and the worker with it
                pass_fds=[far.fileno()],
                start_new_session=True,  # Ctrl+C reaches this process, which ends its workers
            )
        except OSError:
            self.line.close()
            raise
        finally:
            far.close()
        with suppress(OSError):  # it has ended already, and reading from it says so
            self.line.send_bytes(package)

    def give(self, part: range) -> None:
        """Send it the next part."""
        self.part = part
        with suppress(OSError):  # as above
            self.line.send(part)

    def end(self) -> None:
        """End it at once: a shard that it writes is whole or not there."""
        self._process.kill()
        self._process.communicate()
        self.line.close()


def serve(number: int) -> None:
    """What a worker process does: answer the parts that come until it is ended, and say of each None or what failed.

    number: the file descriptor of its end of the line.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    line = Connection(number)
    try:
        taker = Taker(partial(_unpacked, line.recv_bytes()))
        while True:
            line.send(taker.take(line.recv()))
    except EOFError:  # who began this one is gone
        return


def _unpacked(package: bytes) -> tuple[Shards, Work]:
    work, shards = pickle.loads(package)  # noqa: S301 - of the process that began this one
    return shards, work


def _end_with_parent() -> None:
    """End this process when the one that began it is gone, also in the middle of a part."""
    sys.stdin.buffer.read()
    os._exit(1)
