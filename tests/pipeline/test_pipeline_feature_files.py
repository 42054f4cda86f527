"""Feature files by hand: what an import is good for, and files that are not ours to delete."""

from pathlib import Path

import numpy as np
import pytest

from backbench.errors import FeatureError, StorageError
from backbench.features import hdf5
from backbench.pipeline.feature_files import export, import_features, verify
from small_task import small_task


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return small_task(tmp_path)


def said_of_import(task: Path, capsys: pytest.CaptureFixture[str], *overrides: str) -> str:
    source = task.with_name("mine.h5")
    hdf5.write_nested(source, [(f"p{i:03d}.png", np.ones(3, np.float32)) for i in range(60)])
    import_features(
        source,
        layout="nested",
        task=str(task),
        backbone="mine",
        checkpoint="v2",
        weights="unknown",
        overrides=overrides,
    )
    return capsys.readouterr().out


def test_features_beside_pictures_are_said_to_be_unused(task: Path, capsys) -> None:
    said = said_of_import(task, capsys)
    assert "imported into" in said
    assert "unused    by runs of 'small': its samples come with pictures" in said


def test_features_of_samples_without_pictures_come_with_the_command_that_uses_them(
    task: Path, capsys
) -> None:
    manifest = task.with_name("samples.csv")
    rows = [line.split(",") for line in manifest.read_text().splitlines()]
    manifest.write_text("".join(f"{name},{label},{group}\n" for name, _, label, group in rows))
    said = said_of_import(task, capsys)
    assert f"backbench run --task {task} --backbones mine=v2" in said


def test_an_import_may_be_for_a_task_with_other_fields(task: Path, capsys) -> None:
    """As for the steps after it: other samples here, which the file of the task does not name."""
    manifest = task.with_name("samples.csv")
    rows = [line.split(",") for line in manifest.read_text().splitlines()]
    other = task.with_name("other.csv")
    other.write_text("".join(f"{name},{label},{group}\n" for name, _, label, group in rows))
    said = said_of_import(task, capsys, f"samples={other}", "seeds=[1]")
    assert f"--backbones mine=v2 --set 'samples={other};seeds=[1]'" in said


def test_how_many_samples_an_import_lacks_is_told_with_vectors_that_are_of_none(
    task: Path, capsys
) -> None:
    manifest = task.with_name("samples.csv")
    lines = manifest.read_text().splitlines()
    manifest.write_text("\n".join([*lines[:-1], "new.png,pictures/p059.png,n2,g19"]) + "\n")
    said = said_of_import(task, capsys)
    assert "lacking   1 of 60 samples of 'small': new.png" in said
    assert "foreign   1 of 60 vectors, no samples of 'small': p059.png" in said


def test_an_import_of_no_sample_of_the_task_is_refused(task: Path) -> None:
    source = task.with_name("other.h5")
    hdf5.write_nested(source, [("plant/1/top", np.ones(3, np.float32))])
    with pytest.raises(FeatureError, match=r"other\.h5 names no sample of small: plant/1/top"):
        import_features(
            source, layout="nested", task=str(task), backbone="b", checkpoint="c", weights="w"
        )


def test_samples_that_are_not_here_do_not_stop_an_import(task: Path, capsys) -> None:
    task.with_name("samples.csv").unlink()
    said = said_of_import(task, capsys)
    assert "unknown   whether runs will use them" in said


def test_a_file_of_the_users_own_is_not_to_be_deleted(task: Path, capsys) -> None:
    table = task.with_name("samples.csv")
    before = table.read_bytes()
    for refuse in (
        lambda: verify(table),
        lambda: import_features(
            table, layout="nested", task=str(task), backbone="b", checkpoint="c", weights="w"
        ),
    ):
        with pytest.raises(FeatureError, match=r"is not an HDF5 file\. Give another file") as error:
            refuse()
        assert "elete" not in str(error.value)
    assert table.read_bytes() == before


def test_an_export_that_cannot_be_written_is_told_first(task: Path) -> None:
    with pytest.raises(StorageError, match="cannot write"):
        export(task, task / "below" / "X.npy", layout="npy", task=str(task))
