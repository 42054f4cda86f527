"""The board as one self-contained HTML page: no network, works in a sandboxed frame and alone."""

import base64
import hashlib
import json
import re
from html import escape
from importlib.resources import files

from backbench.leaderboard.answer import answer, facts, question
from backbench.leaderboard.board import Board
from backbench.leaderboard.payload import payload
from backbench.leaderboard.tables import to_markdown


def to_html(board: Board) -> str:
    """The page; its script is allowed by hash, so nothing that a name carries can run."""
    script = _part("js")
    parts = {
        "title": escape(f"{board.task.name}: leaderboard"),
        "question": escape(question(board)),
        "answer": escape(answer(board)),
        "facts": escape(facts(board)),
        "footer": escape(_footer(board)),
        "plain": escape(to_markdown(board)),
        "css": _part("css"),
        "script_hash": _source_hash(script),
        "js": script,
        "data": as_script_data(payload(board)),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _part("html"))


def as_script_data(value: object) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _part(suffix: str) -> str:
    return (files("backbench.leaderboard") / f"board.{suffix}").read_text(encoding="utf-8")


def _source_hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _footer(board: Board) -> str:
    protocol = f"Protocol {board.protocol.hash}. " if board.protocol else ""
    licence = f"Licence of the samples: {board.task.licence}. " if board.task.licence else ""
    task = f"Task {board.task.name}, version {board.task.version}. "
    return f"{task}{protocol}{licence}Made by Backbench."
