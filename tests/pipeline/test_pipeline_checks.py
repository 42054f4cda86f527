"""Guards that need the data."""

from types import SimpleNamespace

from backbench.pipeline.checks import transforms


def test_features_are_not_read_for_heads_that_standardise_nothing() -> None:
    study = SimpleNamespace(
        samples=SimpleNamespace(series=None),
        features=SimpleNamespace(X=None),
        plan=SimpleNamespace(folds=[SimpleNamespace(index=0)]),
    )
    assert list(transforms(study, {0: {"voters": None}})) == []
