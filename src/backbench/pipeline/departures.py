"""Where a board does not answer the task as its file, or its samples, are now."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from shlex import quote

from backbench.backbones import spelled
from backbench.leaderboard import Board
from backbench.leaderboard.entry import plain
from backbench.leaderboard.words import listed
from backbench.pipeline.question import resolve_task
from backbench.tasks import Protocol, Task
from backbench.tasks.protocol import MEASURED, SAMPLES


def departures(board: Board, own: Task, source: str) -> tuple[str, ...]:
    """`head knn`, `variant half`, `head.lr=0.01`: for a reader who knows the task file.

    Args:
        board: its rows, and the metrics it was asked for.
        own: the task as its file has it.
        source: that file, a packaged name or a path.
    """
    return tuple(_words(board, own, source)) if board.protocol else ()


def outdated(board: Board, own: Task, source: str, overrides: Sequence[str] = ()) -> str:
    """A sentence where a run later than all rows has other samples: these rows answer for old ones.

    Args:
        board: its rows and what is not ranked.
        own: the task as its file has it.
        source: that file, a packaged name or a path.
        overrides: `field=value`s the board was asked with.
    """
    newest = max((row.entry.started for row in board.rows), default=0)
    later = [u.entry for u in board.unranked if SAMPLES in u.fields and u.entry.started > newest]
    if not later or not board.rows:
        return ""
    names = listed(list(dict.fromkeys(entry.name for entry in later)))
    again = " && ".join(_again(board, own, source, overrides))
    return (
        f"But these rows are of older samples: the pictures, labels or groups of the later run of "
        f"{names} are other ones. Run all rows again: {again}"
    )


def _again(board: Board, own: Task, source: str, overrides: Sequence[str]) -> Iterator[str]:
    """A command for the rows of each variant and head."""
    asked: dict[tuple[str, str], list[str]] = {}
    for entry in (row.entry for row in board.rows):
        spec = spelled(entry.backbone, entry.checkpoint)
        asked.setdefault((entry.variant, entry.head), []).append(spec)
    for (variant, head), specs in asked.items():
        known = variant in own.variants
        usual = resolve_task(source, variant=variant).head["kind"] if known else own.head["kind"]
        options = {
            "task": source,
            "backbones": ",".join(specs),
            "head": head if head != usual else "",
            "variant": variant,
            "set": ";".join(overrides),
        }
        words = [f"--{name} {quote(value)}" for name, value in options.items() if value]
        yield " ".join(["backbench run", *words])


def _words(board: Board, own: Task, source: str) -> Iterator[str]:
    row = board.rows[0].entry
    variant = row.variant if board.compare != "variants" else ""
    if variant in own.variants:
        own = resolve_task(source, variant=variant)
    if variant:
        yield f"variant {variant}"
    if board.compare != "heads" and row.head != own.head["kind"]:
        yield f"head {row.head}"
        own = replace(own, head=resolve_task(source, head=row.head).head)
    for name, (here, _) in (
        _answered(board).differences(Protocol.stated(own), free=(*MEASURED, *_along(board))).items()
    ):
        yield f"{name}={plain(here)}"


def _answered(board: Board) -> Protocol:
    """What the rows were made with, and the metrics that are asked of them now."""
    assert board.protocol is not None
    kept = {k: v for k, v in board.protocol.fields.items() if not k.startswith("metrics.")}
    asked = Protocol.stated(board.task).fields
    return Protocol({**kept, **{k: v for k, v in asked.items() if k.startswith("metrics.")}})


def _along(board: Board) -> tuple[str, ...]:
    """The fields in which rows may differ."""
    varied = (name for row in board.rows for name in row.entry.varied)
    return {"backbones": (), "variants": tuple(varied), "heads": ("head",)}[board.compare]
