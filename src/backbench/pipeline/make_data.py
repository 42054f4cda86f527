"""make-data: a data set of the shape of a packaged task, whose truth is known."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote

from backbench.errors import StorageError, TaskError, unknown
from backbench.features import hdf5
from backbench.files import atomic
from backbench.pipeline.console import bar, say
from backbench.samples.made_plants import DAYS, MadePlants, Wish
from backbench.samples.plants import CHANNELS
from backbench.tasks import Task, load_task

BACKBONES = ("dinov2", "clip", "bioclip", "bioclip2")
FEATURES = "features"
_SIDE = 48  # of a picture


def make_data(
    task: str,
    *,
    wish: Wish,
    backbones: Mapping[str, float],
    out: Path | None = None,
    pictures: bool = False,
) -> Path:
    """Write tables, features of each backbone, pictures if wanted, and the truth.

    Args:
        task: whose data; `faba` is known.
        wish: how many plants, and how strong the signal of each modality is.
        backbones: strength of the signal in the features of each backbone.
        out: a folder that is not there yet; by default the one the task looks for.
        pictures: also write JPEGs that carry the signal of the modality `image`.

    Raises:
        TaskError: data of that task cannot be made.
        StorageError: the folder is there already, or cannot be written.
    """
    if task != "faba":
        raise TaskError(unknown("task to make data for", task, ("faba",)))
    settings = load_task(task)
    folder = out or Path(settings.samples)
    if folder.exists():
        raise StorageError(f"'{folder}' is there already; remove it, or name another with --out.")
    made = MadePlants(wish)
    with atomic.replacing(folder) as temporary:
        temporary.mkdir()
        _write(made, temporary, backbones, pictures=pictures)
    _say_next(settings, made, folder, tuple(backbones), pictures=pictures)
    return folder


def _write(
    made: MadePlants, folder: Path, backbones: Mapping[str, float], *, pictures: bool
) -> None:
    made.table_of_plants().to_csv(folder / "plants.csv", index=False)
    made.table_of_rounds().to_csv(folder / "rounds.csv", index=False)
    shown = made.table_of_pictures()
    shown.to_csv(folder / "pictures.csv", index=False)
    for channel, stem in CHANNELS.items():
        made.table_of(channel).to_csv(folder / f"{stem}.csv", index=False)
    atomic.write_json(folder / "truth.json", _truth(made, backbones))
    ids = [f"{plant}/{step}/{view}" for plant, step, view in shown.itertuples(index=False)]
    with bar("make") as advance:
        for number, (name, strength) in enumerate(backbones.items()):
            rows = zip(ids, made.vectors(name, strength), strict=True)
            hdf5.write_nested(folder / FEATURES / f"{name}.h5", rows)
            advance(number + 1, len(backbones))
    if pictures:
        _draw(made, folder / "pictures", ids)


def _draw(made: MadePlants, folder: Path, ids: list[str]) -> None:
    from PIL import Image

    with bar("draw") as advance:
        for number, (ident, pixels) in enumerate(zip(ids, made.pixels(_SIDE), strict=True)):
            path = folder / f"{ident}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path, quality=90)
            advance(number + 1, len(ids))


def _truth(made: MadePlants, backbones: Mapping[str, float]) -> dict[str, object]:
    stressed = made.y & made.imaged
    names = made.table_of_plants()["accession"]
    return {
        "plants": made.wish.plants,
        "seed": made.wish.seed,
        "signals": dict(made.wish.signals),
        "backbones": dict(backbones),
        "onset_by_accession": dict(zip(names, made.onset.tolist(), strict=True)),
        "pictures": len(made.views),
        "imaged_steps": int(made.imaged.sum()),
        "imaged_steps_stressed": int(stressed.sum()),
        "imaged_steps_unstressed": int(made.imaged.sum() - stressed.sum()),
        "days": list(DAYS),
    }


def _say_next(
    task: Task, made: MadePlants, folder: Path, backbones: tuple[str, ...], *, pictures: bool
) -> None:
    """The commands that come next, with what differs from the packaged task spelled out."""
    say(f"made      {folder}: {made.wish.plants} plants, {len(made.views)} pictures; {_how(made)}")
    changes = [] if str(folder) == task.samples else [f"samples={folder}"]
    found = {
        "samples": made.wish.plants,
        "groups": made.wish.plants // 6,
        "pictures": len(made.views),
    }
    changes += [
        f"expect.{name}={count}"
        for name, count in found.items()
        if count != getattr(task.expect, name)
    ]
    options = f" --set {quote(';'.join(changes))}" if changes else ""
    if pictures:
        say("next      with the pictures, through any network:")
        wide = quote(";".join([*changes, "expect.width=1280"]))
        say(f"backbench run --task faba --backbones efficientnet_lite0 --set {wide}")
        return
    say("next      take the features over, then train, evaluate and rank:")
    for name in backbones:
        file = quote(str(folder / FEATURES / f"{name}.h5"))
        say(f"backbench features import {file} --layout nested --task faba --backbone {name}")
    say(f"backbench run --task faba --backbones {','.join(backbones)}{options}")


def _how(made: MadePlants) -> str:
    return ", ".join(f"{name} {strength:g}" for name, strength in made.wish.signals.items())


def strengths(words: Sequence[str], signal: float) -> dict[str, float]:
    """Strength by name from `name=number`s; a name alone has the strength `signal`.

    Raises:
        TaskError: not of that form, or a number that is not from 0 to 1.
    """
    return dict(_strength(word, signal) for word in words)


def _strength(word: str, signal: float) -> tuple[str, float]:
    name, equals, number = word.partition("=")
    try:
        strength = float(number) if equals else signal
    except ValueError:
        strength = math.nan
    if not name or not 0 <= strength <= 1:
        raise TaskError(f"'{word}' is no strength; give name=number with a number from 0 to 1.")
    return name, strength
