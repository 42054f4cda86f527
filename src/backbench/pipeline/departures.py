"""Where a board does not answer the task as its file has it."""

from collections.abc import Iterator
from dataclasses import replace

from backbench.leaderboard import Board
from backbench.leaderboard.entry import plain
from backbench.pipeline.question import resolve_task
from backbench.tasks import Protocol, Task
from backbench.tasks.protocol import MEASURED


def departures(board: Board, own: Task, source: str) -> tuple[str, ...]:
    """`head knn`, `variant half`, `head.lr=0.01`: for a reader who knows the task file.

    Args:
        board: its rows, and the metrics it was asked for.
        own: the task as its file has it.
        source: that file, a packaged name or a path.
    """
    return tuple(_words(board, own, source)) if board.protocol else ()


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
