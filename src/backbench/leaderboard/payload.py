"""What the page draws, as JSON values: numbers rounded, NaN as null."""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backbench.errors import counted
from backbench.leaderboard.answer import gaps, notes, units
from backbench.leaderboard.board import Board
from backbench.leaderboard.entry import COSTS
from backbench.leaderboard.row import Row
from backbench.leaderboard.words import axis_word, guard_label, listed, metric_label
from backbench.metrics import Comparison, Estimate, confusion
from backbench.metrics.breakdown import of_classes, of_groups
from backbench.metrics.separation import VERDICTS

_MOST_GROUPS = 300
_MOST_CLASSES = 60
_LABELS: Mapping[str, str] = {
    "train_runs": "Training runs",
    "extract_runs": "Extraction runs",
    "features": "Features key",
    "weights": "Weights (sha256)",
    "representation": "Representation",
    "transform": "Transform",
    "manifest": "Manifest",
    "licence": "Licence of the weights",
    "git": "Git commit",
}


def payload(board: Board) -> dict[str, Any]:
    """The board for `board.js`."""
    return {
        "compare": axis_word(board.compare).capitalize(),
        "primary": board.primary,
        "metrics": [_metric(board, name) for name in _shown(board)],
        "chance": _rounded(board.chance),
        "rope": board.task.metrics.rope,
        "rankingLead": _lead(board),
        "costs": [{"key": k, "label": w, "more": more} for k, (w, more) in COSTS.items()],
        "rows": [_row(board, index) for index in range(len(board.rows))],
        "pairs": _pairs(board),
        "unranked": [
            {
                "name": u.entry.name,
                "run": u.entry.run_id,
                "link": _web(u.entry.link),
                "reason": u.reason,
            }
            for u in board.unranked
        ],
        "notes": notes(board),
        **_axes(board),
    }


def _shown(board: Board) -> list[str]:
    return [metric.name for metric in board.metrics]


def _lead(board: Board) -> str:
    tied = sum(row.first == 1 for row in board.rows)
    blue = f"the {tied} blue rows may each be first" if tied > 1 else "the blue row is first"
    return f"Dot and bar are the score and its 95% interval; {blue}. Press a name for its details."


def _metric(board: Board, name: str) -> dict[str, Any]:
    metric = next(metric for metric in board.metrics if metric.name == name)
    better = "Higher" if metric.higher_is_better else "Lower"
    return {
        "key": name,
        "label": metric_label(name),
        "higher": metric.higher_is_better,
        "about": f"{metric.definition} {better} is better.",
        "digits": board.digits(name),
    }


def _axes(board: Board) -> dict[str, Any]:
    if not board.rows:
        return {"classes": [], "folds": [], "groups": 0}
    one = board.rows[0].predictions
    return {
        "classes": list(one.classes),
        "folds": _fold_names(board),
        "groups": len(one.group_names),
    }


def _fold_names(board: Board) -> list[str]:
    """The group where a fold tests just one, else the number."""
    one = board.rows[0].predictions
    tested = {int(fold): np.unique(one.group[one.fold == fold]) for fold in np.unique(one.fold)}
    single = len(tested) > 1 and all(len(groups) == 1 for groups in tested.values())
    return [str(groups[0]) if single else str(fold) for fold, groups in sorted(tested.items())]


def _row(board: Board, index: int) -> dict[str, Any]:
    row, entry = board.rows[index], board.rows[index].entry
    parts = [entry.backbone, entry.checkpoint, entry.head, entry.variant]
    return {
        "index": index,
        "name": row.name,
        "about": _about(board, row),
        "search": " ".join([row.name, *parts]).lower(),
        "rank": row.rank,
        "first": row.first,
        "last": row.last,
        "best": row.to_best is None,
        "toBest": _compared(row.to_best) if row.to_best else None,
        "basis": _basis(board, row),
        "scores": {name: _scores(one) for name, one in row.estimates.items()},
        "cost": {k: _rounded(entry.cost[k]) for k in COSTS if _finite(entry.cost.get(k))},
        "flags": [g.to_dict() | {"words": guard_label(g.name), "number": 0} for g in row.guards],
        "folds": _folds(board, row),
        **_drill_down(row),
        "lineage": _lineage(row),
    }


def _about(board: Board, row: Row) -> str:
    """What distinguishes the row and is not in its name already."""
    parts = [str(getattr(row.entry, field)) for field in board.varying]
    return " · ".join(p for p in parts if p not in ("", "default") and p not in row.name)


def _scores(one: Estimate) -> list[Any]:
    return [*map(_rounded, (one.value, one.low, one.high, one.seed_std)), _remark(one)]


def _remark(one: Estimate) -> str:
    return "; ".join(gaps(one) or [one.note] * bool(one.note))


def _basis(board: Board, row: Row) -> str:
    one = row.estimates[board.primary]
    parts = [units(board), counted(one.folds, "fold"), counted(one.seeds, "seed")]
    return listed(parts)


def _compared(one: Comparison) -> list[Any]:
    figures = map(_rounded, (one.difference, one.low, one.high, one.p_adjusted))
    return [*figures, one.verdict]


def _pairs(board: Board) -> list[list[list[Any]]]:
    """The upper triangle: `pairs[i][k]` is row i against row i + 1 + k."""
    names = [row.name for row in board.rows]
    return [_against(board, name, names[i + 1 :]) for i, name in enumerate(names)]


def _against(board: Board, name: str, others: list[str]) -> list[list[Any]]:
    """One row against others, as `_compared` gives one."""
    assert board.pairs is not None
    found = board.pairs.seen([(name, other) for other in others])
    figures = (found.difference, found.low, found.high, found.p_adjusted)
    columns = zip(*(column.tolist() for column in figures), found.verdict.tolist(), strict=True)
    return [[*map(_rounded, line), VERDICTS[verdict]] for *line, verdict in columns]


def _folds(board: Board, row: Row) -> list[float | None]:
    """The primary metric in each fold, the form over folds aside."""
    assert board.pairs is not None
    return [_rounded(value) for value in board.pairs.by_fold(row.name).tolist()]


def _drill_down(row: Row) -> dict[str, Any]:
    predictions = row.predictions
    classes, groups = of_classes(predictions), of_groups(predictions)
    # The groups are sorted by name, and stay so among equals.
    hardest = np.argsort(groups["accuracy"], kind="stable")[:_MOST_GROUPS]
    single = bool((groups["samples"] == 1).all())
    by_class = _lines(classes[name] for name in ("precision", "recall", "f1", "support"))
    by_group = _lines(groups[name][hardest] for name in ("group", "samples", "accuracy"))
    return {
        "perClass": [[*map(_rounded, figures), n] for *figures, n in by_class],
        "groups": [] if single else [[g, n, _rounded(a)] for g, n, a in by_group],
        "confusion": _confusion(row) if len(predictions.classes) <= _MOST_CLASSES else None,
    }


def _lines(columns: Iterable[NDArray[Any]]) -> list[tuple[Any, ...]]:
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _confusion(row: Row) -> list[list[float]]:
    """Whole numbers where every seed agrees, for a smaller page."""
    matrix = confusion(row.predictions).round(1)
    return [[int(n) if n == int(n) else float(n) for n in line] for line in matrix]


def _lineage(row: Row) -> list[list[Any]]:
    entry, lineage = row.entry, row.entry.lineage
    links: Mapping[str, str] = lineage.get("links", {})
    lines: list[list[Any]] = [["Evaluation run", [[entry.run_id, _web(entry.link)]]]]
    order = [*_LABELS, *sorted(key for key in lineage if key not in (*_LABELS, "links"))]
    for key in order:
        value = lineage.get(key)
        if value in (None, "", [], (), {}):
            continue
        items = value if isinstance(value, list | tuple) else [value]
        shown = [[_text(item), _web(links.get(str(item)))] for item in items]
        lines.append([_LABELS.get(key, key.replace("_", " ").capitalize()), shown])
    return [*lines, ["Protocol", [[entry.protocol.hash, None]]]]


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(
            f"{k} {v if isinstance(v, str) else json.dumps(v)}" for k, v in value.items()
        )
    return str(value)


def _web(link: str | None) -> str | None:
    """Only web pages become links; `javascript:` and the like stay text."""
    return link if link and link.startswith(("http://", "https://")) else None


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _rounded(value: float) -> float | None:
    return float(f"{value:.5g}") if math.isfinite(value) else None
