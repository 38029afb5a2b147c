"""A job tells the truth while it runs, stops when told, and keeps what it returned or why it failed."""

import subprocess
import sys
import threading

from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.jobs import Job


def _gated(step):
    """A work function that reports 0.5 and then waits until the test opens the gate."""
    reached, gate = threading.Event(), threading.Event()

    def work(progress, cancelled):
        progress(0.5, "half way")
        reached.set()
        gate.wait(20)
        return step(progress, cancelled)

    return work, reached, gate


def test_a_job_reports_half_way_then_returns_42_at_fraction_1():
    work, reached, gate = _gated(lambda progress, cancelled: 42)
    job = Job.start(work)
    assert reached.wait(20)
    assert (job.state, job.fraction, job.text, job.result) == ("running", 0.5, "half way", None)
    gate.set()
    assert job.wait(20)
    assert (job.state, job.fraction, job.result, job.error) == ("done", 1.0, 42, None)


def test_progress_never_goes_back_and_stays_within_0_and_1():
    reports, seen = [0.2, 0.7, 0.3, -4.0, 0.8, 9.0], []
    jobs = []
    started = threading.Event()

    def work(progress, cancelled):
        started.wait(20)
        for fraction in reports:
            progress(fraction, f"{fraction}")
            seen.append(jobs[0].fraction)

    jobs.append(Job.start(work))
    started.set()
    assert jobs[0].wait(20)
    assert seen == [0.2, 0.7, 0.7, 0.7, 0.8, 0.999]
    assert jobs[0].fraction == 1.0


def test_a_report_without_words_keeps_the_last_words():
    def work(progress, cancelled):
        progress(0.1, "sorting")
        progress(0.2)

    job = Job.start(work)
    assert job.wait(20)
    assert job.text == "sorting"


def test_cancel_reaches_the_work_which_stops_by_raising_cancelled():
    def stop(progress, cancelled):
        if cancelled():
            raise Cancelled("Stopped; nothing was changed.")
        return 1

    work, reached, gate = _gated(stop)
    job = Job.start(work)
    assert reached.wait(20)
    job.cancel()
    assert job.stopping
    gate.set()
    assert job.wait(20)
    assert (job.state, job.result, job.error, job.stopping) == ("cancelled", None, None, False)
    assert job.fraction == 0.5


def test_a_result_that_arrives_after_cancel_is_dropped():
    work, reached, gate = _gated(lambda progress, cancelled: "too late")
    job = Job.start(work)
    assert reached.wait(20)
    job.cancel()
    gate.set()
    assert job.wait(20)
    assert (job.state, job.result) == ("cancelled", None)


def test_work_that_keeps_its_result_ends_early_with_it_and_fraction_1():
    reached, gate = threading.Event(), threading.Event()

    def work(progress, cancelled):
        reached.set()
        gate.wait(20)
        return "the best so far" if cancelled() else "all of it"

    job = Job.start(work, keeps_result=True)
    assert reached.wait(20)
    job.cancel()
    gate.set()
    assert job.wait(20)
    assert (job.state, job.fraction, job.result) == ("done", 1.0, "the best so far")


def test_a_failed_job_keeps_the_sentence_and_its_progress():
    def fail(progress, cancelled):
        raise Img2TabError("A table needs at least 2 classes, got 1. Choose another target.")

    work, _, gate = _gated(fail)
    job = Job.start(work)
    gate.set()
    assert job.wait(20)
    assert (job.state, job.fraction, job.result) == ("failed", 0.5, None)
    assert str(job.error) == "A table needs at least 2 classes, got 1. Choose another target."


def test_a_fault_in_the_work_is_kept_too():
    job = Job.start(lambda progress, cancelled: 1 / 0)
    assert job.wait(20)
    assert job.state == "failed"
    assert isinstance(job.error, ZeroDivisionError)


def test_wait_gives_up_and_says_that_the_job_still_runs():
    work, _, gate = _gated(lambda progress, cancelled: 1)
    job = Job.start(work)
    assert job.wait(0.01) is False
    gate.set()
    assert job.wait(20) is True


def test_8_readers_never_see_a_result_before_the_state_says_done():
    wrong = []
    work, _, gate = _gated(lambda progress, cancelled: [progress(i / 2000) for i in range(2000)] and 7)
    job = Job.start(work)

    def read():
        while job.state == "running":
            result, state = job.result, job.state
            if result is not None and state != "done":
                wrong.append(state)

    readers = [threading.Thread(target=read) for _ in range(8)]
    for reader in readers:
        reader.start()
    gate.set()
    for reader in readers:
        reader.join(20)
    assert wrong == []
    assert job.result == 7


def test_a_job_that_still_runs_is_stopped_when_its_process_ends(tmp_path):
    told = tmp_path / "told"
    code = f"""
import pathlib, time
from img2tab_core.base.jobs import Job

def work(progress, cancelled):
    while not cancelled():
        time.sleep(0.01)
    pathlib.Path({str(told)!r}).write_text("stopped")

job = Job.start(work)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert told.read_text() == "stopped"
