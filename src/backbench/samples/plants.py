"""Plants that are watched over rounds: a folder of tables, and pictures of every side.

::

    plants.csv         plant_id, watering, onset, the group column, any others (maturity, ...)
    rounds.csv         round, dag                       dag: days after germination
    fluorescence.csv   plant_id, round, one column a value
    environment.csv    the same
    vegetation.csv     the same
    pictures.csv       plant_id, round, view[, path]    or the folder pictures/ alone:
    pictures/<plant_id>/<round>/<view>.jpg

Each table may be Parquet instead. A row that is not there was not measured, an empty cell is a
missing value. A plant is stressed from the day `onset` on if it is watered to WHC-30; the onset of
another plant does not count.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from backbench.errors import SampleError
from backbench.samples.manifest import beside
from backbench.samples.samples import Samples, check_filled
from backbench.samples.series import ABSENT, Channel, Series
from backbench.samples.source import FileSource, NoFiles, pictures_below
from backbench.samples.tables import find_table, places, read_numbers, read_text

STRESSED = "WHC-30"
CLASSES = ("unstressed", "stressed")
CHANNELS: Mapping[str, str] = {
    "fluor": "fluorescence",
    "env": "environment",
    "vi": "vegetation",
}
"""Channel of the series -> its table."""
_KEYS = ("plant_id", "round")
_DEPTH = 3  # of a picture below pictures/
_REQUIRED = ("plant_id", "watering", "onset")


def is_plants(folder: Path) -> bool:
    """Whether a folder holds plants over rounds."""
    return folder.is_dir() and find_table(folder, "plants") is not None


def read_plants(folder: Path, *, name: str, group: str) -> Samples:
    """One sample a plant, with its series.

    Args:
        folder: as above.
        name: of the sample set.
        group: the column of `plants` that names the unit of evidence.

    Raises:
        SampleError: a table or column is missing, or a value in it is wrong; names the table.
    """
    plants, rounds = _plants(folder, group), _rounds(folder)
    ids, steps = plants["sample_id"].tolist(), tuple(rounds["round"])
    day, onset = rounds["dag"].to_numpy(np.float64), plants["onset"].to_numpy(np.float64)
    y = (day >= onset[:, None]).astype(np.int64)
    channels = {name: _channel(folder, stem, ids, steps) for name, stem in CHANNELS.items()}
    shown = _shown(folder, ids, steps)
    views = tuple(sorted(shown["view"].unique()))
    picture = np.full((len(ids), len(steps), len(views)), ABSENT, np.int64)
    picture[shown["plant"], shown["step"], places(folder, shown["view"], views)] = shown.index
    seen = (picture != ABSENT).any(axis=2)
    series = Series(
        steps=steps,
        day=day,
        y=y,
        scored=seen | channels["fluor"].observed,
        onset=onset,
        channels=channels,
        views=views,
        pictures=_pictures(name, shown, plants),
        picture=picture,
        classes=CLASSES,
    )
    return Samples(name, plants.drop(columns="onset"), NoFiles(), series)


def _plants(folder: Path, group: str) -> pd.DataFrame:
    """Plants as samples; `onset` in days, NaN where there is none."""
    path = _table(folder, "plants")
    table = read_text(path, (*_REQUIRED, group))
    if not (table["watering"] == STRESSED).any():
        raise SampleError(
            f"table '{path}' has no plant with watering '{STRESSED}', only "
            f"{', '.join(sorted(set(table['watering'])))}; without stress there is nothing to find."
        )
    days = read_numbers(path, [name for name in table.columns if name != "onset"])["onset"]
    check_filled(table.assign(sample_id=table["plant_id"]), group, "fill that column")
    return table.assign(
        sample_id=table["plant_id"],
        label=table["watering"],
        group=table[group],
        split="",
        path="",
        onset=days.where(table["watering"] == STRESSED),
    )


def _rounds(folder: Path) -> pd.DataFrame:
    """Rounds in the order of their days, and of the table where two share a day."""
    path = _table(folder, "rounds")
    table = read_numbers(path, ("round",))
    _unique(path, table["round"])
    if "dag" not in table or table["dag"].isna().any():
        raise SampleError(f"table '{path}' needs a column 'dag' with the day of every round.")
    return table.sort_values("dag", kind="stable", ignore_index=True)


def _channel(folder: Path, stem: str, ids: list[str], steps: tuple[str, ...]) -> Channel:
    path = _table(folder, stem)
    table = read_numbers(path, _KEYS)
    _unique(path, table["plant_id"] + "/" + table["round"])
    at = (places(path, table["plant_id"], ids), places(path, table["round"], steps))
    given = table.drop(columns=list(_KEYS)).to_numpy(np.float32)
    values = np.full((len(ids), len(steps), given.shape[1]), np.nan, np.float32)
    values[at] = given
    return Channel(values, np.asarray((~np.isnan(values)).any(axis=2)))


def _shown(folder: Path, ids: list[str], steps: tuple[str, ...]) -> pd.DataFrame:
    """One row a picture: `plant` and `step` as positions, `view`, `path`; sorted by them."""
    listed = find_table(folder, "pictures")
    path = listed or folder / "pictures"
    table = _listed(listed) if listed else _found(path)
    table["plant"] = places(path, table["plant_id"], ids)
    table["step"] = places(path, table["round"], steps)
    table = table.sort_values(["plant", "step", "view"], ignore_index=True)
    _unique(path, table["plant_id"] + "/" + table["round"] + "/" + table["view"])
    return table


def _listed(path: Path) -> pd.DataFrame:
    """The pictures of a table; paths by the pattern where it has none and the folder is there."""
    table = read_text(path, (*_KEYS, "view"))
    if "path" not in table:
        pattern = "pictures/" + table["plant_id"] + "/" + table["round"] + "/" + table["view"]
        table["path"] = pattern + ".jpg" if (path.parent / "pictures").is_dir() else ""
    return table.assign(path=[beside(str(path), given) for given in table["path"]])


def _found(folder: Path) -> pd.DataFrame:
    """The pictures of a folder."""
    files = [p for p in pictures_below(folder) if len(p.relative_to(folder).parts) == _DEPTH]
    if not files:
        raise SampleError(
            f"'{folder.parent}' has neither 'pictures.csv' (plant_id, round, view) nor "
            "'pictures/<plant_id>/<round>/<view>.jpg'; one of them has to say which there are."
        )
    rows = [(*p.relative_to(folder).parts[:2], p.stem, str(p)) for p in files]
    return pd.DataFrame(rows, columns=[*_KEYS, "view", "path"])


def _pictures(name: str, shown: pd.DataFrame, plants: pd.DataFrame) -> Samples:
    """The pictures as samples, with what is known of their plants."""
    about = plants.drop(columns="onset").iloc[shown["plant"]].reset_index(drop=True)
    ids = shown["plant_id"] + "/" + shown["round"] + "/" + shown["view"]
    frame = about.assign(sample_id=ids, path=shown["path"])
    paths = tuple(shown["path"])
    return Samples(name, frame, FileSource(paths) if any(paths) else NoFiles())


def _table(folder: Path, stem: str) -> Path:
    path = find_table(folder, stem)
    if path is None:
        raise SampleError(
            f"'{folder}' has no '{stem}.csv' or '{stem}.parquet'; a folder of plants needs "
            f"plants, rounds, {', '.join(CHANNELS.values())}."
        )
    return path


def _unique(path: Path, keys: "pd.Series[str]") -> None:
    repeated = keys[keys.duplicated()]
    if len(repeated):
        raise SampleError(
            f"'{path}' has '{repeated.iloc[0]}' more than once ({len(repeated)} repeated rows); "
            "give each once."
        )
