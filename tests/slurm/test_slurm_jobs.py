"""A comparison on a real SLURM: capped, killed, drained, failing, cut off from the tracker."""

import getpass
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from backbench.errors import SchedulerError
from backbench.pipeline.evaluate import evaluate
from backbench.pipeline.extract import extract
from backbench.pipeline.question import Question
from backbench.pipeline.status import status
from backbench.pipeline.status_report import Report
from backbench.pipeline.submit import Wishes, submit
from backbench.pipeline.submit_folder import submissions
from backbench.pipeline.submit_pack import TRAIN, Item
from backbench.pipeline.train_fold import train_fold
from backbench.runs import Tracker, tags
from backbench.runs.sync import sync
from slurm_cluster import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
USER = getpass.getuser()


def report() -> Report:
    return Report.of(submissions())


def units(kind: str) -> list[tuple[int, int]]:
    """Seed and fold of the units that fare so."""
    kinds = report().kinds
    return [(i.seed, i.fold) for i, found in kinds.items() if i.step == TRAIN and found == kind]


def runs(stage: str) -> list[str]:
    """Folds of each run of a stage."""
    return sorted(r.tags.get(tags.FOLD, "") for r in Tracker().find({tags.STAGE: stage}))


def until(holds: Callable[[], object], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def journal(stage: str, index: int = 0) -> str:
    path = submissions()[0].folder / "journal" / f"{stage}-{index}"
    return path.read_text() if path.exists() else ""


@pytest.fixture
def capped(slurm: Cluster):
    """At most 4 tasks in the queue, says the accounting."""
    slurm("sacctmgr", "-i", "modify", "user", USER, "set", "MaxSubmitJobs=4")
    until(lambda: "=4" in slurm("scontrol", "-o", "show", "assoc_mgr", f"users={USER}"))
    yield slurm
    slurm("sacctmgr", "-i", "modify", "user", USER, "set", "MaxSubmitJobs=-1")


def test_a_queue_of_four_takes_the_protocol_and_a_requeued_task_resumes(
    capped: Cluster, question: Question, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two train tasks were asked for; the accounting allows four in all, so they are packed."""
    assert submit(question, ["pixels"], wishes=Wishes(tasks=2))
    assert len(capped.live()) == 4
    with pytest.raises(SchedulerError, match="as many of your jobs are submitted"):
        submit(question, ["efficientnet_lite0=untrained"], wishes=Wishes())
    train = submissions()[0].jobs["train"]
    until(lambda: runs("train_fold") or not capped.live())  # the first of its two commands is done
    capped("scontrol", "requeue", f"{train}_0")
    until(lambda: "stopped" in journal("train") and "COMPLETING" not in "".join(capped.live()))
    capped("scontrol", "update", f"jobid={train}_0", "StartTime=now")
    capped.wait()

    assert journal("train").count("started") == 2
    assert "there already" in submissions()[0].log("train", 0).read_text()
    assert runs("train_fold") == ["0-1", "0-1", "2-3", "2-3"]  # two seeds, nothing twice
    sync()  # the requeue may have cut a run's way to the tracker short
    capsys.readouterr()
    assert status("small")
    assert "Everything is there." in capsys.readouterr().out
    assert Path("board/leaderboard.html").exists()
    assert submit(question, ["pixels"], wishes=Wishes())
    assert "Nothing to submit" in capsys.readouterr().out
    assert len(submissions()) == 1


def test_a_drained_node_costs_nothing_and_a_failing_unit_is_resubmitted_alone(
    slurm: Cluster, question: Question, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    extract(question, "pixels", "default")
    broken = Path("broken")
    broken.touch()
    site = tmp_path / "site.env"
    site.write_text(
        "BACKBENCH_SETUP='test ! -e broken -o $SLURM_ARRAY_TASK_ID != 2 "
        '|| { echo "error: no memory left" >&2; false; }\'\n'
    )
    wishes = Wishes(site=site, tasks=4)
    assert submit(question, ["pixels"], wishes=wishes)
    with pytest.raises(SchedulerError, match=r"about to bring 9 of the 9.*scancel"):
        submit(question, ["pixels"], wishes=wishes)
    until(lambda: "started" in journal("train", 1))
    slurm("scontrol", "update", "nodename=n1", "state=drain", "reason=test")
    slurm.wait()

    (made,) = submissions()
    assert [made.journal("train", index).node for index in (2, 3)] == ["n2", "n2"]
    assert units("failed") == [(1, 2), (2, 2)]
    assert len(units("done")) == 6
    capsys.readouterr()
    assert not status("small")
    told = capsys.readouterr().out
    assert "failed    train" in told
    assert "train-2.log: error: no memory left" in told
    assert "never ran evaluate" in told
    assert (
        f"next      backbench submit small.toml --backbones pixels --head ridge --site {site}"
        in told
    )

    broken.unlink()
    assert submit(question, ["pixels"], wishes=wishes)
    (again,) = (stage for stage in submissions()[0].plan.stages if stage.name == "train")
    assert [item for task in again.tasks for c in task.commands for item in c.items] == [
        Item(TRAIN, "pixels", 1, 2), Item(TRAIN, "pixels", 2, 2),
    ]  # fmt: skip
    slurm("scancel", submissions()[0].jobs["evaluate"], submissions()[0].jobs["leaderboard"])
    slurm.wait()
    assert len(units("done")) == 8
    assert runs("train_fold") == ["0", "0", "1", "1", "2", "2", "3", "3"]


def test_nodes_without_a_tracker_spool_and_the_login_node_does_the_rest(
    slurm: Cluster,
    question: Question,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    extract(question, "pixels", "default")
    assert submit(question, ["pixels"], wishes=Wishes(offline=True))
    assert [stage.name for stage in submissions()[0].plan.stages] == ["train"]
    slurm.wait()
    assert len(units("in the spool")) == 8
    with monkeypatch.context() as node:
        node.setenv("BACKBENCH_OFFLINE", "1")
        train_fold(question, "pixels", "default")  # as a task that starts again would
    assert runs("train_fold") == ["0-3", "0-3"]
    capsys.readouterr()
    assert not status()
    told = capsys.readouterr().out
    assert "next      backbench sync\n" in told
    assert "next      backbench submit small.toml --backbones pixels --head ridge --local\n" in told

    assert sync().is_complete
    assert len(units("done")) == 8
    evaluate(question, "pixels", "default")
    assert submit(question, ["pixels"], wishes=Wishes(local=True))
    assert [stage.name for stage in submissions()[0].plan.stages] == ["leaderboard"]
    assert status()


def test_a_refused_submission_leaves_nothing_behind(capped: Cluster, question: Question) -> None:
    with pytest.raises(SchedulerError, match=r"AssocMaxSubmitJobLimit.*--max-jobs"):
        submit(question, ["pixels"], wishes=Wishes(tasks=4, max_jobs=50))
    assert capped.live() == []
    assert submissions() == []


def test_an_unknown_partition_is_the_schedulers_own_line(
    slurm: Cluster, question, tmp_path
) -> None:
    site = tmp_path / "site.env"
    site.write_text("BACKBENCH_PARTITION=gpus\n")
    with pytest.raises(SchedulerError, match=r"[Ii]nvalid partition.*--site"):
        submit(question, ["pixels"], wishes=Wishes(site=site))
    assert submissions() == []
