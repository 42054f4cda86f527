"""Tables beside each other in a folder, CSV or Parquet, checked column by column."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backbench.errors import SampleError

_SUFFIXES = (".csv", ".parquet")
_SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}


def find_table(folder: Path, stem: str) -> Path | None:
    """`stem.csv` or `stem.parquet` in a folder."""
    return next((p for s in _SUFFIXES if (p := folder / f"{stem}{s}").is_file()), None)


def read_text(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A table with every column as text, missing values as empty text; spaces around go.

    Raises:
        SampleError: not readable, or one of `columns` is missing.
    """
    table = as_text(_read(path))
    _check_columns(table, path, columns)
    return table


def read_numbers(path: Path, keys: Sequence[str]) -> pd.DataFrame:
    """A table with its keys as text and every other column as float64, NaN where empty.

    Raises:
        SampleError: not readable, a key is missing, there are no other columns, or one of them
            holds something that is no finite number.
    """
    table = _read(path, keys)
    _check_columns(table, path, keys)
    values = [name for name in table.columns if name not in keys]
    if not values:
        raise SampleError(f"table '{path}' has the columns {', '.join(keys)} only, and no values.")
    for name in values:
        numbers = pd.to_numeric(table[name], errors="coerce").to_numpy(np.float64)
        wrong = (np.isnan(numbers) & table[name].notna().to_numpy()) | np.isinf(numbers)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise SampleError(
                f"table '{path}', row {row + 1}: '{name}' is '{table[name].iloc[row]}'; "
                "give a finite number, or leave the cell empty where none is known."
            )
        table[name] = numbers
    return table.assign(**{name: column_text(table[name]) for name in keys})


def places(path: Path, column: "pd.Series[str]", names: Sequence[str]) -> NDArray[np.int64]:
    """Position of each value of a column in `names` `[n]`.

    Raises:
        SampleError: a value that is none of them.
    """
    known = {name: position for position, name in enumerate(names)}
    found = np.array([known.get(value, -1) for value in column], np.int64)
    strange = column[found < 0]
    if len(strange):
        raise SampleError(
            f"table '{path}' names {column.name} '{strange.iloc[0]}', which is not known "
            f"({len(strange)} such rows); mend it, or take these rows out."
        )
    return found


def as_text(table: pd.DataFrame) -> pd.DataFrame:
    """Every column as text, missing values as empty text, whole numbers without a point."""
    return pd.DataFrame({str(name): column_text(table[name]) for name in table.columns})


def column_text(column: "pd.Series[Any]") -> "pd.Series[str]":
    """A column as text."""
    if pd.api.types.is_float_dtype(column) and (column.dropna() % 1 == 0).all():
        column = column.astype("Int64")
    return column.astype(object).where(column.notna(), "").astype(str).str.strip()


def _read(path: Path, keys: Sequence[str] | None = None) -> pd.DataFrame:
    """A table: of a text file these columns as text, or all, then with empty text where empty."""
    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else _of_text(path, keys)
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise SampleError(
            f"table '{path}' is not UTF-8 (it has a byte {byte:#x}); save it as UTF-8, which "
            "spreadsheets call 'CSV UTF-8'."
        ) from error
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise SampleError(f"table '{path}' cannot be read: {reason}.") from error
    if not isinstance(table.index, pd.RangeIndex):  # pandas shifts all columns, in silence
        raise SampleError(
            f"table '{path}' has rows of more cells than its first line has names; remove what is "
            "too much, mostly a separator at the end of each row, or name that column."
        )
    return table.rename(columns=lambda name: str(name).strip())


def _of_text(path: Path, keys: Sequence[str] | None) -> pd.DataFrame:
    how: dict[str, Any] = {"sep": _SEPARATORS[path.suffix], "skipinitialspace": True}
    if keys is None:
        how |= {"dtype": str, "keep_default_na": False}
    else:
        names = pd.read_csv(path, nrows=0, **how).columns
        how |= {"dtype": {name: str for name in names if name.strip() in keys}}
    table: pd.DataFrame = pd.read_csv(path, **how)
    return table


def _check_columns(table: pd.DataFrame, path: Path, columns: Sequence[str]) -> None:
    missing = [name for name in columns if name not in table]
    if missing:
        names = ", ".join(map(str, table.columns)) or "none"
        other = ". Its cells seem to be separated by ';': save it with commas" * (";" in names)
        raise SampleError(
            f"table '{path}' has no column '{missing[0]}'; it needs {', '.join(columns)} and "
            f"has {names}{other}."
        )
