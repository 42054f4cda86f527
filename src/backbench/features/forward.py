"""The forward pass: as fast as the machine allows while the numbers stay those of fp32."""

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from backbench.errors import FeatureError
from backbench.features import heap
from backbench.features.bf16 import in_bf16
from backbench.features.folding import folded

if TYPE_CHECKING:
    import torch

COSINE = 0.999
TRIAL_ROWS = 8
_WORTH = 0.9
_ON_A_CPU = 8
_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "could not create a primitive",  # oneDNN's, whatever it lacks
)


class Forward:
    """Batches of pixels `[n, 3, H, W]` to features float32 `[n, D]`.

    The batch is halved whenever memory runs out, and stays halved. Convolutions run in the
    channels-last layout with their batch normalisation folded in, which changes no number by more
    than rounding.

    Attributes:
        precision: `fp32` or `bf16`.
        note: why it is that one.
        batch_size: pictures that go through the network at once.
    """

    def __init__(self, module: "torch.nn.Module", device: "torch.device", batch_size: int) -> None:
        self.device = device
        self.batch_size = max(1, batch_size)
        self.precision = "fp32"
        self.note = "fp32 is the reference"
        self._fp32 = module.eval().to(device)
        self._module = self._fp32

    def rehearse(self, pixels: "torch.Tensor") -> float:
        """Prepare for pictures of this size `[n, 3, H, W]`; returns seconds a picture.

        Raises:
            FeatureError: one picture alone does not fit into memory.
        """
        self.prepare(pixels)
        start = perf_counter()
        self.reference(pixels)
        return (perf_counter() - start) / len(pixels)

    def prepare(self, pixels: "torch.Tensor") -> None:
        """Lay the network out for speed, without changing what it computes."""
        import torch

        module = self._fp32.to(memory_format=torch.channels_last)
        self._run(module, pixels[:1])  # says so if not even one picture fits
        self._fp32 = self._module = folded(module, self._moved(pixels[:1], torch.float32))

    def __call__(self, pixels: "torch.Tensor") -> NDArray[np.float32]:
        """Features `[n, D]` of a batch of any size.

        Raises:
            FeatureError: one picture alone does not fit into memory.
        """
        return self._run(self._module, pixels)

    def reference(self, pixels: "torch.Tensor") -> NDArray[np.float32]:
        """The same in fp32, whatever was chosen."""
        return self._run(self._fp32, pixels)

    def try_bf16(
        self, pixels: "torch.Tensor", *, only_if_faster: bool, so_far: float = 1.0
    ) -> NDArray[np.float32]:
        """Change to bf16 if every row of this batch agrees with fp32 (and if it is faster).

        Args:
            pixels: of the batch.
            only_if_faster: keep fp32 where bf16 gains nothing.
            so_far: cosine that another short cut has cost already; the two together have to agree.

        Returns:
            the features of the batch `[n, D]`, in the precision that was chosen.
        """
        start = perf_counter()
        expected = self.reference(pixels)
        seconds = (perf_counter() - start) / len(pixels)
        needed = remaining(so_far)
        try:
            module = in_bf16(self._fp32)
            ratio, found = self._trial(module, pixels, expected, seconds, needed=needed)
        except (RuntimeError, TypeError) as error:
            self.note = f"fp32: the network does not run in bf16 ({str(error).splitlines()[0]})"
            return expected
        cosine = lowest_cosine(expected[: len(found)], found)
        if not cosine >= needed:  # so that NaN does not pass
            self.note = f"fp32: a row in bf16 had cosine {cosine:.5f} with fp32, below {needed:.5f}"
        elif only_if_faster and ratio > _WORTH:
            self.note = f"fp32: bf16 took {ratio:.2f} of its time on the first batch"
        else:
            self._module, self.precision = module, "bf16"
            self.note = f"bf16: lowest cosine with fp32 {cosine:.5f}, {ratio:.2f} of its time"
            return found
        return expected

    def _trial(
        self,
        module: "torch.nn.Module",
        pixels: "torch.Tensor",
        expected: NDArray[np.float32],
        seconds: float,
        *,
        needed: float,
    ) -> tuple[float, NDArray[np.float32]]:
        """Time as a share of fp32's, and features: of a few rows if those rule it out already."""
        few = self._run(module, pixels[:TRIAL_ROWS])
        if not lowest_cosine(expected[:TRIAL_ROWS], few) >= needed:
            return 1.0, few
        start = perf_counter()
        found = self._run(module, pixels)
        return (perf_counter() - start) / len(pixels) / seconds, found

    def use(self, precision: str) -> None:
        """Take the precision that features were computed in before."""
        if precision == "bf16":
            self._module, self.precision = in_bf16(self._fp32), "bf16"

    def _run(self, module: "torch.nn.Module", pixels: "torch.Tensor") -> NDArray[np.float32]:
        import torch

        while True:
            try:
                parts = torch.split(pixels, self.batch_size)
                with full_fp32(), heap.kept() if self.device.type == "cpu" else nullcontext():
                    return np.concatenate([self._step(module, part) for part in parts])
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                self._halve(error)

    def _step(self, module: "torch.nn.Module", pixels: "torch.Tensor") -> NDArray[np.float32]:
        import torch

        dtype = torch.float32 if module is self._fp32 else torch.bfloat16
        with torch.inference_mode():
            result: NDArray[np.float32] = module(self._moved(pixels, dtype)).float().cpu().numpy()
            return result

    def _moved(self, pixels: "torch.Tensor", dtype: "torch.dtype") -> "torch.Tensor":
        import torch

        return pixels.to(self.device, dtype, non_blocking=True, memory_format=torch.channels_last)

    def _halve(self, error: Exception) -> None:
        import torch

        if self.batch_size == 1:
            raise FeatureError(
                f"one picture alone does not fit into the memory of {self.device} "
                f"({(str(error) or type(error).__name__).splitlines()[0]}); "
                "choose a smaller backbone, or another device with BACKBENCH_DEVICE."
            ) from error
        self.batch_size //= 2
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


@contextmanager
def full_fp32() -> Iterator[None]:
    """No TF32, which has 10 of fp32's 23 bits: GPUs convolve in it unless they are told not to."""
    import torch

    kinds: tuple[Any, Any] = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [kind.allow_tf32 for kind in kinds]
    try:
        for kind in kinds:
            kind.allow_tf32 = False
        yield
    finally:
        for kind, allowed in zip(kinds, before, strict=True):
            kind.allow_tf32 = allowed


def at_once(device: "torch.device", batch_size: int) -> int:
    """Pictures to put through a network together, where `batch_size` suits a GPU.

    A CPU gains nothing from more than a few, and loses where activations outgrow its caches.
    """
    return min(batch_size, _ON_A_CPU) if device.type == "cpu" else batch_size


def out_of_memory(error: Exception) -> bool:
    """True for the ways of Python, C++, the CPU's allocator, oneDNN and CUDA to say it."""
    return isinstance(error, MemoryError) or any(s in str(error).lower() for s in _OUT_OF_MEMORY)


def remaining(cosine: float) -> float:
    """The cosine that a second short cut needs, after a first: the angles of both may add up."""
    return math.cos(max(0.0, math.acos(COSINE) - math.acos(min(1.0, cosine))))


def lowest_cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """The smallest cosine between equal rows of two matrices `[n, D]`; two zero rows agree."""
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    products = np.einsum("nd,nd->n", a, b, dtype=np.float64)
    equal = (a == b).all(axis=1)
    cosines = np.where(equal, 1.0, products / np.where(norms > 0, norms, np.inf))
    return float(cosines.min())
