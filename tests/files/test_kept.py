"""What is kept comes back as it was, or not at all."""

import os
import shutil
import subprocess
import sys
import textwrap
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from backbench.files.kept import Kept

ARRAYS = {
    "draws": np.random.default_rng(0).normal(size=(3, 50)),
    "names": np.arange(96, dtype=np.uint8).reshape(3, 32),
    "none": np.empty((0, 4), np.int64),
}


def same(a, b):
    return a.keys() == b.keys() and all(
        (a[name].dtype, a[name].shape) == (b[name].dtype, b[name].shape)
        and a[name].tobytes() == b[name].tobytes()
        for name in a
    )


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "kept")


def test_what_was_written_is_read(kept):
    assert kept.read("key") is None
    kept.write("key", ARRAYS)
    assert same(kept.read("key"), ARRAYS)
    assert kept.read("other key") is None


def test_the_last_to_write_a_key_stays(kept):
    kept.write("key", ARRAYS)
    kept.write("key", {"draws": np.zeros(2)})
    assert same(kept.read("key"), {"draws": np.zeros(2)})


def test_a_damaged_file_is_as_good_as_none(kept):
    """A bit turned at any place, or the end missing."""
    kept.write("key", ARRAYS)
    (path,) = kept.folder.iterdir()
    whole = path.read_bytes()
    refused = 0
    for place in range(0, len(whole), 7):
        spoiled = bytearray(whole)
        spoiled[place] ^= 1 << place % 8
        path.write_bytes(spoiled)
        found = kept.read("key")
        refused += found is None
        assert found is None or same(found, ARRAYS), place
    assert refused > 0.9 * len(whole) / 7
    for size in (0, 7, 100, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert kept.read("key") is None


def test_a_file_of_another_key_or_of_something_else_is_as_good_as_none(kept):
    from safetensors.numpy import save_file

    kept.write("a", ARRAYS)
    (a,) = kept.folder.iterdir()
    kept.write("b", {"draws": np.ones(1)})
    (b,) = set(kept.folder.iterdir()) - {a}
    shutil.copy(b, a)
    assert kept.read("a") is None
    save_file({"draws": np.ones(1)}, a)
    assert kept.read("a") is None
    a.unlink()
    a.mkdir()
    assert kept.read("a") is None


def test_a_full_disk_keeps_nothing(tmp_path):
    """A file size limit stands for it, in a process of its own."""
    script = """
        import resource, sys
        from pathlib import Path
        import numpy as np
        from backbench.files.kept import Kept
        kept = Kept(Path(sys.argv[1]))
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, -1))
        kept.write("key", {"draws": np.zeros(10_000)})
        print(kept.read("key"), list(kept.folder.iterdir()))
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "kept")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "None []\n"), done.stderr


def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path):
    (tmp_path / "kept").write_text("a file in its place")
    kept = Kept(tmp_path / "kept")
    kept.write("key", ARRAYS)
    assert kept.read("key") is None


def test_what_cannot_be_removed_for_room_is_no_error(kept):
    kept.write("key", ARRAYS)
    (kept.folder / "somebody's folder").mkdir()
    Kept(kept.folder, limit=0).write("key", ARRAYS)


def test_beyond_the_bound_the_least_recently_used_go(kept):
    content = {"draws": np.zeros(10_000)}  # 80 kB
    few = Kept(kept.folder, limit=250_000)
    leftover = kept.folder / ".killed.tmp"
    for age, key in enumerate("abc"):
        few.write(key, content)
        for path in kept.folder.iterdir():
            os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 10 + age))
    leftover.write_bytes(b"x" * 80_000)
    os.utime(leftover, (0, 0))
    assert few.read("a") is not None  # used just now
    few.write("d", content)
    assert [key for key in "abcd" if few.read(key) is not None] == ["a", "c", "d"]
    assert not leftover.exists()


def test_processes_may_share_a_folder(kept):
    """Each writes and reads one key; nobody ever sees anything but a whole file of one of them."""
    with ProcessPoolExecutor(3, mp_context=get_context("fork")) as pool:
        assert all(pool.map(write_and_read, [kept.folder] * 3, [1, 2, 3]))
    assert len(list(kept.folder.iterdir())) == 1


def write_and_read(folder: Path, number: int) -> bool:
    kept = Kept(folder)
    for _ in range(20):
        kept.write("key", {"draws": np.full(1_000 * number, float(number))})
        found = kept.read("key")["draws"]
        if len(found) != 1_000 * found[0] or len(set(found)) != 1:
            return False
    return True
