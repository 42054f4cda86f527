"""Boards whose truth is known: equally good backbones with correlated errors.

Each case is a recipe of random effects shaped like a real task, so the population value of every
metric can be computed to any precision. The backbones of a board differ by chance only, unless the
first is given an `advantage`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backbench.metrics import Predictions

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.int64]
Generator = np.random.Generator


@dataclass(frozen=True)
class Size:
    """How large a board is: groups, folds, backbones, seeds, and what the first backbone has on."""

    groups: int
    folds: int
    backbones: int = 4
    seeds: int = 3
    advantage: float = 0.0


Simulate = Callable[[Generator, Size], list[Predictions]]


@dataclass(frozen=True)
class Case:
    """A kind of task.

    Attributes:
        description: what it is shaped like.
        simulate: makes a board.
        groups, folds: of a board; one fold is a single split.
        metrics: those whose intervals are checked.
        primary: the one that rows are compared by.
        advantage: given to the first backbone where the chance to find a better one is measured.
        seeds: of training.
        trained: heads are trained on simulated features; else their scores are simulated.
        test_to_train: n_test / n_train of a single split, where the case has one.
        boards: simulated in the full study.
    """

    description: str
    simulate: Simulate
    groups: int
    folds: int
    metrics: tuple[str, ...]
    primary: str
    advantage: float = 0.0
    seeds: int = 3
    trained: bool = False
    test_to_train: float | None = None
    boards: int = 2_000

    def board(self, random: Generator, *, advantage: float = 0.0) -> list[Predictions]:
        """The rows of one board."""
        size = Size(self.groups, self.folds, seeds=self.seeds, advantage=advantage)
        return self.simulate(random, size)


def plants(random: Generator, size: Size) -> list[Predictions]:
    """Accessions of 6 plants with 11 scored steps each; positive from the accession's onset on.

    Errors gather around the onset and run through a whole plant or accession. Each accession is a
    fold, whose training comes out differently with each seed.
    """
    G, K, S = size.groups, size.backbones, size.seeds
    shape = (G, 6, 11)
    day = np.sort(random.uniform(4, 38, shape), axis=2)
    onset = random.normal(26.2, 4.5, (G, 1, 1)).clip(12, 42)
    dry = (np.arange(6) < 3)[None, :, None]
    y = ((day >= onset) & dry).astype(np.int64)
    signal = 1.9 * np.tanh((day - onset) / 5) * dry - 2.6 * ~dry - 0.4
    shared = _effect(random, 0.7, G, 1, 1) + _effect(random, 0.7, G, 6, 1)
    own = (
        _effect(random, 0.5, K, 1, G, 1, 1)
        + _effect(random, 0.5, K, 1, G, 6, 1)
        + _effect(random, 0.6, K, 1, *shape)
        + _effect(random, 0.3, K, S, G, 1, 1)
        + _effect(random, 0.5, K, S, *shape)
    )
    own[0] += size.advantage * (2 * y - 1)
    score = (signal + shared + _effect(random, 0.6, *shape) + own).reshape(K, S, -1)
    group = np.repeat(np.arange(G), 66)
    return rows(group, group, y.ravel(), np.stack([np.zeros_like(score), score], axis=-1))


def patients(random: Generator, size: Size) -> list[Predictions]:
    """One scan a patient; 4 classes in a row that overlap with their neighbours."""
    y = random.choice(4, size.groups, p=np.array([40, 40, 41, 38]) / 159)
    signal = -0.55 * np.abs(np.arange(4) - y[:, None])
    return _pictures(random, size, y, np.arange(size.groups), signal)


def images(random: Generator, size: Size) -> list[Predictions]:
    """5 instances an image out of 9 classes; the instances of an image resemble each other."""
    priors = np.array([52, 78, 76, 153, 366, 257, 97, 148, 238]) / 1465
    mixed = random.dirichlet(priors * 6, size.groups)
    drawn = random.random((size.groups, 5, 1))
    y = (np.cumsum(mixed, axis=1)[:, None, :-1] < drawn).sum(axis=2).ravel()
    signal = 2.4 * np.eye(9)[y] + 0.25 * np.log(priors)
    return _pictures(random, size, y, np.repeat(np.arange(size.groups), 5), signal)


def digits(random: Generator, size: Size) -> list[Predictions]:
    """10 balanced classes, nearly all right, every sample its own group."""
    y = random.integers(0, 10, size.groups)
    return _pictures(random, size, y, np.arange(size.groups), 4.0 * np.eye(10)[y])


def rare(random: Generator, size: Size) -> list[Predictions]:
    """10 samples a group; every ninth group holds the second class, six times."""
    group = np.repeat(np.arange(size.groups), 10)
    y = ((group % 9 == 0) & np.tile(np.arange(10) < 6, size.groups)).astype(np.int64)
    return _pictures(random, size, y, group, 1.5 * np.eye(2)[y])


def unequal(random: Generator, size: Size) -> list[Predictions]:
    """Groups of very different sizes, two classes."""
    sizes = np.ceil(np.exp(2 + 1.2 * random.standard_normal(size.groups))).astype(np.int64)
    group = np.repeat(np.arange(size.groups), sizes)
    y = random.integers(0, 2, len(group))
    return _pictures(random, size, y, group, 1.5 * np.eye(2)[y])


def ridge(dimensions: int) -> Simulate:
    """Ridge heads trained for real, leave one group out, on features of `dimensions` numbers.

    All backbones see the same plants, each with noise of its own, so they are equally good; but
    their heads come from one small training set, whose luck all folds share.
    """

    def simulate(random: Generator, size: Size) -> list[Predictions]:
        group, y, seen = _seen(random, size)
        views = _views(random, size, seen, y, dimensions)
        logits = np.stack([_two_sided(_leave_one_group_out(view, y)) for view in views])
        return rows(group, group, y, logits[:, None])

    return simulate


def ridge_split(dimensions: int, train: int) -> Simulate:
    """The same with one split: `train` groups to train on, the others tested."""

    def simulate(random: Generator, size: Size) -> list[Predictions]:
        everything = Size(size.groups + train, 1, size.backbones)
        group, y, seen = _seen(random, everything)
        tested = group >= train
        made = []
        for X in _views(random, everything, seen, y, dimensions):
            weights = np.linalg.solve(*_normal_equations(X[~tested], y[~tested]))
            made.append(_two_sided(X[tested] @ weights))
        fold = np.zeros(tested.sum(), np.int64)
        return rows(group[tested], fold, y[tested], np.stack(made)[:, None])

    return simulate


def rows(group: Integers, fold: Integers, y: Integers, logits: Floats) -> list[Predictions]:
    """One `Predictions` a backbone from logits `[K, S, N, C]`."""
    p = np.exp(logits - logits.max(axis=3, keepdims=True))
    p /= p.sum(axis=3, keepdims=True)
    names = tuple(str(code) for code in range(p.shape[3]))
    ids = np.char.zfill(np.arange(len(y)).astype(str), 7)
    groups = group.astype(str)
    return [Predictions(ids, groups, fold, y, one, tuple(range(len(one))), names) for one in p]


def _pictures(
    random: Generator, size: Size, y: Integers, group: Integers, signal: Floats
) -> list[Predictions]:
    """Class scores: signal, a group's and a sample's look, each backbone's view of both, noise.

    A backbone trained with one seed on one fold leans towards some classes on all that it tests.
    """
    (samples, classes), K, S = signal.shape, size.backbones, size.seeds
    fold = (random.permutation(size.groups) % size.folds)[group]
    shared = signal + _effect(random, 0.5, size.groups, classes)[group]
    own = (
        _effect(random, 0.4, K, 1, size.groups, classes)[:, :, group]
        + _effect(random, 0.6, K, 1, samples, classes)
        + _effect(random, 0.1, K, S, size.folds, classes)[:, :, fold]
        + _effect(random, 0.3, K, S, samples, classes)
    )
    own[0] += size.advantage * np.eye(classes)[y]
    return rows(group, fold, y, shared + _effect(random, 0.6, samples, classes) + own)


def _effect(random: Generator, spread: float, *shape: int) -> NDArray[np.float32]:
    return np.float32(spread) * random.standard_normal(shape, np.float32)


def _seen(random: Generator, size: Size) -> tuple[Integers, Integers, Floats]:
    """6 plants a group, half of them positive, in a space of 16 that every backbone sees."""
    group = np.repeat(np.arange(size.groups), 6)
    y = np.tile(np.arange(6) % 2, size.groups)
    own = random.standard_normal((len(y), 16))
    seen = own + 0.7 * random.standard_normal((size.groups, 16))[group]
    seen[:, :4] += 0.35 * (2 * y - 1)[:, None]
    return group, y, seen


def _views(
    random: Generator, size: Size, seen: Floats, y: Integers, dimensions: int
) -> list[Floats]:
    views: list[Floats] = []
    for number in range(size.backbones):
        view = np.ones((len(seen), dimensions + 1))
        view[:, :-1] = 0.8 * random.standard_normal((len(seen), dimensions))
        view[:, :-1] += 0.5 * np.repeat(random.standard_normal((size.groups, dimensions)), 6, 0)
        view[:, :16] += seen
        if number == 0:
            view[:, :4] += size.advantage * (2 * y - 1)[:, None]
        views.append(view)
    return views


def _normal_equations(X: Floats, y: Integers) -> tuple[Floats, Floats]:
    return X.T @ X + 10 * np.eye(X.shape[1]), X.T @ (2.0 * y - 1)


def _leave_one_group_out(X: Floats, y: Integers) -> Floats:
    """Scores of each group by ridge on all others, from the block identity of the hat matrix."""
    gram, _ = _normal_equations(X, y)
    hat = X @ np.linalg.solve(gram, X.T)
    target = 2.0 * y - 1
    residual = (target - hat @ target).reshape(-1, 6)
    starts = np.arange(0, len(y), 6)
    blocks = np.stack([hat[at : at + 6, at : at + 6] for at in starts])
    left_out = np.linalg.solve(np.eye(6) - blocks, residual[..., None])
    return target - left_out.ravel()


def _two_sided(score: Floats) -> Floats:
    return np.stack([np.zeros_like(score), 3 * score], axis=-1)


_PICTURES = ("accuracy", "balanced_accuracy", "macro_f1")
_PLANTS = ("accuracy", "balanced_accuracy", "f1", "f1_fold_mean")

CASES: Mapping[str, Case] = {
    "plants_44_groups": Case(
        "44 accessions x 66 scored steps, imbalance 4.6 : 1, leave one group out, 3 seeds",
        plants, 44, 44, _PLANTS, "f1", advantage=0.35,
    ),
    "patients_one_split": Case(
        "743 training and 159 test patients, 4 classes, one split, 3 seeds",
        patients, 159, 1, _PICTURES, "balanced_accuracy", advantage=0.4, test_to_train=159 / 743,
    ),
    "images_5_instances": Case(
        "290 images x 5 instances, 9 classes, imbalance 7, 10 folds by image, 3 seeds",
        images, 290, 10, _PICTURES, "balanced_accuracy", advantage=0.25,
    ),
}  # fmt: skip
"""The tasks of the bar."""

_PROBABILITIES = ("auroc_ovr", "log_loss", "ece")
_TRAINED = ("accuracy", "balanced_accuracy", "f1")

LIMITS: Mapping[str, Case] = {
    "plants_20_groups": Case(
        "plants, 20 groups", plants, 20, 20, _PLANTS, "f1", advantage=0.35, boards=500
    ),
    "plants_10_groups": Case(
        "plants, 10 groups", plants, 10, 10, _PLANTS, "f1", advantage=0.35, boards=500
    ),
    "patients_40": Case(
        "patients, 40 of them",
        patients, 40, 1, _PICTURES, "balanced_accuracy", advantage=0.4, boards=500,
    ),
    "digits_1797": Case(
        "1,797 samples, each its own group, 10 classes, 10 folds",
        digits, 1797, 10, _PICTURES, "accuracy", advantage=0.15, boards=500,
    ),
    "class_in_5_of_44_groups": Case(
        "10 samples a group, 44 groups of which 5 hold the second class, one split",
        rare, 44, 1, ("accuracy", "balanced_accuracy", "f1"), "balanced_accuracy", advantage=0.6,
        boards=500,
    ),
    "groups_of_unequal_size": Case(
        "20 groups of lognormal size (a few hold most samples), one split",
        unequal, 20, 1, ("accuracy", "balanced_accuracy"), "accuracy", advantage=0.6, boards=500,
    ),
    "patients_probabilities": Case(
        "patients_one_split, metrics of probabilities",
        patients, 159, 1, _PROBABILITIES, "auroc_ovr", advantage=0.4, boards=500,
    ),
    "plants_probabilities": Case(
        "plants_44_groups, metrics of probabilities",
        plants, 44, 44, (*_PROBABILITIES, "auroc_ovr_fold_mean"), "auroc_ovr", advantage=0.35,
        boards=250,
    ),
    "trained_16_dimensions": Case(
        "ridge trained on 44 groups x 6 plants, 16 features, leave one group out",
        ridge(16), 44, 44, _TRAINED, "accuracy", advantage=0.2, seeds=1, trained=True,
    ),
    "trained_64_dimensions": Case(
        "ridge trained on 44 groups x 6 plants, 64 features, leave one group out",
        ridge(64), 44, 44, _TRAINED, "accuracy", advantage=0.2, seeds=1, trained=True,
    ),
    "trained_one_split": Case(
        "ridge trained on 124 groups x 6, tested on 27 x 6, 64 features, one split",
        ridge_split(64, 124), 27, 1, _TRAINED, "accuracy", advantage=0.2, seeds=1, trained=True,
    ),
    "trained_one_split_corrected": Case(
        "the same, told that n_test / n_train is 27 / 124",
        ridge_split(64, 124), 27, 1, _TRAINED, "accuracy", advantage=0.2, seeds=1, trained=True,
        test_to_train=27 / 124,
    ),
}  # fmt: skip
"""Where the bar is harder to reach, and what happens there."""
