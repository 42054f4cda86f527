"""Extraction computes what is new or changed, once, and says what it could not read."""

import io
import os
import resource
import subprocess
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

from backbench.errors import FeatureError, StorageError, TrackingError
from backbench.features import UnreadableSamplesError, computing, features_key, reuse, store
from backbench.features.exchange import verify
from backbench.features.keys import short_cuts
from backbench.features.shards import ShardedFile
from backbench.files.code_state import git_state
from backbench.samples import ArraySource, FileSource, Samples
from features_bench import TRANSFORM, Averages, Bench, identity_of, in_memory, rows_of, table


def expected(samples) -> np.ndarray:
    """Features of each picture, sent through the network alone."""
    module = Averages()
    with torch.inference_mode():
        rows = [module(TRANSFORM(samples.source.open(i))[None]) for i in range(len(samples))]
    return torch.cat(rows).numpy()


def test_a_row_computed_alone_equals_the_row_computed_in_a_batch(bench):
    samples = in_memory(9)
    found = bench.extract(samples)
    assert found.X.dtype == np.float32
    assert np.abs(found.X - expected(samples)).max() < 1e-5


def test_a_second_call_loads_no_network_and_gives_the_same(bench, pictures):
    samples = pictures(10)
    first = bench.extract(samples)
    again = bench.extract(samples)
    assert (first.computed, first.reused, bench.loads) == (10, 0, 1)
    assert (again.computed, again.reused) == (0, 10)
    assert again.key == first.key
    assert np.array_equal(again.X, first.X)


def test_a_warm_call_reads_no_file(bench, pictures, monkeypatch):
    """A stat and a lookup a sample, not a hash of every file."""
    samples = pictures(10)
    bench.extract(samples)
    monkeypatch.setattr(type(samples.source), "read", None)
    assert bench.extract(samples).reused == 10


def test_rows_come_in_the_order_of_the_samples(bench):
    samples = in_memory(10)
    X = bench.extract(samples).X
    order = [7, 2, 9, 0]
    some = bench.extract(rows_of(samples, order))
    assert some.computed == 0
    assert some.ids.tolist() == samples.ids[order].tolist()
    assert np.array_equal(some.X, X[order])


def test_only_a_changed_sample_is_computed_again(bench, pictures):
    samples = pictures(10)
    before = bench.extract(samples)
    Image.new("RGB", (20, 20), (9, 99, 200)).save(samples.source.paths[3])
    after = bench.extract(samples)
    assert (after.computed, after.reused) == (1, 9)
    assert after.key != before.key
    changed = (after.X != before.X).any(axis=1)
    assert np.flatnonzero(changed).tolist() == [3]


def test_new_samples_are_added_to_those_that_are_there(bench, pictures):
    samples = pictures(10)
    bench.extract(rows_of(samples, [1, 2, 3]))
    assert bench.extract(samples).computed == 7


def test_a_touched_file_is_hashed_but_not_computed_and_then_trusted(bench, pictures, monkeypatch):
    samples = pictures(4)
    bench.extract(samples)
    for path in samples.source.paths:
        os.utime(path, ns=(1, 1))
    assert bench.extract(samples).computed == 0
    monkeypatch.setattr(type(samples.source), "read", None)
    assert bench.extract(samples).reused == 4


def test_verify_finds_a_change_that_keeps_size_and_time(bench, pictures):
    samples = pictures(4)
    bench.extract(samples)
    path = Path(samples.source.paths[2])
    status, old = path.stat(), path.read_bytes()
    new = io.BytesIO()
    Image.new("RGB", (20, 20), (1, 2, 3)).save(new, "PNG")
    path.write_bytes(new.getvalue() + b"\0" * (len(old) - len(new.getvalue())))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert bench.extract(samples).computed == 0
    assert bench.extract(samples, verify=True).computed == 1


def test_content_in_memory_is_hashed_each_time(bench):
    samples = in_memory(6)
    bench.extract(samples)
    samples.source.pixels[4] = 17
    assert bench.extract(samples).computed == 1


@settings(max_examples=50, deadline=None)
@given(
    pairs=st.lists(st.tuples(st.text(), st.text("0123456789abcdef", max_size=4)), unique=True),
    seed=st.randoms(),
)
def test_the_key_does_not_depend_on_the_order(pairs, seed):
    shuffled = list(pairs)
    seed.shuffle(shuffled)
    assert features_key("k", pairs) == features_key("k", shuffled)
    assert features_key("k", pairs) != features_key("other", pairs)
    assert features_key("k", [*pairs, ("new", "x")]) != features_key("k", pairs)


def test_unreadable_pictures_are_an_error_that_counts_and_lists_them(bench, pictures):
    samples = pictures(10)
    Path(samples.source.paths[0]).write_bytes(b"no picture")
    Path(samples.source.paths[7]).unlink()
    with pytest.raises(UnreadableSamplesError, match=r"2 of 10 samples .* p000, p007") as caught:
        bench.extract(samples)
    assert caught.value.errors["sample_id"].tolist() == ["p000", "p007"]
    assert caught.value.errors["path"].tolist()[1].endswith("007.png")
    assert "\n" not in str(caught.value)


def test_readable_rows_are_kept_when_too_many_are_not(bench, pictures):
    samples = pictures(10)
    Path(samples.source.paths[5]).write_bytes(b"")
    with pytest.raises(FeatureError):
        bench.extract(samples)
    found = bench.extract(samples, max_error_fraction=0.1)
    assert (found.computed, found.reused, len(found.errors)) == (0, 9, 1)
    assert "p005" not in found.ids


def test_a_warm_call_with_a_known_bad_picture_loads_no_network(bench, pictures):
    samples = pictures(5)
    Path(samples.source.paths[2]).write_bytes(b"GIF89a")
    bench.extract(samples, max_error_fraction=0.5)
    bench.extract(samples, max_error_fraction=0.5)
    assert bench.loads == 1


def test_nothing_readable_at_all_is_an_error_whatever_is_allowed(bench, pictures):
    samples = pictures(3)
    for path in samples.source.paths:
        Path(path).write_bytes(b"?")
    with pytest.raises(UnreadableSamplesError, match="3 of 3"):
        bench.extract(samples, max_error_fraction=1.0)
    assert bench.loads == 0


def test_nan_features_are_refused_by_name_and_the_others_kept():
    samples = in_memory(10)
    samples.source.pixels[6] = 255
    bench = Bench(module=Averages(poison=0.9))
    with pytest.raises(FeatureError, match=r"1 samples have NaN.*: s006;"):
        bench.extract(samples)
    healthy = Bench()
    assert healthy.extract(rows_of(samples, [0, 1, 2, 3])).computed == 0


@pytest.mark.parametrize(("asked", "together"), [({}, 8), ({"batch_size": 16}, 16)])
def test_a_cpu_puts_8_pictures_through_at_once_unless_told(asked, together):
    bench = Bench(batch_size=16)
    bench.extract(in_memory(40), **asked)
    assert max(bench.module.batches) == together


def test_the_batch_is_halved_until_it_fits():
    bench = Bench(module=Averages(largest=3), batch_size=16)
    samples = in_memory(20)
    console = Console(file=io.StringIO(), width=200)
    found = bench.extract(samples, console=console)
    assert max(bench.module.batches) <= 3
    assert found.provenance["batch_size"] == 2
    assert "ran out; 2 pictures at once from here" in console.file.getvalue()
    assert np.allclose(found.X, expected(samples), atol=1e-5)


def test_one_picture_that_does_not_fit_is_one_line():
    bench = Bench(module=Averages(largest=0))
    with pytest.raises(FeatureError, match="one picture alone does not fit"):
        bench.extract(in_memory(4))


def test_float16_has_a_file_of_its_own(bench):
    samples = in_memory(5)
    full, half = bench.extract(samples), bench.extract(samples, dtype="float16")
    assert half.X.dtype == np.float16
    assert half.path != full.path
    assert np.allclose(half.X, full.X, rtol=1e-3, atol=1e-3)


def test_fp32_is_computed_where_only_bf16_is_there(bench):
    samples = in_memory(40)
    fast = bench.extract(samples, precision="bf16")
    assert fast.provenance["precision"] == "bf16"
    exact = bench.extract(samples, precision="fp32")
    assert exact.computed == 40
    assert exact.provenance["precision"] == "fp32"
    assert not np.array_equal(exact.X, fast.X)
    assert exact.key != fast.key
    assert (
        exact.key
        == bench.extract(samples).key
        == Bench().extract(rows_of(samples, list(range(40)))).key
    )
    assert bench.extract(samples, precision="auto").computed == 0


def test_rows_of_another_run_are_reused_if_id_and_content_agree(bench, pictures, tmp_path):
    samples = pictures(10)
    theirs = bench.extract(rows_of(samples, list(range(8))))
    remote = theirs.path.rename(tmp_path / "downloaded.h5")
    Image.new("RGB", (20, 20)).save(samples.source.paths[0])
    asked = []

    def find(key):
        asked.append(key)
        return [lambda: remote]

    found = bench.extract(samples, remote=find)
    assert asked == [bench.identity.key]
    assert (found.computed, found.reused) == (3, 7)
    assert np.array_equal(found.X[1:8], theirs.X[1:])
    assert bench.extract(samples, remote=None).computed == 0


def test_no_run_with_such_a_file_is_no_error(bench):
    assert bench.extract(in_memory(3), remote=lambda _key: []).computed == 3


def _gone():
    raise TrackingError("run 7 has no artifact 'features'.")


def test_files_of_other_runs_that_cannot_be_used_are_told_and_passed_over(
    bench, pictures, tmp_path
):
    samples = pictures(6)
    theirs = bench.extract(samples).path.rename(tmp_path / "downloaded.h5")
    foreign = Bench(identity=identity_of(weights="ee" * 32)).extract(samples).path
    damaged, said = tmp_path / "damaged.h5", io.StringIO()
    damaged.write_bytes(theirs.read_bytes()[:3000])
    ways = [_gone, lambda: foreign, lambda: damaged, lambda: theirs, _never]
    found = bench.extract(samples, remote=lambda _key: ways, console=Console(file=said))
    assert (found.computed, found.reused) == (0, 6)
    lines = said.getvalue().splitlines()
    assert len(lines) == 3
    assert all(line.startswith("features of another run are not reused: ") for line in lines)
    assert "no artifact" in lines[0]
    assert "holds vectors of the space" in lines[1]
    assert "damaged.h5 is truncated" in lines[2]


def test_a_file_that_goes_while_it_is_read_is_told_and_its_rows_are_computed(
    bench, pictures, tmp_path, monkeypatch
):
    """Of a run in the spool, which another process sends."""
    samples, said = pictures(6), io.StringIO()
    theirs = bench.extract(samples).path.rename(tmp_path / "theirs.h5")

    def sent_meanwhile(*given):
        theirs.unlink()
        return matrix(*given)

    matrix = reuse.matrix
    monkeypatch.setattr(reuse, "matrix", sent_meanwhile)
    ways = [lambda: theirs, lambda: theirs]
    found = bench.extract(samples, remote=lambda _key: ways, console=Console(file=said, width=999))
    assert (found.computed, found.reused) == (6, 0)
    lines = said.getvalue().splitlines()
    assert len(lines) == 2
    assert all("are not reused: " in line and "theirs.h5" in line for line in lines)


def _never():
    raise AssertionError("all rows are there already")


def test_rows_come_from_several_runs_and_the_rest_is_computed(bench, pictures, tmp_path):
    samples = pictures(9)
    files = []
    for number, rows in enumerate(([0, 1, 2], [2, 3, 4])):
        path = bench.extract(rows_of(samples, rows)).path
        files.append(path.rename(tmp_path / f"{number}.h5"))
    ways = [partial(Path, path) for path in files]
    found = bench.extract(samples, remote=lambda _key: ways)
    assert (found.computed, found.reused) == (4, 5)


def test_ctrl_c_keeps_what_is_finished_and_says_so(bench):
    samples, said = in_memory(40), io.StringIO()

    class Interrupted(Averages):
        def forward(self, pixels):
            if self.pictures > 20:
                raise KeyboardInterrupt
            return super().forward(pixels)

    stopped = Bench(module=Interrupted())
    with pytest.raises(KeyboardInterrupt):
        stopped.extract(samples, precision="fp32", console=Console(file=said))
    assert "the same command goes on from there" in " ".join(said.getvalue().split())
    assert 0 < bench.extract(samples).computed < 40


@pytest.mark.parametrize(
    ("session", "words"),
    [
        ({"precision": "fp32", "min_side": 0}, ""),
        ({"precision": "imported"}, ""),
        ({"precision": "bf16", "min_side": 0}, "bf16"),
        ({"precision": "fp32", "min_side": 224}, "/224"),
        ({"precision": "bf16", "min_side": 224}, "bf16/224"),
    ],
)
def test_short_cuts_are_those_of_the_session(session, words):
    assert short_cuts(session) == words


@pytest.mark.parametrize(("first", "way"), [("auto", "/16"), ("bf16", "bf16/16")])
@pytest.mark.parametrize("stored", [36, 8])
def test_what_is_left_is_computed_as_what_is_stored(tmp_path, monkeypatch, first, way, stored):
    """However few are left, as after an interruption; 4 are too few for a trial of their own."""
    monkeypatch.setattr(computing, "supports_bf16", lambda _: first == "bf16")
    monkeypatch.setattr(computing, "FEWEST_BATCHES", 2)
    samples, bench = large_jpegs(tmp_path, 40), Bench()
    whole = bench.extract(samples, precision=first)
    assert short_cuts(whole.provenance) == way
    whole.path.unlink()
    bench.extract(rows_of(samples, list(range(stored))), precision=first)
    rest = bench.extract(rows_of(samples, list(range(stored, stored + 4))))
    assert short_cuts(rest.provenance) == way
    again = bench.extract(samples)
    assert again.key == whole.key
    assert np.array_equal(again.X, whole.X)


def large_jpegs(folder, count):
    """Smooth ones: decoding them small changes little, but something."""
    ramp = np.add.outer(np.arange(200), np.arange(200)).astype(np.uint8) // 4
    names = [str(folder / f"{i:02d}.jpg") for i in range(count)]
    for shift, name in enumerate(names):
        Image.fromarray(ramp + np.uint8(shift)).convert("RGB").save(name, quality=95)
    return Samples(
        "photographs", table([f"j{i:02d}" for i in range(count)], names), FileSource(names)
    )


def test_fp32_decodes_in_full_also_what_is_there_at_a_reduced_scale(bench, tmp_path):
    samples = large_jpegs(tmp_path, 34)
    fast = bench.extract(samples)
    assert fast.provenance["min_side"] == 16
    exact = bench.extract(samples, precision="fp32")
    assert exact.computed == 34
    assert exact.provenance["min_side"] == 0
    assert exact.provenance["decoding"] == "full: fp32 was asked for"
    assert exact.key != fast.key
    assert np.abs(exact.X - expected(samples)).max() < 1e-5
    assert verify(exact.path).ok


def test_rows_of_another_run_that_took_a_short_cut_are_not_reused_for_fp32(bench, tmp_path):
    samples = large_jpegs(tmp_path, 34)
    remote = bench.extract(samples).path.rename(tmp_path / "downloaded.h5")
    ways = [lambda: remote]
    assert bench.extract(samples, precision="fp32", remote=lambda _key: ways).computed == 34
    bench.extract(samples).path.unlink()
    assert bench.extract(samples, remote=lambda _key: ways).computed == 0


def test_the_precision_that_was_chosen_is_said_with_the_backbones_name(bench):
    said = io.StringIO()
    bench.extract(in_memory(40), precision="bf16", console=Console(file=said, width=200))
    assert f"precision {bench.identity.name}: " in said.getvalue()


def test_provenance_names_weights_versions_and_speed(bench):
    found = bench.extract(in_memory(5))
    known = found.provenance
    assert known["identity"] == bench.identity.to_dict()
    assert known["key"] == found.key
    assert {"torch", "numpy", "pillow"} <= set(known["versions"])
    assert known["images_per_second"] > 0
    assert (known["parameters"], known["licence"], known["precision"]) == (576, "MIT", "fp32")


def test_provenance_tells_what_was_done_to_the_weights_file():
    steps = {"container": "state_dict", "prefix": "module.", "dropped": {"fc.": 2}}
    assert Bench(loaded=steps).extract(in_memory(5)).provenance["loaded"] == steps


def test_the_commit_is_that_of_backbench_not_of_the_folder_one_works_in(bench):
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "theirs"]):
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *who, *command], cwd=Path.cwd(), check=True)
    git = git_state()
    told = bench.extract(in_memory(3)).provenance["git_sha"]
    assert told.removesuffix("-dirty") == (git["commit"] if git else "")


def test_worker_processes_give_the_same_rows(bench, pictures):
    samples = pictures(30)
    Path(samples.source.paths[11]).write_bytes(b"broken")
    found = bench.extract(samples, workers=2, max_error_fraction=0.1)
    other = Bench(identity=identity_of(weights="99" * 32))
    assert np.array_equal(found.X, other.extract(samples, max_error_fraction=0.1).X)
    assert found.errors["sample_id"].tolist() == ["p011"]


class Deadly(ArraySource):
    """The last picture kills the worker that opens it."""

    def open(self, i, min_side=None):
        if i == 39 and torch.utils.data.get_worker_info():
            time.sleep(0.5)  # until the batches before are fetched
            os._exit(9)
        return super().open(i, min_side)


def test_a_worker_that_dies_is_one_line_and_costs_no_finished_row(bench):
    healthy = in_memory(40)
    samples = type(healthy)(healthy.name, healthy.frame, Deadly(healthy.source.pixels))
    with pytest.raises(FeatureError, match=r"a process that decodes pictures died .*--workers 0"):
        bench.extract(samples, workers=1)
    assert 0 < bench.extract(healthy, workers=0).computed < 40


@pytest.mark.parametrize(
    ("option", "value", "line"),
    [
        ("precision", "fp16", "Allowed: auto, bf16, fp32"),
        ("dtype", "int8", "Allowed: float16, float32"),
        ("batch_size", 0, "1 or more"),
        ("workers", -1, "0 or more"),
        ("max_error_fraction", 1.5, "0 to 1"),
    ],
)
def test_an_option_out_of_range_names_what_is_allowed(bench, option, value, line):
    with pytest.raises(FeatureError, match=line):
        bench.extract(in_memory(3), **{option: value})


def test_large_features_are_mapped_not_held(bench, monkeypatch):
    samples = in_memory(10)
    small = bench.extract(samples)
    monkeypatch.setattr("backbench.features.features.IN_MEMORY_BYTES", 0)
    large = bench.extract(samples)
    assert isinstance(large.X, np.memmap)
    assert np.array_equal(large.X, small.X)
    assert sorted(p.name for p in large.path.parent.iterdir() if p.suffix == ".h5") == [
        large.path.name
    ]


def test_no_room_for_mapped_features_is_one_line(bench, monkeypatch):
    """Else the process would be killed when it writes to the map."""
    samples = in_memory(10)
    bench.extract(samples)
    monkeypatch.setattr("backbench.features.features.IN_MEMORY_BYTES", 0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
    try:
        with pytest.raises(StorageError, match=r"cannot write .*BACKBENCH_HOME"):
            bench.extract(samples)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)


def test_the_file_in_use_is_one_and_its_rows_are_in_the_index(bench):
    found = bench.extract(in_memory(5))
    file = ShardedFile(found.path, found.identity_key)
    assert file.parts() == []
    assert len(store.read_table(found.path)) == 5
