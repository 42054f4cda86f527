"""The one place where the device is chosen, and where it is asked what it does natively."""

import os
from typing import TYPE_CHECKING

from backbench.errors import BackboneError

if TYPE_CHECKING:
    import torch


def device() -> "torch.device":
    """`BACKBENCH_DEVICE` where it is set, else a GPU where there is one, else the CPU.

    Raises:
        BackboneError: the named device is unknown to torch or is not on this machine.
    """
    import torch

    given = os.environ.get("BACKBENCH_DEVICE", "").strip()
    if given:
        return _checked(given)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def supports_bf16(where: "torch.device") -> bool:
    """True where bfloat16 products run in hardware, so that bf16 is worth trying."""
    import torch

    if where.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if where.type != "cpu":
        return False
    # An AVX-512 CPU without these extensions computes bf16 slower than fp32.
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, probe, lambda: False)()) for probe in probes)


def _checked(given: str) -> "torch.device":
    import torch

    try:
        chosen = torch.device(given)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, ImportError) as error:
        raise BackboneError(
            f"BACKBENCH_DEVICE is '{given}', which cannot be used here "
            f"({str(error).splitlines()[0]}). Allowed: cpu, cuda, cuda:<n> or mps, as far as "
            "the machine has them; unset it to let Backbench choose."
        ) from error
    return chosen
