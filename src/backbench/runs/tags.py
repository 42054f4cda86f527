"""The schema of runs: every tag Backbench writes and searches by, with its meaning.

`docs/tracking.md` shows the same table; a test keeps the two in step.
"""

from collections.abc import Mapping

from backbench.errors import TrackingError, unknown

PREFIX = "backbench."

STAGE = "backbench.stage"
TASK = "backbench.task"
TASK_VERSION = "backbench.task_version"
TASK_HASH = "backbench.task_hash"
VARIANT = "backbench.variant"
BACKBONE = "backbench.backbone"
CHECKPOINT = "backbench.checkpoint"
HEAD = "backbench.head"
SEED = "backbench.seed"
FOLD = "backbench.fold"
PROTOCOL = "backbench.protocol"
UNIT = "backbench.unit"
EVIDENCE = "backbench.evidence"
FEATURES = "backbench.features"
IDENTITY_KEY = "backbench.identity_key"
WEIGHTS = "backbench.weights"
SAMPLES = "backbench.samples"
COMPLETE = "backbench.complete"
FLAGS = "backbench.flags"
VERSION = "backbench.version"
IDENTITY = "backbench.identity"
PARENT = "backbench.parent"
RECORDED = "backbench.recorded"
REASON = "backbench.reason"
UNDEFINED = "backbench.undefined"

TAGS: Mapping[str, str] = {
    STAGE: "which entry point wrote it: extract, train_fold, evaluate, leaderboard or main",
    TASK: "name of the task",
    TASK_VERSION: "version in the task file",
    TASK_HASH: "hash of the resolved task, to notice a file changed after its runs",
    VARIANT: "variant (ablation) of the task; empty for the task itself",
    BACKBONE: "row of the backbones table, or an open form such as timm:resnet18",
    CHECKPOINT: "set of weights of the backbone; `default` for the published one",
    HEAD: "kind of head trained on the features",
    SEED: "seeds of this run, as asked for: 42, or 42,123,456",
    FOLD: "folds of this run, as asked for: all, 7, 0-10 or 3,5",
    PROTOCOL: "hash of everything that must be equal for two results to be compared",
    UNIT: "hash of all that one unit's numbers depend on but its seed and fold",
    EVIDENCE: "hash of the training runs that a summary was made from",
    FEATURES: "key of the features: vector space, sample ids and their contents",
    IDENTITY_KEY: "key of the vector space alone: weights, representation, transform",
    WEIGHTS: "SHA-256 of the backbone's weights; `none` for pixels",
    SAMPLES: "fingerprint of the samples",
    COMPLETE: "`true` where every fold of every seed is there, else `false`",
    FLAGS: "guards that fired, separated by commas; empty for none",
    VERSION: "version of Backbench that wrote it",
    IDENTITY: "the record's own name: one run on a server, however often it is sent",
    PARENT: "identity of the run it is a part of",
    RECORDED: "`true` once every metric, param and artifact has arrived",
    REASON: "the one line a failed or interrupted run ended with",
    UNDEFINED: "metrics that were undefined (NaN or infinite), with how often, as JSON",
}


def checked(tags: Mapping[str, object]) -> dict[str, str]:
    """`tags` as text without those that are None.

    Raises:
        TrackingError: a `backbench.` tag that is not in the table.
    """
    for name in tags:
        if name.startswith(PREFIX) and name not in TAGS:
            raise TrackingError(unknown("tag", name, TAGS))
    return {name: _text(value) for name, value in tags.items() if value is not None}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
