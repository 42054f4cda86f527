"""Sample tables from a manifest file or from a folder per class."""

import posixpath
from pathlib import Path

import pandas as pd

from backbench.errors import SampleError
from backbench.files.s3_address import Address, is_s3, parse
from backbench.samples.source import PICTURE_SUFFIXES, pictures_below
from backbench.samples.tables import read_text

REQUIRED = ("sample_id", "label")
_SPLIT_FOLDERS = {
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
    given = table["path"] if "path" in table else [""] * len(table)
    paths = [beside(address, one) for one in given]
    return table.assign(split=table.get("split", ""), path=paths)


def read_folder(folder: Path) -> pd.DataFrame:
    """A folder per class, or `train|val|test` folders of them; the id is the relative path.

    A folder may be a link to one elsewhere.

    Raises:
        StorageError: a folder cannot be listed.
        SampleError: no pictures below the folder, or pictures outside a class folder.
    """
    pictures = pictures_below(folder)
    if not pictures:
        raise SampleError(
            f"no pictures below '{folder}'; expected one folder per class with "
            f"{', '.join(sorted(PICTURE_SUFFIXES))} files."
        )
    rows = [_folder_row(folder, picture) for picture in pictures]
    return pd.DataFrame(rows)


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
    split = _SPLIT_FOLDERS.get(parts[0].lower(), "") if len(parts) > 2 else ""
    label = parts[1] if split else parts[0]
    if len(parts) < 2:
        raise SampleError(
            f"picture '{picture}' is not in a class folder; put it into '{folder}/<class>/'."
        )
    ident = relative.as_posix()
    return {
        "sample_id": ident, "label": label, "split": split, "path": str(picture),
    }  # fmt: skip
