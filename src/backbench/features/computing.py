"""The network over the pending samples: workers decode ahead, a thread writes behind."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backbench.backbones import Backbone, device, supports_bf16
from backbench.features import heap, provenance
from backbench.features.forward import TRIAL_ROWS, Forward, at_once
from backbench.features.loading import Batch, Pictures, batches, sensible_workers
from backbench.features.options import Options
from backbench.features.progress import Meter
from backbench.features.shards import Index, ShardedFile
from backbench.features.sharing import Unclaimed
from backbench.features.store import Header, Session
from backbench.features.trial import FEWEST_BATCHES, Decoding, choose_decoding, rehearsal
from backbench.features.writing import Finished, Writer
from backbench.samples import Samples

if TYPE_CHECKING:
    import torch

_FULL = Decoding(None, "full: fp32 was asked for")
_WORKER_START_SECONDS = 1.0


@dataclass(frozen=True)
class Computed:
    """What a pass over pending samples left behind.

    Attributes:
        count: rows that are stored now.
        failures: unreadable samples, by row, with the reason.
        session: provenance, with the final speed.
    """

    count: int
    failures: dict[int, str]
    session: Session


def compute(
    samples: Samples, pending: list[int], backbone: Backbone, file: ShardedFile, options: Options
) -> Computed:
    """Compute and store the features of the rows `pending`.

    Raises:
        FeatureError: NaN or infinite features, or one picture exceeds the memory.
        StorageError: the disk is full.
    """
    try:
        return _compute(samples, pending, backbone, file, options)
    finally:
        heap.give_back()


def _compute(
    samples: Samples, pending: list[int], backbone: Backbone, file: ShardedFile, options: Options
) -> Computed:
    size, where = options.batch_size or backbone.batch_size, device()
    together = options.batch_size or at_once(where, size)
    forward = Forward(backbone.module, where, together)
    pictures = Pictures(samples.source, backbone.transform)
    seconds = _rehearse(pictures, pending, forward, backbone.input_size)
    exact = options.precision == "fp32"
    before = None if exact else _short_cut(file.index())
    transform = backbone.identity.transform
    trial = partial(choose_decoding, pictures, pending[:size], forward, transform)
    few = len(pending) < FEWEST_BATCHES * size
    decoding = _FULL if exact else _decoding(trial, before, few=few)
    pictures = Pictures(samples.source, backbone.transform, decoding.min_side)
    height, width = backbone.input_size
    workers = _workers(
        options,
        len(pending),
        seconds,
        batch_bytes=size * 3 * height * width * 4,
        apart=forward.device.type != "cpu",
    )
    session = _session(backbone, forward, decoding, workers)
    order = Unclaimed(file, samples.ids.tolist(), pending, size, session["id"], exact=exact)
    title = f"{backbone.identity.name} on {samples.name}"
    with (
        batches(pictures, order, workers=workers, pin=forward.device.type == "cuda") as stream,
        Meter(title, len(pending), options.console) as meter,
    ):
        told = (meter, session, decoding.cosine, together)
        precision = _precision(options, before, where)
        job = _Job(samples, backbone, file, options, precision, forward, *told)
        return job.run(stream)


def _session(backbone: Backbone, forward: Forward, decoding: Decoding, workers: int) -> Session:
    return provenance.begin_session(
        device=str(forward.device),
        decoding=decoding.note,
        min_side=decoding.min_side or 0,
        batch_size=forward.batch_size,
        workers=workers,
        checkpoint=backbone.identity.checkpoint,
        backbone=backbone.identity.backbone,
        loaded=dict(backbone.loaded),
    )


@dataclass
class _Job:
    """One pass: batches in, shards out."""

    samples: Samples
    backbone: Backbone
    file: ShardedFile
    options: Options
    precision: str
    forward: Forward
    meter: Meter
    session: Session
    decoding_cosine: float
    at_once: int

    def run(self, stream: Iterator[Batch]) -> Computed:
        failures: dict[int, str] = {}
        try:
            with Writer(self.file, self._header(), self._as_of_now) as writer:
                for batch in stream:
                    failures |= dict(batch.failures)
                    if batch.pixels is not None:
                        self._one(batch, batch.pixels, writer)
        except KeyboardInterrupt:
            self.meter.say(
                f"interrupted: {self.meter.done} new samples of {self.samples.name} are kept; "
                "the same command goes on from there."
            )
            raise
        return Computed(self.meter.done, failures, self._as_of_now())

    def _one(self, batch: Batch, pixels: "torch.Tensor", writer: Writer) -> None:
        first = not self.meter.done
        X = self._first(pixels) if first else self.forward(pixels)
        if self.forward.batch_size < self.at_once:
            self.at_once = self.forward.batch_size
            name = self.backbone.identity.name
            self.meter.say(f"memory    {name}: ran out; {self.at_once} pictures at once from here")
        writer.put(Finished(self._facts(batch), X))
        self.meter.advance(len(batch.rows))
        if first:
            self.meter.restart()

    def _facts(self, batch: Batch) -> pd.DataFrame:
        sizes, times = np.array(batch.stats, np.int64).T
        ids = self.samples.ids[batch.rows]
        return pd.DataFrame(
            {"sample_id": ids, "content_sha256": batch.hashes, "size": sizes, "mtime_ns": times}
        )

    def _header(self) -> Header:
        row = self.backbone
        identity = row.identity.to_dict()
        dtype = self.options.dtype
        return Header(identity, row.identity.key, row.dim, dtype, row.parameters, row.licence)

    def _as_of_now(self) -> dict[str, Any]:
        return self.session | {
            "precision": self.forward.precision,
            "batch_size": self.forward.batch_size,
            "precision_note": self.forward.note,
            "images_per_second": round(self.meter.rate, 3),
        }

    def _first(self, pixels: "torch.Tensor") -> NDArray[np.float32]:
        """Features of the first batch, which decides on the precision."""
        wanted, forward = self.precision, self.forward
        if wanted == "fp32" or not self.backbone.parameters:
            return forward(pixels)
        if wanted == "auto" and not supports_bf16(forward.device):
            forward.note = f"fp32: {forward.device} has no bf16 units"
            return forward(pixels)
        if wanted == "auto" and self.meter.total < FEWEST_BATCHES * len(pixels):
            forward.note = "fp32: too few pictures for a trial of bf16"
            return forward(pixels)
        X = forward.try_bf16(pixels, only_if_faster=wanted == "auto", so_far=self.decoding_cosine)
        self.meter.say(f"precision {self.backbone.identity.name}: {forward.note}")
        return X


def _rehearse(
    pictures: Pictures, pending: list[int], forward: Forward, size: tuple[int, int]
) -> tuple[float, float]:
    """Warm up on a few pictures; seconds a picture for loading and for the network."""
    few = pending[:TRIAL_ROWS] if len(pending) > TRIAL_ROWS else pending[:1]
    pixels, loading = rehearsal(pictures, few, size)
    return loading, forward.rehearse(pixels)


def _short_cut(stored: Index) -> Session | None:
    """Of the sessions that took one, that with most rows; None where all rows are exact."""
    taken = stored.rows["session"].to_numpy(np.int64)[~stored.exact]
    return stored.sessions[np.bincount(taken).argmax()] if len(taken) else None


def _decoding(trial: Callable[..., Decoding], before: Session | None, *, few: bool) -> Decoding:
    side = before.get("min_side", 0) if before else None
    if side == 0:
        return Decoding(None, "full: as that of the stored rows")
    if side is None and few:
        return Decoding(None, "full: too few pictures for a trial of reduced scale")
    return trial(side)


def _precision(options: Options, before: Session | None, where: "torch.device") -> str:
    """What is wanted: in doubt that of stored rows, so that all come out as if made in one go."""
    known = str(before.get("precision")) if before else "auto"
    possible = known != "bf16" or supports_bf16(where)
    return known if options.precision == "auto" and possible else options.precision


def _workers(
    options: Options, count: int, seconds: tuple[float, float], *, batch_bytes: int, apart: bool
) -> int:
    if options.workers is not None:
        return options.workers
    if count * seconds[0] < _WORKER_START_SECONDS:
        return 0  # a process takes longer to start than all of the loading
    return sensible_workers(*seconds, batch_bytes, apart=apart)
