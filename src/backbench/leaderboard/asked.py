"""What a board is asked about: the runs that may answer, and how near to it they are."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from backbench.heads import HEADS, settings_of
from backbench.leaderboard.entry import Entry, variant_fields
from backbench.tasks import Protocol, Task
from backbench.tasks.protocol import MEASURED, below, flatten

_FIRM = ("permute_labels",)


@dataclass(frozen=True)
class Asked:
    """A resolved task as a question to runs.

    Attributes:
        protocol: what the task says; samples and folds are not known before they are read.
        varied: fields that its variant names.
        firm: dotted fields that were named when it was asked; runs that differ in one are no
            answer. In all others a run may differ, but the nearest ones are taken.
    """

    protocol: Protocol
    varied: tuple[str, ...] = ()
    firm: tuple[str, ...] = _FIRM

    @classmethod
    def of(cls, task: Task, named: Iterable[str] = ()) -> "Asked":
        """The question of a resolved task; labels that are permuted are always asked for."""
        return cls(Protocol.stated(task), variant_fields(task, task.variant), (*_FIRM, *named))

    def differences(
        self, entry: Entry, free: Iterable[str] = ("metrics",)
    ) -> dict[str, tuple[str, str]]:
        """Fields in which a run differs from the question: (the run's, the one asked for)."""
        return entry.protocol.differences(self.protocol, free=(*free, *MEASURED))

    def departures(self, entry: Entry) -> int:
        """In how many fields a run differs from the question, were it asked with the run's head."""
        asked = self.protocol
        if entry.head in HEADS and asked.fields.get("head.kind") != json.dumps(entry.head):
            other = flatten(
                {"head": {"kind": entry.head, **asdict(settings_of({"kind": entry.head}))}}
            )
            kept = {name: v for name, v in asked.fields.items() if not below(name, ("head",))}
            asked = Protocol(kept | other)
        return len(entry.protocol.differences(asked, free=("metrics", *MEASURED)))

    def refuses(self, entry: Entry) -> dict[str, tuple[str, str]]:
        """Those of the differences that make a run no answer."""
        found = self.differences(entry)
        return {name: pair for name, pair in found.items() if below(name, self.firm)}
