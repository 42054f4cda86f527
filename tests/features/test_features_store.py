"""A feature file is ours, whole and checksummed, or a line says what is wrong with it."""

import subprocess
import sys
import textwrap

import h5py
import numpy as np
import pytest

from backbench.errors import FeatureError
from backbench.features import store, verify
from features_bench import Bench, in_memory


@pytest.fixture
def file(bench):
    return bench.extract(in_memory(50)).path


def test_features_are_chunked_and_checksummed(file):
    with h5py.File(file) as h5:
        assert h5["features"].chunks is not None
        assert all(h5[name].fletcher32 for name in ("features", *store.COLUMNS))


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda content: b"", "is empty"),
        (lambda content: content[: len(content) // 2], "is truncated"),
        (lambda content: b"sample_id,path\n" * 100, "is not an HDF5 file"),
        (lambda content: content[:600], "is truncated|is damaged"),
    ],
)
def test_a_broken_file_is_one_line_with_the_cure(bench, file, damage, line):
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(FeatureError, match=line) as caught:
        bench.extract(in_memory(50))
    assert "Delete it or move it away, then run extract again." in str(caught.value)
    assert "\n" not in str(caught.value)
    file.unlink()
    assert bench.extract(in_memory(50)).computed == 50


def test_somebody_elses_hdf5_is_refused(bench, file):
    file.unlink()
    with h5py.File(file, "w") as h5:
        h5["features"] = np.zeros((3, 3))
    with pytest.raises(FeatureError, match="not a Backbench feature file"):
        bench.extract(in_memory(50))


def test_a_file_of_a_newer_version_is_not_guessed_at(file):
    with h5py.File(file, "a") as h5:
        h5.attrs["format_version"] = 99
    with pytest.raises(FeatureError, match="newer Backbench"):
        store.read_header(file)


def test_a_file_that_lost_a_column_is_refused(file):
    with h5py.File(file, "a") as h5:
        del h5["content_sha256"]
    with pytest.raises(FeatureError, match="lacks content_sha256"):
        store.read_table(file)


def test_a_flipped_bit_in_the_features_is_found(file):
    with h5py.File(file) as h5:
        where = h5["features"].id.get_chunk_info(0).byte_offset
    content = bytearray(file.read_bytes())
    content[where + 100] ^= 1
    file.write_bytes(content)
    with pytest.raises(FeatureError, match="is damaged"):
        verify(file)


def test_blocks_cover_all_rows_once(file, monkeypatch):
    monkeypatch.setattr(store, "BLOCK_BYTES", 12 * 4 * 7)
    wanted = np.array([0, 3, 4, 49])
    with h5py.File(file) as h5:
        X = h5["features"][:]
    blocks = list(store.read_blocks(file, wanted))
    assert np.concatenate([rows for rows, _ in blocks]).tolist() == wanted.tolist()
    assert np.array_equal(np.concatenate([block for _, block in blocks]), X[wanted])


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path, own_home):
    """A file size limit stands for the full disk; HDF5 must not crash the process at exit."""
    script = textwrap.dedent(
        """
        import resource, sys
        from features_bench import Averages, Bench, in_memory, rows_of
        from backbench.errors import StorageError
        from backbench.features import shards
        bench = Bench(batch_size=64)
        samples = in_memory(1000)
        first = bench.extract(rows_of(samples, list(range(400))))
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, -1))
        try:
            bench.extract(samples)
        except StorageError as error:
            print(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        """
    )
    environment = {"BACKBENCH_HOME": str(own_home), "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Free space there or choose another folder" in done.stdout
    found = Bench().extract(in_memory(1000))
    assert found.reused >= 400
    assert verify(found.path).ok
    assert list(found.path.parent.rglob("*.tmp")) == []
