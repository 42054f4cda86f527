"""No kill and no neighbour costs a finished row."""

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from backbench.features import feature_path, shards, store, verify
from backbench.features.shards import ShardedFile, gather
from backbench.features.store import Header
from features_bench import DIM, Bench, identity_of, in_memory

KILLED_EXTRACTIONS = """
    import os, random, signal, sys, time
    from features_bench import Averages, Bench, in_memory
    from backbench.features import feature_path, writing
    from backbench.features.shards import ShardedFile
    writing.SHARD_ROWS = 8  # a shard every other batch

    class Slow(Averages):
        def forward(self, pixels):
            time.sleep(0.01)
            return super().forward(pixels)

    bench, moments = Bench(module=Slow()), random.Random(5)
    file = ShardedFile(feature_path("memory", bench.identity), bench.identity.key)
    finished = [0]
    for turn in range(10):
        child = os.fork()
        if child == 0:
            bench.extract(in_memory(400), precision="fp32")
            os._exit(0)
        time.sleep(moments.uniform(0.1, 0.4))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        finished.append(len(file.index().rows))
    print(*finished)
"""


def start(script: str, home: Path, *arguments: str) -> subprocess.Popen:
    environment = {"BACKBENCH_HOME": str(home), "PYTHONPATH": ":".join(sys.path)}
    environment["OMP_NUM_THREADS"] = "1"
    command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def sharded(bench: Bench, samples_name: str = "memory") -> ShardedFile:
    return ShardedFile(feature_path(samples_name, bench.identity), bench.identity.key)


def header_of(dtype: str = "float32") -> Header:
    identity = identity_of()
    return Header(identity.to_dict(), identity.key, DIM, dtype, 1, "MIT")


def rows(names: list[str], sha: str = "ff") -> pd.DataFrame:
    return pd.DataFrame({"sample_id": names}).assign(content_sha256=sha, size=1, mtime_ns=1)


def session(name: str, date: str = "2024") -> dict:
    return {"id": name, "date": date, "precision": "fp32"}


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_a_readable_store_and_no_shard_is_computed_twice(own_home):
    """SIGKILL at ten seeded moments: what was finished before is there and is only added to."""
    process = start(KILLED_EXTRACTIONS, own_home)
    finished = [int(count) for count in process.communicate()[0].split()]
    assert process.returncode == 0
    assert len(finished) == 11
    assert finished == sorted(finished)
    assert finished[-1] > 0
    bench, samples = Bench(), in_memory(400)
    found = bench.extract(samples, precision="fp32")
    assert (found.reused, found.computed) == (finished[-1], 400 - finished[-1])
    assert verify(found.path).ok
    other = Bench(identity=identity_of("other", "12")).extract(samples, precision="fp32")
    assert np.allclose(found.X, other.X, atol=1e-5)


def test_a_kill_while_consolidating_loses_nothing(monkeypatch):
    """Killed between the rename of the main file and the removal of the shards."""
    bench, samples = Bench(), in_memory(12)
    with monkeypatch.context() as patched:
        patched.setattr(shards, "_remove", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            bench.extract(samples)
    assert sharded(bench).parts()
    again = bench.extract(samples)
    assert (again.computed, again.reused) == (0, 12)
    assert sharded(bench).parts() == []
    assert len(store.read_table(again.path)) == 12


def test_leftovers_of_killed_writers_are_swept(bench, own_home):
    found = bench.extract(in_memory(6))
    stale = found.path.with_name(f".{found.path.name}.{'0' * 32}.tmp")
    stale.write_bytes(b"half a file")
    bench.extract(in_memory(7))
    assert not stale.exists()


def test_a_writer_that_finishes_while_others_sweep_is_no_trouble(bench):
    """Its file was listed under a temporary name that is gone when it is looked at."""
    file = sharded(bench)
    bench.extract(in_memory(6))
    file.parts_folder.mkdir(exist_ok=True)
    gone = file.parts_folder / f".{'0' * 32}.h5.tmp"
    gone.symlink_to("renamed.h5")
    assert len(file.consolidate().rows) == 6
    assert gone.is_symlink()


@pytest.mark.slow
def test_sixteen_writers_lose_and_corrupt_nothing(own_home):
    """Each adds shards of its own rows and consolidates, all at once."""
    writer = """
        import sys, os, time
        import numpy as np, pandas as pd
        from features_bench import DIM, identity_of
        from backbench.features import feature_path
        from backbench.features.shards import ShardedFile
        from backbench.features.store import Header
        identity = identity_of()
        file = ShardedFile(feature_path("memory", identity), identity.key)
        header = Header(identity.to_dict(), identity.key, DIM, "float32", 1, "MIT")
        for number in map(int, sys.argv[1:]):
            if os.fork() == 0:
                for turn in range(4):
                    names = [f"w{number}-{turn}-{i}" for i in range(5)]
                    table = pd.DataFrame({"sample_id": names})
                    table = table.assign(content_sha256="ff", size=1, mtime_ns=1)
                    X = np.full((5, DIM), number * 10 + turn, np.float32)
                    one = {"id": f"{number}", "date": "2024", "precision": "fp32"}
                    file.add(header, one, table, X)
                    file.consolidate()
                os._exit(0)
        codes = [os.wait()[1] for _ in sys.argv[1:]]
        sys.exit(any(codes))
    """
    process = start(writer, own_home, *map(str, range(16)))
    assert process.wait() == 0
    file = sharded(Bench())
    report = verify(file.path)
    assert report.ok, report.problems
    assert report.rows == 16 * 4 * 5
    index = file.index()
    X = np.empty((report.rows, DIM), np.float32)
    gather(index, index.rows, X)
    parts = index.rows["sample_id"].str.extract(r"w(\d+)-(\d+)-").astype(int)
    assert np.array_equal(X[:, 0], (parts[0] * 10 + parts[1]).to_numpy(np.float32))
    assert len(index.sessions) == 16


def test_a_reader_that_meets_a_consolidation_reads_again_under_the_lock(bench):
    found = bench.extract(in_memory(6))
    file = sharded(bench)
    turns = []

    def read(index):
        if not turns:
            file.add(header_of(), session("late"), rows(["new"]), np.ones((1, DIM), np.float32))
            file.consolidate()
        turns.append(len(index.rows))
        X = np.empty((len(index.rows), DIM), np.float32)
        gather(index, index.rows, X)
        return X

    assert len(file.steadily(read)) == 7
    assert turns == [6, 7]
    assert found.path == file.path


def test_the_newest_row_of_an_id_wins():
    file = sharded(Bench())
    for turn in range(3):
        X = np.full((2, DIM), turn, np.float32)
        file.add(header_of(), session(str(turn)), rows(["a", f"b{turn}"], f"{turn}"), X)
        index = file.consolidate() if turn == 1 else file.index()
    found = index.rows.set_index("sample_id")["content_sha256"].to_dict()
    assert found == {"a": "2", "b0": "0", "b1": "1", "b2": "2"}


def test_sessions_without_rows_are_forgotten():
    file = sharded(Bench())
    for turn in range(2):
        X = np.full((1, DIM), turn, np.float32)
        file.add(header_of(), session(str(turn)), rows(["a"]), X)
    assert [each["id"] for each in file.consolidate().sessions] == ["1"]


def test_consolidation_holds_a_block_at_a_time(monkeypatch):
    """Memory does not grow with the number of rows."""
    file, most = sharded(Bench()), []
    monkeypatch.setattr(store, "BLOCK_BYTES", 10 * DIM * 4)
    for turn in range(5):
        names = [f"{turn}-{i}" for i in range(100)]
        file.add(header_of(), session("s"), rows(names), np.ones((100, DIM), np.float32))
    whole = store.write_file

    def watched(path, header, sessions, table, blocks, **attributes):
        def measured():
            for block in blocks:
                most.append(len(block))
                yield block

        whole(path, header, sessions, table, measured(), **attributes)

    monkeypatch.setattr(store, "write_file", watched)
    file.consolidate()
    assert max(most) <= 100
    assert sum(most) == 500
