"""Early stopping and grids look at the metric that the board means by the same name."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import f1_score

from backbench.heads.choose import score
from backbench.heads.settings import Monitor
from backbench.metrics import METRICS


@pytest.mark.parametrize("monitor", get_args(Monitor))
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_a_monitor_is_the_metric_of_its_name(monitor, data):
    """Of classes that only occur, only are predicted, or neither."""
    classes, n = data.draw(st.integers(2, 6)), data.draw(st.integers(1, 20))
    random = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    y = random.integers(0, data.draw(st.integers(1, classes)), n)
    logits = random.normal(size=(n, classes)).astype(np.float32)
    metric = METRICS[{"val_loss": "log_loss"}.get(monitor, monitor)]
    expected = metric.function(y, softmax(logits.astype(float), axis=1))
    sign = 1 if metric.higher_is_better else -1
    assert score(monitor, logits, y) == pytest.approx(sign * expected)


def test_a_class_that_is_only_predicted_counts_in_macro_f1():
    y, said = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 2, 1, 1, 2])
    expected = f1_score(y, said, average="macro")
    assert score("macro_f1", np.eye(3)[said], y) == pytest.approx(expected) == pytest.approx(8 / 15)
