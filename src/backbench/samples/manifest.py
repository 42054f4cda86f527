"""Sample tables from a manifest file or from a folder per class."""

import posixpath
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from backbench.errors import SampleError, some
from backbench.files.s3_address import Address, is_s3, parse
from backbench.samples.source import PICTURE_SUFFIXES, of_no_format, parted_below
from backbench.samples.tables import read_text

REQUIRED = ("sample_id", "label")
_SPLITS = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}


def read_manifest(path: Path, address: str) -> pd.DataFrame:
    """Read a CSV, TSV or Parquet manifest.

    Args:
        path: with columns `sample_id, label` and, if wanted, `path`, `split`, one of groups and any
            others; relative picture paths are relative to the manifest; without paths the features
            have to be imported.
        address: where the manifest is; `s3://bucket/key` where `path` is a copy.

    Raises:
        SampleError: not readable, or a column is missing.
    """
    table = read_text(path, REQUIRED)
    if "split" in table:
        table["split"] = [_SPLITS.get(one.lower(), one) for one in table["split"]]
    if "path" in table:
        table["path"] = [beside(address, one) for one in table["path"]]
    return table


def read_folder(folder: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """A folder per class, or `train|val|test` folders of them; the id is the relative path.

    A folder may be a link to one elsewhere.

    Returns:
        The table, and what of the folder is not in it, a clause each.

    Raises:
        StorageError: a folder cannot be listed.
        SampleError: no pictures below the folder, or pictures outside a class folder.
    """
    pictures, others = parted_below(folder)
    unread = of_no_format([path for path in others if path.parent != folder])
    if not pictures:
        raise SampleError(
            f"no pictures below '{folder}'; expected one folder per class with "
            f"{', '.join(sorted(PICTURE_SUFFIXES))} files{'; ' if unread else ''}{unread}."
        )
    rows = [_folder_row(folder, picture) for picture in pictures]
    return pd.DataFrame(rows), tuple(filter(None, (unread, _empty_classes(folder, pictures))))


def _empty_classes(folder: Path, pictures: list[Path]) -> str:
    filled = {parent for picture in pictures for parent in picture.parents}
    empty = [repr(str(c.relative_to(folder))) for c in _class_folders(folder) if c not in filled]
    folders = "class folder" if len(empty) == 1 else "class folders"
    return f"no picture is in {folders} {some(empty)}" * bool(empty)


def _class_folders(folder: Path) -> Iterator[Path]:
    for top in _folders_in(folder):
        inner = _folders_in(top) if top.name.lower() in _SPLITS else []
        yield from inner or [top]


def _folders_in(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def beside(table: str, given: str) -> str:
    """A path as a table gives it, relative to the table, which may be in a bucket.

    Empty, absolute and s3:// stay as they are.
    """
    if not given or given.startswith("/") or is_s3(given):
        return given
    if not is_s3(table):
        return str(Path(table).parent / given)
    at = parse(table)
    key = posixpath.join(posixpath.dirname(at.key), given)
    return str(Address(at.bucket, posixpath.normpath(key)))


def _folder_row(folder: Path, picture: Path) -> dict[str, str]:
    relative = picture.relative_to(folder)
    parts = relative.parts
    split = _SPLITS.get(parts[0].lower(), "") if len(parts) > 2 else ""
    label = parts[1] if split else parts[0]
    if len(parts) < 2:
        raise SampleError(
            f"picture '{picture}' is not in a class folder; put it into '{folder}/<class>/'."
        )
    ident = relative.as_posix()
    return {
        "sample_id": ident, "label": label, "split": split, "path": str(picture),
    }  # fmt: skip
