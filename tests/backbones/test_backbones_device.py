"""The device is chosen in one place."""

import pytest
import torch

from backbench.backbones import device, supports_bf16
from backbench.errors import BackboneError


def test_without_a_gpu_it_is_the_cpu():
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("this machine has a GPU")
    assert device() == torch.device("cpu")


def test_the_environment_overrides(monkeypatch):
    monkeypatch.setenv("BACKBENCH_DEVICE", "cpu")
    assert device() == torch.device("cpu")


@pytest.mark.parametrize("given", ["gpu", "cuda:99", "cpu:x"])
def test_a_device_that_is_not_here_is_named(monkeypatch, given):
    monkeypatch.setenv("BACKBENCH_DEVICE", given)
    with pytest.raises(BackboneError, match=f"BACKBENCH_DEVICE is '{given}'") as caught:
        device()
    assert "\n" not in str(caught.value)


def test_bf16_is_offered_only_where_hardware_has_it():
    assert supports_bf16(torch.device("meta")) is False
    assert isinstance(supports_bf16(torch.device("cpu")), bool)
