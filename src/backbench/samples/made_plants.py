"""Plants that never grew: a data set of the shape of the real one, whose truth is known.

What is seen of a plant at a round is a few hidden numbers plus stress along the first of them,
times the strength of the signal. Hidden numbers carry what is not stress: growth, accession, plant
and chance. Every modality mixes them into its own columns, each with a scale and an offset of its
own, as measured things have.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backbench.errors import SampleError
from backbench.samples.plants import STRESSED

Floats = NDArray[np.float64]
WIDTHS: Mapping[str, int] = {"image": 768, "fluor": 94, "env": 5, "vi": 11}
"""Modality -> values a step."""
VIEWS = ("side_000", "side_120", "side_240", "top")
ROUNDS = tuple(range(2, 24))
DAYS = (*(round(4 + 34 * step / 20) for step in range(21)), 38)
MATURITY = ("Early", "Mid", "Late")
_EACH = 6  # plants of an accession: 2 waterings x 3 replicates
_FEWEST = 6  # accessions, so that every maturity has one to test and one to validate on
_IMAGED = 2907 / 264  # rounds a plant
_MEASURED = 5  # rounds of fluorescence a plant
_LOST_VIEWS = 2  # of one plant at one round
_HIDDEN = 8
_SHIFT = 4.0  # of full stress at strength 1, where chance has a standard deviation of 1
_MISSING = 0.03  # of the values
_SOIL = np.array([90.0, 70.0, 50.0])
_UNSEEN = 0.02  # of the rows of vegetation indices


@dataclass(frozen=True)
class Wish:
    """What data to make.

    Attributes:
        plants: how many, whole accessions of 6.
        signals: strength of the signal, 0 to 1, by modality.
        seed: of everything that is drawn.

    Raises:
        SampleError: a number of plants that makes no accessions, or an unknown modality.
    """

    plants: int
    signals: Mapping[str, float]
    seed: int

    def __post_init__(self) -> None:
        """Check at the door."""
        if self.plants % _EACH or self.plants < _EACH * _FEWEST:
            raise SampleError(
                f"{self.plants} plants make no whole accessions; give a multiple of {_EACH}, "
                f"{_EACH * _FEWEST} or more (an accession has 2 waterings x 3 replicates)."
            )
        unknown = sorted(set(self.signals) - set(WIDTHS))
        if unknown:
            raise SampleError(
                f"unknown modality '{unknown[0]}'; signals are of {', '.join(WIDTHS)}."
            )


class MadePlants:
    """The plants of a wish, N of them at T rounds; the same wish makes the same plants."""

    def __init__(self, wish: Wish) -> None:
        self.wish = wish
        random = self._random("plants")
        self.accession = np.repeat(np.arange(wish.plants // _EACH), _EACH)
        late = np.array([-2.0, 0.0, 2.0])[self._accessions % len(MATURITY)]
        onset = np.rint(27.5 + late + random.normal(0, 2, len(self._accessions)))
        self.onset = onset[self.accession]
        self.is_dry = np.tile(np.repeat([False, True], _EACH // 2), len(self._accessions))
        self.imaged = self._rounds_of_each(random, round(_IMAGED * wish.plants))
        self.measured = self._rounds_of_each(random, _MEASURED * wish.plants)

    @property
    def _accessions(self) -> NDArray[np.int64]:
        return np.unique(self.accession)

    def _random(self, *purpose: str) -> np.random.Generator:
        """A generator a purpose, so that one more backbone changes nothing else."""
        words = [int.from_bytes(word.encode(), "little") for word in purpose]
        return np.random.default_rng([self.wish.seed, *words])

    def _rounds_of_each(self, random: np.random.Generator, total: int) -> NDArray[np.bool_]:
        """Random rounds of each plant, bool `[N, T]`, `total` in all."""
        count = total // self.wish.plants + (np.arange(self.wish.plants) < total % self.wish.plants)
        order = random.random((self.wish.plants, len(ROUNDS))).argsort(axis=1).argsort(axis=1)
        chosen: NDArray[np.bool_] = order < count[:, None]
        return chosen

    @cached_property
    def y(self) -> NDArray[np.bool_]:
        """Whether a plant is stressed at a round, bool `[N, T]`."""
        stressed: NDArray[np.bool_] = self.is_dry[:, None] & (np.array(DAYS) >= self.onset[:, None])
        return stressed

    @cached_property
    def stress(self) -> Floats:
        """How much stress shows, 0 to 1: a quarter on the day of onset, all six days later."""
        ramp: Floats = np.clip((np.array(DAYS) - self.onset[:, None] + 2) / 8, 0, 1)
        return ramp * self.y.astype(np.float64)

    @cached_property
    def views(self) -> NDArray[np.int64]:
        """Plant, round and view of each picture as positions `[P, 3]`; one round lacks two."""
        taken = np.repeat(self.imaged[:, :, None], len(VIEWS), axis=2)
        plant = self.wish.plants // 2
        taken[plant, np.flatnonzero(self.imaged[plant])[0], :_LOST_VIEWS] = False
        return np.argwhere(taken)

    def hidden(self, modality: str) -> Floats:
        """The hidden numbers but for stress `[N, T, 8]`."""
        random = self._random("hidden", modality)
        plants, rounds = self.wish.plants, len(ROUNDS)
        growth = np.linspace(-1, 1, rounds)[:, None] * random.normal(size=_HIDDEN)
        accession = random.normal(0, 0.5, (len(self._accessions), 1, _HIDDEN))[self.accession]
        plant = random.normal(0, 0.5, (plants, 1, _HIDDEN))
        chance = random.normal(size=(plants, rounds, _HIDDEN))
        hidden: Floats = growth + accession + plant + chance
        return hidden

    @cached_property
    def _seen(self) -> tuple[Floats, Floats]:
        """Hidden numbers of each picture `[P, 8]` and the stress in it `[P]`."""
        plant, step, _ = self.views.T
        hidden = self.hidden("image")[plant, step]
        noise = self._random("views").normal(0, 0.5, hidden.shape)
        return hidden + noise, self.stress[plant, step]

    def vectors(self, backbone: str, strength: float) -> NDArray[np.float32]:
        """What a backbone makes of the pictures, float32 `[P, 768]`.

        Backbones share the pictures, so they err alike; each mixes them in its own way.
        """
        random = self._random("backbone", backbone)
        hidden, stress = self._seen
        mixing = random.normal(size=(_HIDDEN, WIDTHS["image"]))
        size = np.exp(random.normal(0, 0.7))
        mixed = _stressed(hidden, stress, strength) @ mixing
        vectors: Floats = size * (mixed + random.normal(size=mixed.shape))
        return vectors.astype(np.float32)

    def pixels(self, size: int) -> Iterator[NDArray[np.uint8]]:
        """Each picture in turn: a leaf that turns from green to yellow, uint8 `[size, size, 3]`."""
        random = self._random("pixels")
        seen = _stressed(*self._seen, self.wish.signals["image"])
        grid = np.linspace(-1, 1, size)
        for yellow, wide in 1 / (1 + np.exp(-seen[:, :2])):
            leaf = grid[:, None] ** 2 + (grid / (0.5 + 0.4 * wide)) ** 2 < 0.8
            colour = np.array([60 + 150 * yellow, 150, 60 - 20 * yellow])
            plain = np.where(leaf[..., None], colour, _SOIL)
            noisy = plain + random.normal(0, 12, (size, size, 1))
            yield np.clip(noisy, 0, 255).astype(np.uint8)

    def table_of_plants(self) -> pd.DataFrame:
        """`plants.csv`; the onset is that of the accession, as experts give it."""
        replicate = np.arange(self.wish.plants) % (_EACH // 2) + 1
        watering = np.where(self.is_dry, STRESSED, "WHC-80")
        return pd.DataFrame(
            {
                "plant_id": self.plant_ids,
                "accession": [f"A{a + 1:02d}" for a in self.accession],
                "maturity": np.array(MATURITY)[self.accession % len(MATURITY)],
                "watering": watering,
                "replicate": replicate,
                "onset": self.onset.astype(int),
            }
        )

    @cached_property
    def plant_ids(self) -> NDArray[np.object_]:
        """`A01-80-1`: accession, watering, replicate `[N]`."""
        water = np.where(self.is_dry, "30", "80")
        replicate = np.arange(self.wish.plants) % (_EACH // 2) + 1
        parts = zip(self.accession, water, replicate, strict=True)
        return np.array([f"A{a + 1:02d}-{w}-{r}" for a, w, r in parts], dtype=object)

    def table_of_rounds(self) -> pd.DataFrame:
        """`rounds.csv`."""
        return pd.DataFrame({"round": ROUNDS, "dag": DAYS})

    def table_of_pictures(self) -> pd.DataFrame:
        """`pictures.csv`."""
        plant, step, view = self.views.T
        rounds, views = np.array(ROUNDS), np.array(VIEWS)
        return pd.DataFrame(
            {"plant_id": self.plant_ids[plant], "round": rounds[step], "view": views[view]}
        )

    def table_of(self, channel: str) -> pd.DataFrame:
        """The measurements of a channel, with gaps."""
        random = self._random("channel", channel)
        plants, rounds = self.wish.plants, len(ROUNDS)
        rows = {
            "fluor": self.measured,
            "env": np.ones((plants, rounds), bool),
            "vi": random.random((plants, rounds)) >= _UNSEEN,
        }[channel]
        seen = _stressed(self.hidden(channel), self.stress, self.wish.signals[channel])[rows]
        width = WIDTHS[channel]
        mixed = seen @ random.normal(size=(_HIDDEN, width)) / np.sqrt(_HIDDEN)
        values = mixed + random.normal(0, 0.3, mixed.shape)
        values = values * np.exp(random.normal(0, 1, width)) + random.normal(0, 5, width)
        values[random.random(values.shape) < _MISSING] = np.nan
        plant, step = np.nonzero(rows)
        keys = pd.DataFrame({"plant_id": self.plant_ids[plant], "round": np.array(ROUNDS)[step]})
        names = [f"{channel}_{column:02d}" for column in range(1, width + 1)]
        return keys.join(pd.DataFrame(values.round(4), columns=names))


def _stressed(hidden: Floats, stress: Floats, strength: float) -> Floats:
    seen = hidden.copy()
    seen[..., 0] += _SHIFT * strength * stress
    return seen
