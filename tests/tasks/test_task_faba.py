"""The task `faba`: a variant changes exactly the fields it names, and nothing else ever differs."""

from dataclasses import asdict

import pytest

from backbench.heads import HEADS, settings_of
from backbench.leaderboard import variant_fields
from backbench.metrics import resolve
from backbench.pipeline.question import resolve_task
from backbench.tasks import Protocol, load_task

EVERY = ["image", "fluor", "env", "vi"]
ABLATIONS = {
    "drop_image": {"head.modalities": '["fluor", "env", "vi"]'},
    "drop_fluor": {"head.modalities": '["image", "env", "vi"]'},
    "drop_env": {"head.modalities": '["image", "fluor", "vi"]'},
    "drop_vi": {"head.modalities": '["image", "fluor", "env"]'},
    "image_only": {"head.modalities": '["image"]'},
    "fluor_only": {"head.modalities": '["fluor"]'},
    "env_only": {"head.modalities": '["env"]'},
    "vi_only": {"head.modalities": '["vi"]'},
    "concat": {"head.fusion": '"concat"'},
    "mlp": {"head.temporal": '"mlp"'},
    "no_temporal": {"head.temporal": '"none"'},
    "causal_mask": {"head.causal_mask": "true"},
}


def protocol(variant: str) -> Protocol:
    return Protocol.of(resolve_task("faba", variant=variant), samples="", folds="")


def test_every_ablation_is_a_variant() -> None:
    assert set(load_task("faba").variants) == set(ABLATIONS)


@pytest.mark.parametrize("variant", ABLATIONS)
def test_a_variant_changes_exactly_the_fields_it_names(variant: str) -> None:
    differing = protocol(variant).differences(protocol(""))
    assert {name: here for name, (here, _) in differing.items()} == ABLATIONS[variant]
    assert variant_fields(load_task("faba"), variant) == tuple(ABLATIONS[variant])


def test_the_protocol_is_that_of_the_paper() -> None:
    task = resolve_task("faba")
    assert task.seeds == (42, 123, 456)
    assert asdict(task.expect) == {
        "samples": 264, "groups": 44, "classes": 2, "splits": {}, "steps": 22, "pictures": 11_626,
        "channels": {"fluor": 94, "env": 5, "vi": 11}, "width": 768,
    }  # fmt: skip
    assert (task.folds.scheme, task.folds.group) == ("leave_one_group_out", "accession")
    assert (task.folds.validation, task.folds.stratum, task.folds.seed) == (
        "one_per_stratum", "maturity", 42,
    )  # fmt: skip
    head = task.head
    assert (head["kind"], HEADS["stress"].takes) == ("stress", "series")
    assert (head["lr"], head["weight_decay"], head["epochs"]) == (1e-4, 0.01, 100)
    assert (head["batch_size"], head["clip"], head["patience"]) == (16, 1.0, 20)
    assert (head["warmup_epochs"], head["warmup_start"], head["min_lr"]) == (5, 0.01, 1e-6)
    assert (head["pos_weight"], head["dropout"], head["precision"]) == (1.5, 0.1, "bf16")
    assert list(head["modalities"]) == EVERY
    assert settings_of(head) == settings_of({"kind": "stress"})


def test_the_metrics_are_named_for_what_they_are() -> None:
    metrics = load_task("faba").metrics
    assert metrics.primary == "f1_fold_mean"
    found = {name: resolve(name, ("unstressed", "stressed")) for name in metrics.report}
    assert {name: (one.form, one.unit) for name, one in found.items()} == {
        "f1_fold_mean": ("fold_mean", "share"),
        "auc_fold_mean": ("fold_mean", "share"),
        "onset_mae_days": ("pooled", "days"),
        "f1": ("pooled", "share"),
        "balanced_accuracy": ("pooled", "share"),
    }
