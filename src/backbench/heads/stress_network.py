"""The network of the `stress` head: pictures and measurements of a plant over time.

    pooled  = sum_v softmax_v(x_v . q / sqrt(D)) x_v                 views of one step
    e_m     = W2 drop(relu(W1 x_m + b1)) + b2, or a learned token    each modality m
    fused   = sum_m g_m e_m,  g = softmax(V2 drop(relu(V1 [e_1 .. e_M] + c1)) + c2)
    h       = transformer([CLS, fused + encoding of the day]), two layers, normed after the sum
    z       = head(layer norm(h)) of every step

With widths 768, 94, 5 and 11 and the settings' defaults it has 618,309 parameters. Modules begin as
torch begins them, the query at zero, tokens at N(0, 0.02). What the definition leaves open:

- CLS has no day, so it gets no encoding; its output is not used.
- `mlp` puts norm(h + drop(W2 drop(relu(W1 h)))), 128-512-128, in the place of the transformer;
  `none` puts nothing there and leaves out the encoding of the day as well.
- `concat` is one linear layer on the concatenated modalities. One modality is not fused.
"""

from collections.abc import Callable, Mapping
from math import log, sqrt
from typing import NamedTuple

import torch
from torch import nn

from backbench.heads.settings import StressSettings

Tensor = torch.Tensor
Keep = Callable[[Tensor], Tensor]
"""What dropout does to activations."""

IMAGE = "image"
_HEADS, _GATE = 4, 64
_NEVER = -1e9


class Batch(NamedTuple):
    """B plants at L of their steps, in order of time.

    Attributes:
        views: vectors of the pictures `[B, L, V, D]`; anything where there is none.
        seen: which of them there are, bool `[B, L, V]`.
        values: of each channel, standardised `[B, L, d]`, 0 where missing.
        missing: steps without a modality that has a token, bool `[B, L]`.
        time: the encoding of each step's day `[B, L, width]`.
        attended: steps that others may look at, bool `[B, L]`.
    """

    views: Tensor
    seen: Tensor
    values: Mapping[str, Tensor]
    missing: Mapping[str, Tensor]
    time: Tensor
    attended: Tensor


def everything(x: Tensor) -> Tensor:
    """Dropout outside training."""
    return x


class Network(nn.Module):
    """Logits of every step of a batch.

    Args:
        settings: which modalities, how they are fused, and what looks across time.
        widths: of each modality's vectors; those that `settings` leaves out are not looked at.
    """

    def __init__(self, settings: StressSettings, widths: Mapping[str, int]) -> None:
        super().__init__()
        self.modalities, self.causal = settings.modalities, settings.causal_mask
        width, many = settings.width, len(settings.modalities)
        if IMAGE in self.modalities:
            self.query = nn.Parameter(torch.zeros(widths[IMAGE]))
        self.project = nn.ModuleDict({m: _Two(widths[m], width, width) for m in self.modalities})
        sparse = [m for m in self.modalities if m in settings.sparse]
        self.token = nn.ParameterDict([(m, _token(width)) for m in sparse])
        self.gate = _Two(many * width, _GATE, many) if settings.fusion == "gating" else None
        self.concat = nn.Linear(many * width, width) if settings.fusion == "concat" else None
        if many == 1:
            self.gate = self.concat = None
        self.cls = _token(width) if settings.temporal == "transformer" else None
        self.layers = nn.ModuleList(_Layer(width) for _ in range(2) if self.cls is not None)
        self.mlp = _Mlp(width) if settings.temporal == "mlp" else None
        self.norm, self.head = nn.LayerNorm(width), _Two(width, width // 2, 1)

    def forward(self, batch: Batch, keep: Keep = everything) -> Tensor:
        """Logits `[B, L]`, float32."""
        h = self._fuse([self._embed(m, batch, keep) for m in self.modalities], keep)
        if self.cls is not None:
            h = self._across_time(self.cls, h + batch.time, batch.attended, keep)
        elif self.mlp is not None:
            h = self.mlp(h + batch.time, keep)
        z: Tensor = self.head(self.norm(h), keep)
        return z.squeeze(-1).float()

    def _embed(self, modality: str, batch: Batch, keep: Keep) -> Tensor:
        x = self._pool(batch) if modality == IMAGE else batch.values[modality]
        e: Tensor = self.project[modality](x, keep)
        if modality not in self.token:
            return e
        missing = batch.missing[modality].unsqueeze(-1)
        return torch.where(missing, self.token[modality].to(e.dtype), e)

    def _pool(self, batch: Batch) -> Tensor:
        scores = (batch.views @ self.query) / sqrt(self.query.shape[0])
        share = scores.masked_fill(~batch.seen, _NEVER).softmax(-1)
        return (share.unsqueeze(-2) @ batch.views).squeeze(-2)

    def _fuse(self, embedded: list[Tensor], keep: Keep) -> Tensor:
        fused = embedded[0]
        if self.concat is not None:
            fused = _linear(self.concat, torch.cat(embedded, -1))
        if self.gate is not None:
            stacked = torch.stack(embedded, -2)
            share = self.gate(stacked.flatten(-2), keep).softmax(-1)
            fused = (stacked * share.unsqueeze(-1)).sum(-2)
        return fused

    def _across_time(self, cls: Tensor, h: Tensor, attended: Tensor, keep: Keep) -> Tensor:
        h = torch.cat([cls.to(h.dtype).expand(*h.shape[:-2], 1, -1), h], -2)
        allowed = torch.cat([torch.ones_like(attended[..., :1]), attended], -1).unsqueeze(-2)
        if self.causal:
            steps = h.shape[-2]
            allowed = allowed & torch.ones(steps, steps, dtype=torch.bool, device=h.device).tril()
        for layer in self.layers:
            h = layer(h, allowed.unsqueeze(-3), keep)
        return h[..., 1:, :]


def encoding(day: Tensor, width: int) -> Tensor:
    """Sines and cosines of the day `[T, width]` (Vaswani et al. 2017, with the day as position)."""
    rate = torch.exp(torch.arange(0, width, 2) * (-log(10_000.0) / width))
    angle = day.double().unsqueeze(-1) * rate
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(-2).float()


class _Two(nn.Module):
    """Two linear layers with a ReLU and dropout between them."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(inputs, hidden), nn.Linear(hidden, outputs)

    def forward(self, x: Tensor, keep: Keep) -> Tensor:
        return _linear(self.second, keep(torch.relu(_linear(self.first, x))))


class _Layer(nn.TransformerEncoderLayer):
    """Torch's layer, normed after the sum, but for dropout, which is given to it."""

    def __init__(self, width: int) -> None:
        super().__init__(width, _HEADS, 4 * width, activation="gelu", batch_first=True)

    def forward(self, h: Tensor, allowed: Tensor, keep: Keep) -> Tensor:  # type: ignore[override]
        h = self.norm1(h + keep(self._attend(h, allowed, keep)))
        inner = keep(nn.functional.gelu(_linear(self.linear1, h)))
        out: Tensor = self.norm2(h + keep(_linear(self.linear2, inner)))
        return out

    def _attend(self, h: Tensor, allowed: Tensor, keep: Keep) -> Tensor:
        own = self.self_attn
        weight = own.in_proj_weight
        qkv = nn.functional.linear(h.to(weight.dtype), weight, own.in_proj_bias)
        parts = qkv.view(*h.shape[:-1], 3, _HEADS, -1).transpose(-4, -2)  # [.., head, qkv, L, d]
        q, k, v = parts.float().unbind(-3)
        scores = (q @ k.transpose(-2, -1)) / sqrt(q.shape[-1])
        share = keep(scores.masked_fill(~allowed, _NEVER).softmax(-1))
        return _linear(own.out_proj, (share @ v).transpose(-3, -2).flatten(-2))


class _Mlp(nn.Module):
    """What such a layer does after attention, to each step by itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner, self.norm = _Two(width, 4 * width, width), nn.LayerNorm(width)

    def forward(self, h: Tensor, keep: Keep) -> Tensor:
        out: Tensor = self.norm(h + keep(self.inner(h, keep)))
        return out


def _linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """In the precision of the layer's weights."""
    return nn.functional.linear(x.to(layer.weight.dtype), layer.weight, layer.bias)


def _token(width: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(width) * 0.02)
