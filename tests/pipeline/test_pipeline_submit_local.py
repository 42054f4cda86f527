"""The tasks of a submission on this machine, with commands of the shell in place of ours."""

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from backbench.errors import StorageError
from backbench.pipeline import submit_folder
from backbench.pipeline.submit import _run as carry_out
from backbench.pipeline.submit_folder import Asked, Plan, Submission
from backbench.pipeline.submit_local import run_here
from backbench.pipeline.submit_pack import BOARD, Command, Stage
from backbench.pipeline.submit_site import Site
from backbench.pipeline.submit_states import failure_lines, task_states


def submission(*stages: list[str], site: Site | None = None) -> Submission:
    """One whose stages have tasks of one command each."""
    made = tuple(
        Stage.of(f"s{n}", [[Command(f"s{n}", line)] for line in lines])
        for n, lines in enumerate(stages)
    )
    asked = Asked("t", "t.toml", str(Path.cwd()), "", "ridge", (), ("pixels",), (1,))
    plan = Plan(asked, "local", ("--local",), offline=False, made=submit_folder.now(), stages=made)
    return submit_folder.write(plan, site or Site())


def kinds(of: Submission) -> list[str]:
    return [state.kind for state in task_states([of])]


def test_settings_which_may_hold_the_password_of_a_proxy_are_for_their_owner_alone() -> None:
    """From the first byte on: nobody else enters the folder, nor the draft it was."""
    made = submission(["true"])
    assert (made.folder / "site.env").is_file()
    assert made.folder.stat().st_mode & 0o777 == 0o700


def test_a_submission_that_cannot_be_written_leaves_nothing() -> None:
    one = submission(["true"])
    stage = Stage.of("s" * 300, [[Command("s", "true")]])  # no file can be called so
    with pytest.raises(StorageError, match="BACKBENCH_HOME"):
        submit_folder.write(replace(one.plan, stages=(stage,)), Site())
    assert list(one.folder.parent.iterdir()) == [one.folder]


def test_stages_run_one_after_the_other_and_are_recorded() -> None:
    made = submission(["sh -c 'echo a >> out'", "sh -c 'echo a >> out'"], ["sh -c 'echo b >> out'"])
    assert run_here(made, 2)
    assert Path("out").read_text() == "a\na\nb\n"
    assert kinds(made) == ["done"] * 3
    assert made.log("s1", 0).read_text().startswith("$ sh -c")


def test_a_failed_task_stops_what_comes_after_it_and_nothing_beside_it() -> None:
    made = submission(["sh -c 'echo error: no luck >&2; exit 3'", "touch beside"], ["touch after"])
    assert not run_here(made, 1)
    assert Path("beside").exists()
    assert not Path("after").exists()
    assert kinds(made) == ["failed", "done", "missing"]
    lines = [line for state in task_states([made]) for line in failure_lines(state)]
    assert "exit status 3" in lines[0]
    assert "exit status 3: sh -c" in lines[1]
    assert lines[2].endswith("s0-0.log: error: no luck")


def test_a_command_that_fails_does_not_keep_its_neighbours_from_being_tried() -> None:
    made = submission(["false", "touch beside"], ["touch after"])
    packed = Plan(**{**vars(made.plan), "stages": (made.plan.stages[0].packed(1).then(
        made.plan.stages[1]),)})  # fmt: skip
    one = submit_folder.write(packed, Site())
    assert not run_here(one, 1)
    assert Path("beside").exists()
    assert not Path("after").exists()


def test_a_plan_that_makes_the_board_ends_with_what_the_board_says(capsys) -> None:
    made = submission(["echo trained"])
    board = Stage.of(BOARD, [[Command(BOARD, "printf 'x is best\\nboard     b.html\\n'")]])
    stages = (made.plan.stages[0].packed(1).then(board),)
    for plan in (stages, (*made.plan.stages, board)):
        made.remove()
        made = submit_folder.write(replace(made.plan, stages=plan), Site())
        assert carry_out(made, 1)
        told = capsys.readouterr().out
        assert told.endswith(f"done      {plan[-1].name} 0\nx is best\nboard     b.html\n"), told


def test_the_setup_of_a_site_is_run_before_a_task() -> None:
    made = submission(["sh -c 'test $GREETING = hello'"], site=Site(setup="export GREETING=hello"))
    assert run_here(made, 1)
    broken = submission(["touch out"], site=Site(setup="false"))
    assert not run_here(broken, 1)
    assert not Path("out").exists()


def test_scratch_is_a_folder_of_the_node() -> None:
    made = submission(["sh -c 'echo $TMPDIR > out'"], site=Site(scratch="$PWD/scratch/$((1 + 1))"))
    assert run_here(made, 1)
    assert Path("out").read_text().strip() == str(Path("scratch/2").resolve())
    assert Path("scratch/2").is_dir()


def test_a_plan_is_read_back_as_it_was_written() -> None:
    made = submission(["true"], ["true", "false"])
    assert Submission(made.folder).plan == made.plan
    assert [each.folder for each in submit_folder.submissions()] == [made.folder]


def test_interrupted_tasks_are_ended_and_told() -> None:
    made = submission(["sh -c 'touch began; exec sleep 60'"], ["touch after"])
    script = (
        "import signal, sys; from pathlib import Path;"
        "from backbench.pipeline.submit_folder import Submission;"
        "from backbench.pipeline.submit_local import run_here;"
        # A shell that starts the tests in the background has them ignore it.
        "signal.signal(signal.SIGINT, signal.default_int_handler);"
        "run_here(Submission(Path(sys.argv[1])), 1)"
    )
    process = subprocess.Popen([sys.executable, "-c", script, made.folder], stderr=subprocess.PIPE)
    while not Path("began").exists():
        time.sleep(0.05)
    assert kinds(made) == ["running", "waiting"]
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert kinds(made) == ["failed", "missing"]
    journal = made.journal("s0", 0)
    assert journal is not None
    assert journal.stopped
    assert not Path("after").exists()
    assert [log.name for log in (made.folder / "logs").iterdir()] == ["s0-0.log"]
