"""A job tells the truth while it runs, stops when told, and keeps what it returned or why it failed."""

import os
import subprocess
import sys
import threading
import time

import pytest

from dashboard.components.progress import ALONE, SELDOM, pace
from img2tab_core.base import jobs
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.jobs import AT_ONCE, NICE, Job, Line


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


def test_a_page_looks_5_times_a_second_for_a_lone_visitor_and_once_a_second_where_30_jobs_run():
    before = jobs.running()
    assert before <= ALONE and pace(0.2) == 0.2
    gate = threading.Event()
    running = [Job.start(lambda progress, cancelled: gate.wait(20)) for _ in range(30 - before)]
    assert pace(0.2) == pytest.approx(1.0) and pace(0.5) == pytest.approx(2.5) and pace(1.0) == SELDOM
    gate.set()
    assert all(job.wait(20) for job in running) and pace(0.2) == 0.2


def test_300_times_the_running_jobs_are_counted_while_another_thread_starts_more():
    kept, over = [Job.start(lambda progress, cancelled: None) for _ in range(300)], threading.Event()

    def start_more():
        while not over.is_set():
            Job.start(lambda progress, cancelled: None).wait(20)

    starting, usual = threading.Thread(target=start_more), sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # threads take turns in the middle of a count
    try:
        starting.start()
        assert max(jobs.running() for _ in range(300)) <= len(kept) + 1
    finally:
        sys.setswitchinterval(usual)
        over.set()
        starting.join(20)


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


# ---- in line


@pytest.fixture
def single(monkeypatch):
    """One has its turn at a time."""
    monkeypatch.setenv(AT_ONCE, "1")


def _until(holds):
    end = time.monotonic() + 20
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    assert holds()


def test_4_jobs_in_line_run_one_at_a_time_in_the_order_they_came(single):
    line, gate, order, at_once = Line("trainings"), threading.Event(), [], []

    def work(number):
        def run(progress, cancelled):
            at_once.append(number)
            gate.wait(20)
            order.append((number, list(at_once)))
            at_once.remove(number)

        return run

    jobs = [Job.start(line.in_turn(work(number))) for number in range(4)]
    _until(lambda: jobs[3].text == "Number 3 in line: trainings run one at a time")
    assert [job.state for job in jobs] == ["running"] * 4
    gate.set()
    assert all(job.wait(20) for job in jobs)
    assert order == [(0, [0]), (1, [1]), (2, [2]), (3, [3])]


def test_2_have_their_turn_together_where_2_may(monkeypatch):
    monkeypatch.setenv(AT_ONCE, "2")
    line, both = Line("trainings"), threading.Barrier(2, timeout=20)
    jobs = [Job.start(line.in_turn(lambda progress, cancelled: both.wait())) for _ in range(4)]
    assert all(job.wait(20) for job in jobs)
    assert [job.state for job in jobs] == ["done"] * 4


def test_behind_16_that_wait_the_18th_is_refused_in_a_sentence_and_may_come_once_1_has_gone(single):
    line, gate = Line("trainings"), threading.Event()
    jobs = [Job.start(line.in_turn(lambda progress, cancelled: gate.wait(20))) for _ in range(17)]
    with pytest.raises(Img2TabError, match=r"16 trainings are waiting already.*Try again in a few minutes"):
        line.join()
    jobs[5].cancel()
    assert jobs[5].wait(20)
    jobs.append(Job.start(line.in_turn(lambda progress, cancelled: 18)))
    gate.set()
    assert jobs[-1].wait(20)
    assert jobs[-1].result == 18


def test_a_job_that_waits_in_line_is_cancelled_within_half_a_second_and_never_begun(single):
    line, gate, begun = Line("trainings"), threading.Event(), []
    first = Job.start(line.in_turn(lambda progress, cancelled: gate.wait(20)))
    second, third = (Job.start(line.in_turn(lambda progress, cancelled, n=n: begun.append(n))) for n in (2, 3))
    second.cancel()
    assert second.wait(0.5)
    assert (second.state, first.state) == ("cancelled", "running")
    gate.set()
    assert third.wait(20)
    assert begun == [3]


def test_work_that_fails_gives_its_turn_to_the_next(single):
    line = Line("trainings")
    jobs = [Job.start(line.in_turn(work)) for work in (lambda p, c: 1 / 0, lambda p, c: 2)]
    assert all(job.wait(20) for job in jobs)
    assert [job.state for job in jobs] == ["failed", "done"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a priority for each thread")
def test_background_work_and_2_threads_that_it_begins_stand_10_steps_behind_the_pages():
    def priority():
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def work(progress, cancelled):
        seen = [priority()]
        for _ in range(2):
            thread = threading.Thread(target=lambda: seen.append(priority()))
            thread.start()
            thread.join(20)
        return seen

    here, behind, urgent = priority(), Job.start(work), Job.start(work, urgent=True)
    assert behind.wait(20) and urgent.wait(20)
    assert behind.result == [min(19, here + NICE)] * 3
    assert urgent.result == [here] * 3
    assert priority() == here


@pytest.mark.parametrize("text", ["0", "65", "two", "-1", "1.5"])
def test_how_many_run_at_once_must_be_from_1_to_64(monkeypatch, text):
    monkeypatch.setenv(AT_ONCE, text)
    with pytest.raises(Img2TabError, match=f"IMG2TAB_JOBS must be a whole number from 1 to 64, got '{text}'"):
        Line("trainings").join()
