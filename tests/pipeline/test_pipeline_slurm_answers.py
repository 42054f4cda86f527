"""What SLURM and the tasks' own journals say, read as it is meant."""

import pytest

from backbench.errors import SchedulerError
from backbench.pipeline.slurm import JobState, Slurm, parse_states
from backbench.pipeline.submit_folder import Submission
from backbench.pipeline.submit_journal import Journal
from backbench.pipeline.submit_states import judged, last_line

QUEUE = """12_0|COMPLETED|None|n1
12_1|FAILED|NonZeroExitCode|n2
13_0|PENDING|Dependency|
13_7|RUNNING|None|n1
14_0|PENDING|DependencyNeverSatisfied|
15|RUNNING|None|n1
"""
ACCOUNTING = """12_0|COMPLETED|None|n1
12_2|CANCELLED by 1000|None|None assigned
13_[1-3,5%2]|PENDING|None|None assigned
14_1|OUT_OF_ME+|None|n2
"""
ENDED = Journal(node="n1", status=3, stopped=False, failed=())
CUT_OFF = Journal(node="n1", status=None, stopped=False, failed=())


def test_the_queue_is_read() -> None:
    states = parse_states(QUEUE)
    assert states[12, 1] == JobState("FAILED", "NonZeroExitCode", "n2")
    assert states[13, 7].is_running
    assert states[13, 0].is_waiting
    assert not states[14, 0].is_waiting  # it never will
    assert set(states) == {(12, 0), (12, 1), (13, 0), (13, 7), (14, 0)}  # 15 is not ours


def test_the_accounting_is_read() -> None:
    states = parse_states(ACCOUNTING)
    assert states[12, 2] == JobState("CANCELLED")
    assert {index for job, index in states if job == 13} == {1, 2, 3, 5}
    assert states[14, 1].state == "OUT_OF_ME"


@pytest.mark.parametrize(
    ("told", "journal", "kind", "words"),
    [
        (JobState("RUNNING"), CUT_OFF, "running", ""),
        (JobState("PENDING", "Resources"), None, "waiting", "Resources"),
        (JobState("PENDING", "BeginTime"), ENDED, "waiting", "BeginTime"),  # requeued
        (JobState("COMPLETED"), ENDED, "done", ""),
        (JobState("FAILED", "NonZeroExitCode"), ENDED, "failed", "exit status 3"),
        (JobState("OUT_OF_MEMORY"), CUT_OFF, "failed", "OUT_OF_MEMORY, killed"),
        (JobState("NODE_FAIL"), CUT_OFF, "failed", "NODE_FAIL"),
        (JobState("PENDING", "DependencyNeverSatisfied"), None, "missing", "NeverSatisfied"),
        (JobState("CANCELLED"), None, "missing", "CANCELLED"),
        (JobState("CANCELLED"), CUT_OFF, "failed", "CANCELLED"),
        (None, None, "missing", "never began"),
        (None, CUT_OFF, "failed", "killed, on n1"),
        (None, ENDED, "failed", "exit status 3, on n1"),
        (None, Journal("n1", 0, stopped=False, failed=()), "done", ""),
        (None, Journal("n1", 143, stopped=True, failed=()), "failed", "asked to stop"),
    ],
)
def test_a_task_is_judged_by_the_scheduler_then_by_its_journal(told, journal, kind, words) -> None:
    found, reason = judged(told, journal)
    assert found == kind
    assert words in reason


def test_a_journal_tells_of_the_last_start(tmp_path) -> None:
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "train-3").write_text(
        "2026-01-01T00:00:00Z started 12 n1\n"
        "2026-01-01T00:01:00Z stopped\n"
        "2026-01-01T00:01:00Z ended 143\n"
        "2026-01-01T00:04:00Z started 12 n2\n"
        "2026-01-01T00:05:00Z failed 2 backbench train-fold --task t --fold 0-3\n"
    )
    journal = Submission(tmp_path).journal("train", 3)
    assert journal == Journal("n2", None, stopped=False, failed=(
        "2 backbench train-fold --task t --fold 0-3",
    ))  # fmt: skip
    assert Submission(tmp_path).journal("train", 4) is None


def test_the_last_line_of_a_log_is_shown(tmp_path) -> None:
    log = tmp_path / "x.log"
    assert "no such file" in last_line(log)
    log.write_text("one\nerror: two  \n\n")
    assert last_line(log) == "error: two"


def test_a_machine_without_slurm_is_told_of_local(monkeypatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SchedulerError, match=r"no sbatch.*--local"):
        Slurm()


def test_a_slurm_that_does_not_answer_is_told_with_local_too(monkeypatch, tmp_path) -> None:
    for name in ("sbatch", "scontrol"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\necho 'scontrol: error: no controller' >&2; exit 1\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(SchedulerError, match=r"no controller\. Try: scontrol ping\..*--local\.$"):
        Slurm()
