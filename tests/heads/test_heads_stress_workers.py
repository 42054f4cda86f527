"""Units in processes of their own: the same numbers, the same errors, and none left behind."""

import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from time import sleep, time

import numpy as np
import pytest
import torch

from backbench.errors import HeadError, StorageError
from backbench.heads import settings_of, stress_workers, train
from backbench.heads.stress_data import Course
from backbench.heads.stress_workers import train_apart
from backbench.heads.unit import Means

from .stress_case import QUICK, make_plants, units


def two_cores(table, problem, asked, **options):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        return train(table, problem, asked, **options)
    finally:
        torch.set_num_threads(before)


def test_features_that_the_disk_has_no_room_for_are_one_line(tmp_path):
    """A limit on the size of files stands for the full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(StorageError, match=r"do not fit into .*TMPDIR"):
            stress_workers._write(np.zeros((100, 100), np.float32), tmp_path / "X.npy")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_units_in_processes_are_bit_for_bit_those_in_this_process():
    problem, folds = make_plants()
    asked, seen = units(folds[:2], 1, 2), []
    apart = two_cores(QUICK, problem, asked, progress=lambda *at: seen.append(at))
    torch.set_num_threads(1)
    for ours, theirs in zip(train(QUICK, problem, asked), apart, strict=True):
        assert theirs.unit.fold.name == ours.unit.fold.name
        assert (theirs.unit.seed, theirs.chosen) == (ours.unit.seed, ours.chosen)
        np.testing.assert_array_equal(theirs.logits, ours.logits)
        for name in ours.weights:
            np.testing.assert_array_equal(theirs.weights[name], ours.weights[name])
    assert seen[-1] == (16, 16)


def test_an_error_in_a_process_comes_out_as_it_is():
    problem, folds = make_plants()
    scored = problem.series.scored.copy()
    scored[folds[0].val] = False
    dead = replace(problem.series, scored=scored)
    course = Course.of(problem.X, dead, settings_of(QUICK))
    with pytest.raises(HeadError, match="fold a0, seed 0: the validation loss was never finite"):
        train_apart(course, units(folds[:2]), Means("cpu", 2 << 30, 1), workers=1)


def train_until(progress, workers):
    """A training that would not end by itself, with a callback a glance."""
    problem, folds = make_plants()
    settings = settings_of(QUICK | {"epochs": 100_000, "patience": 0})
    means = Means("cpu", 1 << 30, workers, progress)
    means.expect(10**6)
    train_apart(Course.of(problem.X, problem.series, settings), units(folds), means, workers)


def test_an_interrupted_pass_leaves_no_process_behind():
    def interrupt(done, total):
        if done:
            raise KeyboardInterrupt

    before = set(workers_of(os.getpid()))
    with pytest.raises(KeyboardInterrupt):
        train_until(interrupt, workers=1)
    assert set(workers_of(os.getpid())) == before


def test_a_worker_that_gets_sigterm_first_leaves_the_ending_to_its_parent():
    """SLURM sends it to every process of a job; the parent then says that it was stopped."""
    before, signalled = set(workers_of(os.getpid())), []

    def stop_the_worker_first(done, total):
        if signalled and done > signalled[0]:
            raise KeyboardInterrupt
        if done and not signalled:
            signalled.append(done)
            for worker in set(workers_of(os.getpid())) - before:
                os.kill(worker, signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        train_until(stop_the_worker_first, workers=1)


def test_a_worker_that_is_killed_is_told_and_takes_the_others_along():
    before = set(workers_of(os.getpid()))

    def kill_one(done, total):
        left = set(workers_of(os.getpid())) - before
        if done and left:  # after one is killed, the others go before this is told again
            os.kill(min(left), signal.SIGKILL)

    with pytest.raises(HeadError, match="ended from outside: give it more memory"):
        train_until(kill_one, workers=2)
    assert set(workers_of(os.getpid())) == before


LONG = """
import sys
sys.path.insert(0, sys.argv[1])
from heads.stress_case import QUICK, make_plants, units
from backbench.heads.stress_data import Course
from backbench.heads.stress_workers import train_apart
from backbench.heads.table import settings_of
from backbench.heads.unit import Means
if __name__ == "__main__":
    problem, folds = make_plants()
    settings = settings_of(QUICK | {"epochs": 100000, "patience": 0})
    means = Means("cpu", 1 << 30, 1, lambda *at: print(*at, flush=True))
    means.expect(10**6)
    train_apart(Course.of(problem.X, problem.series, settings), units(folds), means, workers=1)
"""


def test_workers_end_with_a_parent_that_is_killed_and_clear_up(tmp_path):
    script, scratch = tmp_path / "long.py", tmp_path / "scratch"
    scratch.mkdir()
    script.write_text(LONG)
    command = [sys.executable, str(script), str(Path(__file__).parents[1])]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TMPDIR": str(scratch)},
    ) as parent:
        while int(parent.stdout.readline().split()[0]) < 2:
            pass
        workers = workers_of(parent.pid)
        assert workers
        assert list(scratch.glob("*/X.npy"))
        parent.kill()
        parent.wait(20)
    limit = time() + 20
    while any(alive(worker) for worker in workers) and time() < limit:
        sleep(0.1)
    assert not [worker for worker in workers if alive(worker)]
    assert not list(scratch.glob("backbench-*"))


def workers_of(pid):
    """Processes that a process has begun with `spawn`."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    children = [c for task in tasks for c in (task / "children").read_text().split()]
    return [int(c) for c in children if "spawn_main" in Path(f"/proc/{c}/cmdline").read_text()]


def alive(pid):
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
