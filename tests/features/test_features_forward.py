"""Short cuts are taken only where every row stays what it was."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch

from backbench.features import forward as forward_module
from backbench.features.folding import folded
from backbench.features.forward import (
    COSINE,
    Forward,
    at_once,
    lowest_cosine,
    out_of_memory,
    remaining,
)
from features_bench import Averages, Bench, in_memory

CPU = torch.device("cpu")


def convolutional() -> torch.nn.Module:
    torch.manual_seed(3)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, bias=False),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 6, 3),
        torch.nn.BatchNorm2d(6),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
    )
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(8, 3, 12, 12) * 3 + 1)
    return network.eval()


def norms(network: torch.nn.Module) -> int:
    return sum(isinstance(layer, torch.nn.BatchNorm2d) for layer in network.modules())


@pytest.mark.parametrize("allowed", [True, False])
def test_fp32_is_never_tf32_and_the_process_keeps_its_own_setting(allowed):
    """Nothing on a CPU shows it; a GPU would convolve in TF32 by default."""
    seen = []

    class Looks(torch.nn.Module):
        def forward(self, x):
            seen.append((torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32))
            return x.flatten(1)

    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    try:
        cudnn.allow_tf32 = matmul.allow_tf32 = allowed
        Forward(Looks(), CPU, 4)(torch.ones(6, 3, 4, 4))
        assert seen == [(False, False)] * 2
        assert (cudnn.allow_tf32, matmul.allow_tf32) == (allowed, allowed)
    finally:
        cudnn.allow_tf32, matmul.allow_tf32 = before


def test_folding_removes_batch_norms_and_keeps_the_numbers():
    network, x = convolutional(), torch.randn(5, 3, 12, 12)
    lighter = folded(network, x[:1])
    assert (norms(network), norms(lighter)) == (2, 0)
    with torch.inference_mode():
        assert torch.allclose(network(x), lighter(x), atol=1e-5)


def test_a_norm_that_follows_something_else_is_left_alone():
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.BatchNorm2d(4), torch.nn.Flatten()
    ).eval()
    assert folded(network, torch.randn(1, 3, 6, 6)) is network


def test_a_convolution_used_twice_is_left_alone():
    class Shared(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = torch.nn.Conv2d(3, 3, 1), torch.nn.BatchNorm2d(3)

        def forward(self, x):
            return self.norm(self.conv(x)) + self.conv(x)

    network = Shared().eval()
    assert folded(network, torch.randn(1, 3, 6, 6)) is network


def test_a_convolution_with_a_second_reader_is_given_back_unfolded():
    """The comparison on the example catches what the hooks cannot see."""

    class Split(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = torch.nn.Conv2d(3, 3, 1), torch.nn.BatchNorm2d(3)
            self.norm.running_mean += 2.0

        def forward(self, x):
            once = self.conv(x)
            return self.norm(once) + once

    network = Split().eval()
    assert folded(network, torch.randn(1, 3, 6, 6)) is network


def test_bf16_is_taken_when_every_row_agrees():
    forward = Forward(Averages(), CPU, 8)
    forward.try_bf16(torch.rand(20, 3, 16, 16), only_if_faster=False)
    assert forward.precision == "bf16"
    assert "lowest cosine" in forward.note


def test_one_row_that_disagrees_rules_bf16_out():
    """Row 19 of 20 is the difference of two nearly equal numbers, which bf16 cannot hold."""

    class Fragile(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.tensor([1.0, 1.001]))

        def forward(self, pixels):
            a = pixels.mean((1, 2, 3)).clamp(min=0.1)
            b = torch.where(a > 0.9, self.weight[1] - self.weight[0], a)
            return torch.stack([b, torch.full_like(b, 1e-3)], 1)

    pixels = torch.full((20, 3, 4, 4), 0.5)
    forward = Forward(Fragile(), CPU, 8)
    forward.try_bf16(pixels, only_if_faster=False)
    assert forward.precision == "bf16"
    pixels[19] = 1.0
    forward = Forward(Fragile(), CPU, 8)
    forward.try_bf16(pixels, only_if_faster=False)
    assert forward.precision == "fp32"
    assert "below 0.999" in forward.note


def test_a_network_that_cannot_run_in_bf16_stays_fp32():
    class Strict(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(48, 2))

        def forward(self, pixels):
            return pixels.flatten(1).float() @ self.weight

    forward = Forward(Strict(), CPU, 8)
    forward.try_bf16(torch.rand(4, 3, 4, 4), only_if_faster=False)
    assert forward.precision == "fp32"
    assert "does not run in bf16" in forward.note


def test_other_errors_are_not_taken_for_a_full_memory():
    class Wrong(torch.nn.Module):
        def forward(self, pixels):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        Forward(Wrong(), CPU, 8)(torch.rand(4, 3, 4, 4))


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("index out of range"), False),
    ],
)
def test_a_full_memory_is_known_by_its_words(error, full):
    assert out_of_memory(error) is full


def test_the_heap_is_kept_while_a_cpu_computes(monkeypatch):
    inside = []

    class Told(Averages):
        def forward(self, pixels):
            inside.append(told[-1])
            return super().forward(pixels)

    told = ["outside"]

    @contextmanager
    def kept():
        told.append("kept")
        yield
        told.append("outside")

    monkeypatch.setattr(forward_module.heap, "kept", kept)
    Forward(Told(), CPU, 2)(torch.rand(4, 3, 4, 4))
    assert inside == ["kept", "kept"]
    assert told[-1] == "outside"


def test_a_cpu_takes_few_pictures_at_once_and_a_gpu_what_it_is_given():
    assert [at_once(CPU, size) for size in (1, 8, 64)] == [1, 8, 8]
    assert at_once(torch.device("cuda"), 64) == 64


def test_lowest_cosine_is_of_the_worst_row():
    a = np.array([[1, 0], [1, 1], [0, 0]], np.float32)
    b = np.array([[2, 0], [1, 0], [0, 0]], np.float32)
    assert lowest_cosine(a, b) == pytest.approx(2**-0.5)
    assert lowest_cosine(a, a) == pytest.approx(1.0)
    assert lowest_cosine(a, np.array([[2, 0], [1, 1], [1, 0]], np.float32)) == 0.0


def test_what_was_chosen_is_written_down():
    samples = in_memory(40)
    found = Bench().extract(samples, precision="auto")
    assert found.provenance["precision_note"].startswith(("fp32:", "bf16:"))


def test_two_short_cuts_share_what_may_be_lost():
    """0.9995 and 0.9995 may make 0.998 together."""
    assert remaining(1.0) == pytest.approx(COSINE)
    assert remaining(0.9995) > 0.9995
    assert remaining(COSINE) == pytest.approx(1.0)
    forward = Forward(convolutional(), CPU, 8)
    pixels = torch.rand(20, 3, 16, 16)
    forward.rehearse(pixels[:8])
    forward.try_bf16(pixels, only_if_faster=False, so_far=COSINE)
    assert forward.precision == "fp32"
    assert "below 1.00000" in forward.note
