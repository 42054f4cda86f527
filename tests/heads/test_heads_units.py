"""A unit alone gives the same numbers as among all others, for every head."""

import numpy as np
import pytest

from backbench.errors import HeadError, TaskError
from backbench.folds import Fold, plan_folds
from backbench.heads import HEADS, Problem, Unit, predict, settings_of, train
from backbench.tasks import FoldSettings

QUICK = {
    "linear": {"kind": "linear", "epochs": 12, "batch_size": 32, "patience": 4, "lr": 0.05},
    "mlp": {"kind": "mlp", "epochs": 8, "batch_size": 32, "patience": 4, "lr": 0.02, "hidden": 16},
    "logreg": {"kind": "logreg", "C": [0.1, 1.0], "tol": 1e-8},
    "ridge": {"kind": "ridge"},
    "knn": {"kind": "knn", "k": [3, 9]},
}
N, D, C = 150, 12, 3


def problem(seed: int = 0, dtype: str = "float32") -> tuple[Problem, tuple[Fold, ...]]:
    """Overlapping classes, unscaled columns, one of them constant."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, C, N)
    X = rng.normal(size=(N, D))
    X[:, :C] += 1.5 * np.eye(C)[y]
    X = X * rng.uniform(0.1, 20, D) + rng.normal(size=D) * 5
    X[:, -1] = 7
    ids = [f"s{i:03d}" for i in range(N)]
    plan = plan_folds(
        FoldSettings(n_splits=6),
        y=y,
        groups=np.array(ids),
        splits=np.array([""] * N),
        order=ids,
    )
    return Problem(X.astype(dtype), y, C, len(plan)), plan.folds


def probabilities(logits: np.ndarray) -> np.ndarray:
    wide = np.exp(logits - logits.max(axis=1, keepdims=True), dtype=np.float64)
    return wide / wide.sum(axis=1, keepdims=True)


def test_every_head_is_tried_here() -> None:
    assert set(QUICK) == {name for name, row in HEADS.items() if row.takes == "rows"}


@pytest.mark.parametrize("kind", QUICK)
def test_a_unit_alone_is_the_same_as_among_all(kind: str) -> None:
    made, folds = problem()
    together = train(QUICK[kind], made, [Unit(f, s) for s in (1, 2) for f in folds])
    for result in together[::5]:
        (alone,) = train(QUICK[kind], made, [result.unit])
        np.testing.assert_allclose(
            probabilities(alone.logits), probabilities(result.logits), atol=1e-5
        )
        assert alone.chosen == pytest.approx(result.chosen)


@pytest.mark.parametrize("kind", QUICK)
def test_the_order_of_the_units_does_not_matter(kind: str) -> None:
    made, folds = problem()
    units = [Unit(f, 1) for f in folds]
    forward = train(QUICK[kind], made, units)
    backward = train(QUICK[kind], made, units[::-1])
    for one, other in zip(forward, backward[::-1], strict=True):
        assert one.unit is other.unit
        np.testing.assert_allclose(one.logits, other.logits, atol=1e-5)


@pytest.mark.parametrize("kind", QUICK)
def test_kept_weights_give_the_test_logits_again(kind: str) -> None:
    made, folds = problem()
    for result in train(QUICK[kind], made, [Unit(f, 1) for f in folds[:2]]):
        again = predict(kind, result.weights, made.X[result.unit.fold.test])
        np.testing.assert_allclose(probabilities(again), probabilities(result.logits), atol=1e-5)


@pytest.mark.parametrize("kind", QUICK)
def test_test_rows_are_never_looked_at(kind: str) -> None:
    """Nonsense in the test rows changes nothing that is learned."""
    made, folds = problem()
    fold = folds[0]
    spoilt = made.X.copy()
    spoilt[fold.test] = np.random.default_rng(1).permuted(made.X, axis=0)[fold.test]
    labels = made.y.copy()
    labels[fold.test] = (labels[fold.test] + 1) % C
    # The folds of logreg start from the solution for all rows, and keep of it what tol allows.
    table = QUICK[kind] | ({"tol": 1e-12} if kind == "logreg" else {})
    (clean,) = train(table, made, [Unit(fold, 1)])
    (other,) = train(table, Problem(spoilt, labels, C, made.folds), [Unit(fold, 1)])
    rows = made.X[fold.val]
    np.testing.assert_allclose(
        probabilities(predict(kind, other.weights, rows)),
        probabilities(predict(kind, clean.weights, rows)),
        atol=1e-5,
    )


@pytest.mark.parametrize("kind", QUICK)
def test_every_head_learns(kind: str) -> None:
    made, folds = problem()
    results = train(QUICK[kind], made, [Unit(f, 1) for f in folds])
    right = [(r.logits.argmax(axis=1) == made.y[r.unit.fold.test]).mean() for r in results]
    assert np.mean(right) > 0.55


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_seeds_are_the_randomness_of_training(kind: str) -> None:
    made, folds = problem()
    one, other = train(QUICK[kind], made, [Unit(folds[0], 1), Unit(folds[0], 2)])
    assert np.abs(one.logits - other.logits).max() > 1e-4


@pytest.mark.parametrize("kind", QUICK)
def test_half_precision_features_train_as_well(kind: str) -> None:
    made, folds = problem(dtype="float16")
    (result,) = train(QUICK[kind], made, [Unit(folds[0], 1)])
    assert np.isfinite(result.logits).all()


def test_ridge_is_the_solution_of_the_normal_equations() -> None:
    made, folds = problem(dtype="float64")
    (result,) = train(
        {"kind": "ridge", "lambdas": 3.0, "scale": "columns"}, made, [Unit(folds[0], 1)]
    )
    train_rows, test_rows = (made.X[rows] for rows in (folds[0].train, folds[0].test))
    centre, spread = train_rows.mean(axis=0), train_rows.std(axis=0)
    spread[spread < 1e-9] = np.inf
    Z, T = (train_rows - centre) / spread, (test_rows - centre) / spread
    Y = 2.0 * np.eye(C)[made.y[folds[0].train]] - 1
    W = np.linalg.solve(Z.T @ Z + 3.0 * np.eye(D), Z.T @ (Y - Y.mean(axis=0)))
    expected = T @ W + Y.mean(axis=0)
    slope = np.polyfit(expected.ravel(), result.logits.ravel(), 1)  # but for the temperature
    np.testing.assert_allclose(np.polyval(slope, expected), result.logits, atol=1e-4)


@pytest.mark.parametrize("scale", ["one", "columns"])
def test_ridge_is_exact_from_a_tiny_penalty_up_with_fewer_rows_than_columns(scale: str) -> None:
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(60, 200)), np.arange(60) % C
    fold = Fold(0, "0", np.arange(50), np.zeros(0, np.int64), np.arange(50, 60))
    table = {"kind": "ridge", "lambdas": 1e-10 * X.size, "scale": scale}
    (result,) = train(table, Problem(X, y, C, 6), [Unit(fold, 1)])
    Z = (X - result.weights["mean"]) * result.weights["scale"]
    U, s, Vt = np.linalg.svd(Z[fold.train], full_matrices=False)
    targets = 2.0 * np.eye(C)[y[fold.train]] - 1
    shares = (s / (s**2 + table["lambdas"]))[:, None] * (U.T @ (targets - targets.mean(0)))
    expected = Z[fold.test] @ Vt.T @ shares + targets.mean(0)
    decided = result.logits / result.chosen["factor"]
    np.testing.assert_allclose(decided, expected, atol=1e-6 * np.abs(expected).max())


def objective(
    Z: np.ndarray, y: np.ndarray, weight: np.ndarray, bias: np.ndarray, strength: float
) -> float:
    """Of logistic regression, float64; `strength` is C."""
    logits = Z @ weight.astype(np.float64) + bias
    loss = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(y)), y]
    return float(loss.sum() + 0.5 * (weight.astype(np.float64) ** 2).sum() / strength)


@pytest.mark.parametrize("C_", [0.01, 1.0])
def test_logreg_is_no_worse_than_scikit_learn(C_: float) -> None:
    from sklearn.linear_model import LogisticRegression

    made, folds = problem(dtype="float64")
    fold = folds[0]
    (result,) = train({"kind": "logreg", "C": C_}, made, [Unit(fold, 1)])
    Z = (made.X[fold.train] - result.weights["mean"]) * result.weights["scale"]
    y = made.y[fold.train]
    theirs = LogisticRegression(C=C_, tol=1e-10, max_iter=10_000).fit(Z, y)

    ours = objective(Z, y, result.weights["weight"], result.weights["bias"], C_)
    best = objective(Z, y, theirs.coef_.T, theirs.intercept_, C_)
    assert ours <= best * (1 + 1e-6)


def test_logreg_finishes_a_fold_at_the_best_of_a_grid_as_if_that_were_the_only_one() -> None:
    made, folds = problem()
    Cs, units = [1e-4, 1e-3, 0.01, 0.1, 1.0, 10.0], [Unit(fold, 1) for fold in folds]
    table = {"kind": "logreg", "tol": 1e-9}
    chosen = train(table | {"C": Cs, "patience": 0}, made, units)
    each = {C_: train(table | {"C": C_}, made, units) for C_ in Cs}
    for number, result in enumerate(chosen):
        y = made.y[result.unit.fold.val]
        losses = {
            C_: -np.log(probabilities(alone[number].val_logits)[np.arange(len(y)), y]).mean()
            for C_, alone in each.items()
        }
        assert losses[result.chosen["C"]] == pytest.approx(min(losses.values()), abs=1e-3)
        same = each[result.chosen["C"]][number]
        np.testing.assert_allclose(
            probabilities(result.logits), probabilities(same.logits), atol=1e-4
        )


def test_logreg_finds_a_far_optimum_of_classes_that_can_be_told_apart() -> None:
    """What is left is a share of a hundredth of what knowing nothing costs, which is more."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(11)
    y = rng.integers(0, C, 120)
    group = rng.permutation(np.arange(120) % 5)
    X = rng.normal(size=(C, 10))[y] + 1.2 * rng.normal(size=(120, 10))
    fold = Fold(
        0, "2", np.flatnonzero(group != 2), np.zeros(0, np.int64), np.flatnonzero(group == 2)
    )
    made, known = Problem(X.astype(np.float32), y, C, 1), y[fold.train]
    (result,) = train({"kind": "logreg", "C": 1e4}, made, [Unit(fold, 1)])
    Z = (made.X[fold.train] - result.weights["mean"]) * result.weights["scale"]
    model = LogisticRegression(C=1e4, tol=1e-10, max_iter=10_000).fit(Z, known)
    best = objective(Z, known, model.coef_.T, model.intercept_, 1e4)
    ours = objective(Z, known, result.weights["weight"], result.weights["bias"], 1e4)
    assert ours - best <= 1e-5 * max(best, 0.01 * len(known) * np.log(C))


@pytest.mark.parametrize("monitor", ["balanced_accuracy", "macro_f1", "accuracy"])
def test_patience_outlasts_the_values_of_c_that_call_every_row_the_same(monitor: str) -> None:
    made, folds = problem()
    rare = Problem(made.X, (made.y == 0).astype(np.int64), 2, made.folds)
    table = {"kind": "logreg", "C": [1e-7, 1e-6, 1e-5, 1e-4, 1.0], "monitor": monitor}
    for result in train(table, rare, [Unit(fold, 1) for fold in folds]):
        assert result.chosen["C"] == 1.0


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"kind": "liner"}, ["'liner'", "Did you mean 'linear'"]),
        ({"kind": "linear", "learning_rate": 1}, ["head.learning_rate"]),
        ({"kind": "linear", "lr": "fast"}, ["'fast'", "a number"]),
        ({"kind": "linear", "epochs": 0}, ["head.epochs"]),
        ({"kind": "knn", "k": []}, ["head.k", "empty"]),
        ({"kind": "ridge", "lambdas": -1.0}, ["head.lambdas", "-1"]),
    ],
)
def test_wrong_settings_are_named(table: dict, words: list[str]) -> None:
    with pytest.raises((HeadError, TaskError)) as error:
        settings_of(table)
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize("kind", QUICK)
def test_features_that_are_not_finite_are_refused(kind: str) -> None:
    made, folds = problem()
    made.X[folds[0].train[3], 2] = np.nan
    with pytest.raises(HeadError, match=r"(?i)nan|finite"):
        train(QUICK[kind], made, [Unit(folds[0], 1)])


def test_a_fold_that_trains_on_one_class_is_refused() -> None:
    made, folds = problem()
    labels = made.y.copy()
    labels[folds[0].train] = 1
    with pytest.raises(HeadError, match="trains on 1 class"):
        train(QUICK["ridge"], Problem(made.X, labels, C, made.folds), [Unit(folds[0], 1)])


def test_choosing_without_validation_rows_is_refused() -> None:
    made, folds = problem()
    bare = Fold(
        0, "0", np.concatenate([folds[0].train, folds[0].val]), folds[0].val[:0], folds[0].test
    )
    with pytest.raises(HeadError, match="no validation rows"):
        train(QUICK["ridge"], made, [Unit(bare, 1)])
