"""The stress network and its training as one writes them: all steps, all views, one unit.

    python benchmarks/plain_stress.py PROBLEM.npz FOLD SEED EPOCHS

It is what the `stress` head is timed against, and what its tests check its numbers with.
"""

import sys
from math import log
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

MODALITIES = ("image", "fluor", "env", "vi")
Tensor = torch.Tensor
Arrays = dict[str, NDArray[Any]]
"""By name, as in the file of a problem."""


class Inputs(NamedTuple):
    """Dense arrays of N plants at T steps, `[N, T, ...]`; `day` is `[T]`."""

    views: Tensor
    seen: Tensor
    measured: list[Tensor]
    fluored: Tensor
    day: Tensor


class Plain(nn.Module):
    """Module by module as defined; `width` 128 and widths 768, 94, 5, 11 in the real one."""

    def __init__(self, widths: tuple[int, ...], width: int = 128, *, causal: bool = False) -> None:
        super().__init__()
        self.causal = causal
        self.query = nn.Parameter(torch.zeros(widths[0]))
        self.cls = nn.Parameter(torch.randn(width) * 0.02)
        self.project = nn.ModuleList(two(d, width, width) for d in widths)
        self.token = nn.ParameterList(torch.randn(width) * 0.02 for _ in range(2))
        self.gate = two(4 * width, 64, 4)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, 4, 4 * width, 0.1, "gelu", batch_first=True)
            for _ in range(2)
        )
        self.norm, self.head = nn.LayerNorm(width), two(width, width // 2, 1)

    def forward(
        self, views: Tensor, seen: Tensor, measured: list[Tensor], fluored: Tensor, day: Tensor
    ) -> Tensor:
        """Logits `[B, T]` of views `[B, T, V, D]` and measurements `[B, T, d]`."""
        imaged = seen.any(-1)
        scores = (views @ self.query / views.shape[-1] ** 0.5).masked_fill(~seen, -1e9)
        pooled = (scores.softmax(-1).unsqueeze(-1) * views).sum(2)
        e = [f(x) for f, x in zip(self.project, [pooled, *measured], strict=True)]
        for m, there in enumerate((imaged, fluored)):
            e[m] = torch.where(there.unsqueeze(-1), e[m], self.token[m].to(e[m].dtype))
        share = self.gate(torch.cat(e, -1)).softmax(-1)
        h = sum(share[..., m : m + 1] * e[m] for m in range(4)) + sines(day, e[0].shape[-1])
        h = torch.cat([self.cls.expand(len(h), 1, -1), h], 1)
        padded = torch.cat([torch.zeros(len(h), 1, dtype=torch.bool), ~(imaged | fluored)], 1)
        later = nn.Transformer.generate_square_subsequent_mask(h.shape[1]) < 0
        for layer in self.layers:
            h = layer(h, later if self.causal else None, src_key_padding_mask=padded)
        logits: Tensor = self.head(self.norm(h[:, 1:]))
        return logits.squeeze(-1)


def two(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Linear, ReLU, dropout, linear."""
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(), nn.Dropout(0.1), nn.Linear(hidden, outputs)
    )


def sines(day: Tensor, width: int) -> Tensor:
    """The encoding of days `[T, width]`."""
    angle = day[:, None] * torch.exp(torch.arange(0, width, 2) * (-log(1e4) / width))
    out = torch.zeros(len(day), width)
    out[:, 0::2], out[:, 1::2] = angle.sin(), angle.cos()
    return out


class Step:
    """A step of training: a call trains on rows; `of` is the loss of rows."""

    def __init__(self, data: Arrays, train: NDArray[np.int64]) -> None:
        self.inputs = prepare(data, train)
        self.y, self.scored = (
            torch.from_numpy(data[n].astype(np.float32)) for n in ("y", "scored")
        )
        self.model = Plain((data["X"].shape[1], *(x.shape[-1] for x in self.inputs.measured)))
        self.adamw = torch.optim.AdamW(self.model.parameters(), lr=1e-4, weight_decay=0.01)
        self.loss = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(1.5), reduction="none")

    def of(self, rows: Tensor) -> Tensor:
        """Mean over the scored steps, bf16 inside."""
        with torch.autocast("cpu", torch.bfloat16):
            z = ask(self.model, self.inputs, rows)
        mask = self.scored[rows]
        losses: Tensor = self.loss(z.float(), self.y[rows])
        return (losses * mask).sum() / mask.sum()

    def __call__(self, rows: Tensor) -> None:
        self.adamw.zero_grad()
        self.of(rows).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.adamw.step()


def fit(data: Arrays, fold: int, seed: int, epochs: int) -> NDArray[np.float32]:
    """Train one unit for so many epochs and give the test probabilities `[n, T]`."""
    torch.manual_seed(seed)
    train, val, test = (torch.from_numpy(data[f"{s}_{fold}"]) for s in ("train", "val", "test"))
    step = Step(data, train.numpy())
    warm = torch.optim.lr_scheduler.LinearLR(step.adamw, 0.01, total_iters=5)
    rest = torch.optim.lr_scheduler.CosineAnnealingLR(step.adamw, 95, 1e-6)
    schedule = torch.optim.lr_scheduler.SequentialLR(step.adamw, [warm, rest], [5])
    best, state = float("inf"), step.model.state_dict()
    for _ in range(epochs):
        step.model.train()
        for rows in torch.split(train[torch.randperm(len(train))], 16):
            step(rows)
        schedule.step()
        step.model.eval()
        with torch.no_grad():
            held = step.of(val).item()
        if held < best:
            best, state = held, {k: v.clone() for k, v in step.model.state_dict().items()}
    step.model.load_state_dict(state)
    with torch.no_grad():
        probabilities: NDArray[np.float32] = ask(step.model, step.inputs, test).sigmoid().numpy()
    return probabilities


def ask(model: Plain, inputs: Inputs, rows: Tensor) -> Tensor:
    """Logits of some rows."""
    views, seen, measured, fluored, day = inputs
    at_rows = [x[rows] for x in measured]
    logits: Tensor = model(views[rows], seen[rows], at_rows, fluored[rows], day)
    return logits


def prepare(data: Arrays, train: NDArray[np.int64]) -> Inputs:
    """The dense arrays that such a script makes once."""
    picture, X = data["picture"], data["X"]
    views = np.zeros((*picture.shape, X.shape[1]), np.float32)
    views[picture >= 0] = X[picture[picture >= 0]]
    measured = []
    for name in MODALITIES[1:]:
        x = np.where(data[f"{name}_observed"][..., None], data[name], np.nan)
        mean = np.nanmean(x[train], (0, 1))
        std = np.nanstd(x[train], (0, 1)) + 1e-8
        measured.append(torch.from_numpy(np.nan_to_num((x - mean) / std)).float())
    return Inputs(
        torch.from_numpy(views),
        torch.from_numpy(picture >= 0),
        measured,
        torch.from_numpy(data["fluor_observed"]),
        torch.from_numpy(data["day"]).float(),
    )


if __name__ == "__main__":
    path, fold, seed, epochs = sys.argv[1:]
    with np.load(path) as file:
        fit(dict(file), int(fold), int(seed), int(epochs))
