"""doctor: one line a check, with the cure where it fails. A check is a row of the table."""

import os
from collections.abc import Callable, Mapping, Sequence

from backbench.backbones import parse_backbone
from backbench.errors import BackbenchError
from backbench.files.switches import environment
from backbench.pipeline import doctor_machine as machine
from backbench.pipeline import doctor_stores as stores
from backbench.pipeline.console import say
from backbench.pipeline.doctor_finding import Asked, Finding, bad
from backbench.runs.redact import redacted
from backbench.tasks import load_task

Check = Callable[[Asked], Finding]

CHECKS: Mapping[str, Check] = {
    "versions": machine.versions,
    "credentials": machine.credentials,
    "tracker": stores.tracker,
    "registry": stores.registry,
    "bucket": stores.objects,
    "clocks": stores.clocks,
    "weights": stores.weights,
    "features": stores.feature_files,
    "devices": machine.devices,
    "disk": machine.disk,
    "SLURM": machine.slurm,
    "spool": machine.spooled,
}

_HURRIED = {
    "AWS_MAX_ATTEMPTS": "2",
    "BACKBENCH_S3_CONNECT_SECONDS": "5",
    "BACKBENCH_S3_READ_SECONDS": "10",
    "BACKBENCH_TRACKING_TIMEOUT": "5",
}
"""Somebody waits for the answer, and one that needs eight attempts is an answer too: so long, where
the user has not said how long."""


def doctor(task: str, backbones: Sequence[str] = (), *, verify: bool = False) -> bool:
    """Run all checks and print a line for each; no secret is printed.

    Args:
        task: a packaged task or a path.
        backbones: `backbone` or `backbone=checkpoint`; else those whose features are here.
        verify: read feature files whole.

    Returns:
        Whether all is well.

    Raises:
        TaskError: no such task, or a backbone is misspelt.
    """
    asked = Asked(load_task(task), tuple(map(parse_backbone, backbones)), verify)
    findings = []
    with environment({n: value for n, value in _HURRIED.items() if n not in os.environ}):
        for name, check in CHECKS.items():
            finding = _of(check, asked)
            say(redacted(f"{finding.mark:3} {name:11} {finding.text}"))
            findings.append(finding)
    wrong = sum(finding.mark == "bad" for finding in findings)
    say(f"{wrong} of {len(findings)} checks failed." if wrong else "All is well.")
    return not wrong


def _of(check: Check, asked: Asked) -> Finding:
    try:
        return check(asked)
    except BackbenchError as error:
        return bad(str(error))
