"""The parameters of one network as one float32 vector, and what its products compute with."""

import torch
from torch import nn

from backbench.heads.stress_network import Network

Tensor = torch.Tensor


class Master:
    """A float32 vector that AdamW moves, of which a network's parameters are views.

    With `bf16`, linear layers compute in bfloat16: their parameters are views of a copy that is
    cast once a step. It is what autocast does, without its cast at every operation.

    Attributes:
        flat: the vector, with a gradient after `differentiate`.
    """

    def __init__(self, network: Network, precision: str) -> None:
        linear = {id(p) for m in network.modules() if _multiplies(m) for p in m.parameters()}
        named = sorted(network.named_parameters(), key=lambda pair: id(pair[1]) not in linear)
        self._shapes = {name: p.shape for name, p in named}
        self._parameters = [p for _, p in named]
        self.flat = nn.Parameter(torch.cat([p.detach().flatten() for p in self._parameters]))
        size = sum(p.numel() for p in self._parameters if id(p) in linear)
        self._cast = self.flat.detach()[: size if precision == "bf16" else 0].bfloat16()
        self._hand_out()

    def _hand_out(self) -> None:
        """Make the parameters views, of the copy as far as it goes."""
        start = 0
        for parameter in self._parameters:
            stop = start + parameter.numel()
            vector = self._cast if stop <= len(self._cast) else self.flat.detach()
            parameter.data = vector[start:stop].view(parameter.shape)
            start = stop

    def refresh(self) -> None:
        """Cast anew, after a step."""
        self._cast.copy_(self.flat.detach()[: len(self._cast)])

    def differentiate(self, loss: Tensor) -> None:
        """Gradients of all parameters."""
        parts = [part.flatten() for part in torch.autograd.grad(loss, self._parameters)]
        linear = [part for part in parts if part.dtype == torch.bfloat16]
        rest = parts[len(linear) :]
        self.flat.grad = torch.cat([torch.cat(linear).float(), *rest] if linear else rest)

    def state(self) -> dict[str, Tensor]:
        """A copy of the parameters by name, float32."""
        return self.named(self.flat.detach().clone())

    def named(self, flat: Tensor) -> dict[str, Tensor]:
        """Parameters by name, from vectors `[..., n]` like `flat`."""
        parts = torch.split(flat, [shape.numel() for shape in self._shapes.values()], -1)
        named = zip(self._shapes.items(), parts, strict=True)
        return {name: part.view(*flat.shape[:-1], *shape) for (name, shape), part in named}

    def working(self, flat: Tensor) -> dict[str, Tensor]:
        """The same in the precision that the network computes in."""
        dtypes = [parameter.dtype for parameter in self._parameters]
        pairs = zip(self.named(flat).items(), dtypes, strict=True)
        return {name: part.to(dtype) for (name, part), dtype in pairs}


def _multiplies(module: nn.Module) -> bool:
    """Whether all that is directly in it are weights and biases of matrix products."""
    return isinstance(module, nn.Linear | nn.MultiheadAttention)
