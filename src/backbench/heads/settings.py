"""The settings of every head, frozen and checked; light, so that a task is checked at once.

Where a field takes one value or a list, a list is a grid, and the value is chosen per unit on its
validation rows.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from backbench.errors import HeadError

Monitor = Literal["val_loss", "balanced_accuracy", "macro_f1", "accuracy"]
Grid = float | tuple[float, ...]
Precision = Literal["bf16", "fp32"]


@dataclass(frozen=True)
class LinearSettings:
    """Multinomial logistic regression by AdamW, as in the linear probes of the literature.

    Attributes:
        lr, weight_decay: of AdamW; lists are a grid.
        epochs: passes over the training rows at most.
        batch_size: rows a step, held-out rows included (these count nothing).
        warmup_epochs: linear rise of the learning rate; after it a cosine down to 0.
        patience: epochs without a better `monitor` before a unit stops; its best epoch is kept.
            0 trains all epochs and keeps the last.
        monitor: validation metric that early stopping and the grid look at.
        class_weights: `none`, `auto` (n / (classes present * n of the class), of the training
            rows), or one number a class.
        label_smoothing: share of the target spread evenly over all classes.
        precision: of what matrix products take in training; predictions are float64.
    """

    lr: Grid = 1e-3
    weight_decay: Grid = 1e-4
    epochs: int = 50
    batch_size: int = 64
    warmup_epochs: float = 2.0
    patience: int = 10
    monitor: Monitor = "val_loss"
    class_weights: Literal["none", "auto"] | tuple[float, ...] = "none"
    label_smoothing: float = 0.0
    precision: Precision = "fp32"

    def __post_init__(self) -> None:
        _check_descent(self)


@dataclass(frozen=True)
class MlpSettings:
    """One hidden layer of ReLUs with dropout, by AdamW; else the fields of `linear`, in float32."""

    hidden: int = 256
    dropout: float = 0.1
    lr: Grid = 1e-3
    weight_decay: Grid = 1e-4
    epochs: int = 50
    batch_size: int = 64
    warmup_epochs: float = 2.0
    patience: int = 10
    monitor: Monitor = "val_loss"
    class_weights: Literal["none", "auto"] | tuple[float, ...] = "none"
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        _check_descent(self)
        _within("hidden", self.hidden, 1, 65_536)
        _within("dropout", self.dropout, 0.0, 0.99)


@dataclass(frozen=True)
class LogregSettings:
    """Multinomial logistic regression with an L2 penalty, solved to tolerance.

    Attributes:
        C: inverse strength of the penalty, as in scikit-learn; a list is a grid.
        tol: how far the objective may be from the least, as a share of it (or of a hundredth of
            what knowing nothing costs, where that is more), as estimated; below 1e-6 everything
            is float64.
        max_iter: steps after which a fold that is nowhere near is an error.
        monitor: validation metric that chooses C.
        patience: along a grid, from the smallest C up, values in a row without a better `monitor`
            after which a fold looks no further; 0 looks at all. Where `monitor` is no loss, it
            counts from the first C that is better than the smallest.
    """

    C: Grid = 1.0
    tol: float = 1e-6
    max_iter: int = 2000
    monitor: Monitor = "val_loss"
    patience: int = 2

    def __post_init__(self) -> None:
        _positive("C", values(self.C))
        _within("tol", self.tol, 1e-14, 1e-2)
        _within("max_iter", self.max_iter, 1, 1_000_000)
        _within("patience", self.patience, 0, 1_000_000)


@dataclass(frozen=True)
class RidgeSettings:
    """Ridge regression onto +1/-1 targets, exact.

    Attributes:
        lambdas: penalties; a list is a grid. Exact to 1e-6 from 1e-10 times rows times columns up.
        scale: what centred columns are divided by: `one` number, the root mean square deviation
            over all columns, or each by its own (`columns`, a decomposition a fold); always of
            the training rows.
        monitor: validation metric that chooses the penalty.
    """

    lambdas: Grid = (0.1, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5)
    scale: Literal["one", "columns"] = "one"
    monitor: Monitor = "balanced_accuracy"

    def __post_init__(self) -> None:
        _positive("lambdas", values(self.lambdas))


@dataclass(frozen=True)
class KnnSettings:
    """Weighted vote of the k training rows with the highest cosine similarity.

    Attributes:
        k: neighbours; a list is a grid.
        temperature: a neighbour's vote is exp(cosine / temperature).
        smoothing: share of the probability spread evenly over all classes.
        monitor: validation metric that chooses k.
    """

    k: int | tuple[int, ...] = (5, 10, 20, 50)
    temperature: float = 0.07
    smoothing: float = 1e-3
    monitor: Monitor = "balanced_accuracy"

    def __post_init__(self) -> None:
        _positive("k", values(self.k))
        _within("temperature", self.temperature, 1e-3, 1e3)
        _within("smoothing", self.smoothing, 1e-9, 0.5)


@dataclass(frozen=True)
class StressSettings:
    """A small transformer over the steps of a series; `stress_network` says what it computes.

    Attributes:
        modalities: `image` and names of the series' channels, in the order of the gate.
        sparse: which of them all are not there at every step: a learned token stands for one that
            is missing, and a step without any of them is not attended to.
        fusion: how a step's modalities become one vector.
        temporal: what looks across steps.
        causal_mask: whether a step sees only itself and what was before it.
        width: of every vector inside.
        lr, weight_decay: of AdamW.
        epochs: passes over the training samples at most.
        batch_size: samples a step.
        patience: epochs without a lower validation loss before a unit stops; its best epoch is
            kept. 0 trains all epochs and keeps the last.
        warmup_epochs, warmup_start: epochs in which the learning rate rises in a line to `lr`,
            and the share of it where that begins.
        min_lr: where the cosine after the warm-up ends.
        clip: largest norm of a gradient.
        pos_weight: weight of class 1 in the loss; class 0 has 1.
        dropout: share of activations that a step of training leaves out.
        precision: of matrix products in training and validation; tests are fp32.
    """

    modalities: tuple[str, ...] = ("image", "fluor", "env", "vi")
    sparse: tuple[str, ...] = ("image", "fluor")
    fusion: Literal["gating", "concat"] = "gating"
    temporal: Literal["transformer", "mlp", "none"] = "transformer"
    causal_mask: bool = False
    width: int = 128
    lr: float = 1e-4
    weight_decay: float = 0.01
    epochs: int = 100
    batch_size: int = 16
    patience: int = 20
    warmup_epochs: int = 5
    warmup_start: float = 0.01
    min_lr: float = 1e-6
    clip: float = 1.0
    pos_weight: float = 1.5
    dropout: float = 0.1
    precision: Precision = "bf16"

    def __post_init__(self) -> None:
        _check_modalities("modalities", self.modalities)
        _check_modalities("sparse", self.sparse)
        _check_width(self.width)
        for name in ("lr", "clip", "pos_weight"):
            _positive(name, (getattr(self, name),))
        _positive("weight_decay", (self.weight_decay,), zero=True)
        _within("epochs", self.epochs, 1, 1_000_000)
        _within("batch_size", self.batch_size, 1, 1_000_000)
        _within("patience", self.patience, 0, 1_000_000)
        _within("warmup_epochs", self.warmup_epochs, 0, self.epochs)
        _within("warmup_start", self.warmup_start, 0.0, 1.0)
        _within("min_lr", self.min_lr, 0.0, self.lr)
        _within("dropout", self.dropout, 0.0, 0.99)


Settings = (
    LinearSettings | LogregSettings | RidgeSettings | KnnSettings | MlpSettings | StressSettings
)


def values(grid: float | Iterable[float]) -> tuple[float, ...]:
    """The points of a grid, or the one value."""
    return tuple(grid) if isinstance(grid, Iterable) else (grid,)


def _check_descent(settings: LinearSettings | MlpSettings) -> None:
    _positive("lr", values(settings.lr))
    _positive("weight_decay", values(settings.weight_decay), zero=True)
    _within("epochs", settings.epochs, 1, 1_000_000)
    _within("batch_size", settings.batch_size, 1, 1_000_000)
    _within("warmup_epochs", settings.warmup_epochs, 0, settings.epochs)
    _within("patience", settings.patience, 0, 1_000_000)
    _within("label_smoothing", settings.label_smoothing, 0.0, 0.9)
    if isinstance(settings.class_weights, tuple):
        _positive("class_weights", settings.class_weights, zero=True)


def _positive(name: str, given: tuple[float, ...], *, zero: bool = False) -> None:
    wrong = [v for v in given if not (0 < v < float("inf") or (zero and v == 0))]
    if wrong or not given:
        asked = repr(wrong[0]) if wrong else "an empty list"
        floor = "0 or more" if zero else "greater than 0"
        raise HeadError(f"'head.{name}' is {asked}, but has to be {floor}.")


def _within(name: str, given: float, low: float, high: float) -> None:
    if not low <= given <= high:
        raise HeadError(f"'head.{name}' is {given!r}, but has to be from {low} to {high}.")


def _check_modalities(field: str, names: tuple[str, ...]) -> None:
    if not names or len(set(names)) < len(names):
        raise HeadError(
            f"'head.{field}' is {list(names)!r}, but has to name one or more, each once."
        )


def _check_width(width: int) -> None:
    _within("width", width, 8, 65_536)
    if width % 4:
        raise HeadError(f"'head.width' is {width}, but has to be a multiple of 4, for 4 heads.")
