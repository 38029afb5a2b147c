"""Whether the process that trains a run is still there, on this machine or on another."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path

from img2tab_core.sessions.rows import RunRow

SILENCE = timedelta(minutes=2)  # without a heartbeat, after which a run on another machine is given up


def gone(run: RunRow, now: datetime) -> str | None:
    """Why a running run is not training any more; None while it may be."""
    if run.host == machine():
        return None if _is_alive(run.pid, run.process) else f"Its process {run.pid} is gone."
    if now - run.heartbeat > SILENCE:
        name, minutes = run.host.split(" ")[0], SILENCE.seconds // 60
        return f"Its process {run.pid} on {name} gave no sign of life for {minutes} minutes."
    return None


@lru_cache(maxsize=1)
def machine() -> str:
    """Where a process number means this process: the host's name, since its last start, in this container."""
    boot, space = "", ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = os.readlink("/proc/self/ns/pid")
    return " ".join((socket.gethostname().replace(" ", "-"), boot, space))


def started(pid: int) -> str:
    """When a process started, in the kernel's ticks, so that a number given again is noticed; "" where unknown."""
    try:
        # the name in brackets may hold anything, brackets too; field 3 is the state, field 22 the start
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return ""
    return "ended" if state in "ZX" else fields[18]  # killed, its parent has not collected it yet: ended


def _is_alive(pid: int, process: str) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's, but there
    now_started = started(pid)
    return not now_started or not process or now_started == process
