"""What a head loads is loaded before the time that it takes is counted."""

import subprocess
import sys

import pytest

from backbench.errors import HeadError
from backbench.heads import warm_up

SCRIPT = """
import sys
import numpy as np
from backbench.folds import Fold
from backbench.heads import Problem, Unit, train, warm_up

rows = np.arange(120)
X = np.random.default_rng(1).normal(size=(120, 5)).astype(np.float32)
units = [Unit(Fold(0, "0", rows[:80], rows[80:100], rows[100:]), 3)]
for kind in ("knn", "ridge", "linear", "logreg", "mlp"):
    warm_up(kind)
    before = set(sys.modules)
    train({"kind": kind}, Problem(X, rows % 3, 3), units)
    print(kind, sorted(set(sys.modules) - before))
"""


def test_training_after_the_warm_up_loads_nothing_more():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split("\n")[:-1] == [
        f"{kind} []" for kind in ("knn", "ridge", "linear", "logreg", "mlp")
    ]


def test_an_unknown_head_is_told():
    with pytest.raises(HeadError, match="unknown head 'lineer'"):
        warm_up("lineer")
