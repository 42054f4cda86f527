"""What a site says of itself: `slurm/site.env`, read once and handed to every task resolved."""

import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from importlib.resources import files
from pathlib import Path

from backbench.errors import SchedulerError, unknown
from backbench.runs.redact import redacted

PREFIX = "BACKBENCH_"
HERE = Path("slurm") / "site.env"
_LINE = re.compile(r"(?:export\s+)?([A-Za-z_]\w*)=(.*)")
_WHOLE = ("max_jobs", "limit", "cpus")
_OF_THE_NODE = ("setup", "scratch")


@dataclass(frozen=True)
class Site:
    """The settings of `site.env`; each is `BACKBENCH_<NAME>` there, and empty where not set.

    Attributes:
        account, partition, qos, gpus, cpus, memory, time: of `sbatch`, a task.
        cpu_partition: for evaluate and leaderboard, which use no GPU.
        sbatch: further options of sbatch, as one would type them.
        modules: what `module load` gets before a task.
        venv: the environment with `backbench`; else the one that submits.
        setup: a line of shell run before a task.
        scratch: where a task puts temporary files; its variables are those of the node.
        proxy: for http and https; may hold a password.
        max_jobs: tasks that may be submitted at once.
        limit: tasks of an array that may run at once.
        offline: `1` where compute nodes do not reach the tracking server.
    """

    account: str = ""
    partition: str = ""
    cpu_partition: str = ""
    qos: str = ""
    gpus: str = ""
    cpus: str = ""
    memory: str = ""
    time: str = ""
    sbatch: str = ""
    modules: str = ""
    venv: str = ""
    setup: str = ""
    scratch: str = ""
    proxy: str = ""
    max_jobs: str = ""
    limit: str = ""
    offline: str = ""

    @classmethod
    def read(cls, path: Path | None) -> "Site":
        """The settings of a file: the one given, else `slurm/site.env` here, else no settings.

        Raises:
            SchedulerError: there is no such file, or a line of it is wrong.
        """
        path = path or (HERE if HERE.is_file() else packaged("site.env"))
        try:
            text = path.read_text()
        except OSError as error:
            raise SchedulerError(
                f"cannot read {path}: {error.strerror}. Name the site's settings with --site."
            ) from None
        return replace(cls(), **_checked(dict(_settings(path, text)), path))

    @property
    def is_offline(self) -> bool:
        """Whether tasks record to the spool only."""
        return self.offline == "1"

    def text(self) -> str:
        """A file that bash sources; every variable is set."""
        known = replace(self, venv=self.venv or sys.prefix)
        lines = (f"{_name(f.name)}={shlex.quote(getattr(known, f.name))}\n" for f in fields(self))
        return "".join(lines)


def packaged(name: str) -> Path:
    """A file of the folder `slurm/`, as it is installed with the package."""
    return Path(str(files("backbench") / "pipeline" / "slurm_files" / name))


def _settings(path: Path, text: str) -> Iterator[tuple[str, str]]:
    known = {_name(field.name): field.name for field in fields(Site)}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line.strip())
        if not found:
            raise SchedulerError(
                f"line {number} of {path} is no NAME=value: {redacted(line.strip())}"
            )
        if found[1] not in known:
            raise SchedulerError(f"line {number} of {path}: {unknown('setting', found[1], known)}")
        yield known[found[1]], _value(found[2], f"line {number} of {path}", known[found[1]])


def _value(written: str, where: str, name: str) -> str:
    try:
        words = shlex.split(written, comments=True)
    except ValueError as error:
        raise SchedulerError(f"{where}: {error}.") from None
    if len(words) > 1:
        raise SchedulerError(f"{where}: put a value of several words in quotes.")
    value = "".join(words)
    if name in _OF_THE_NODE:
        return value
    resolved = os.path.expanduser(os.path.expandvars(value))  # noqa: PTH111 - of any text
    if "$" in resolved:
        raise SchedulerError(f"{where}: '{redacted(value)}' names a variable that is not set.")
    return resolved


def _checked(values: Mapping[str, str], path: Path) -> Mapping[str, str]:
    for name in _WHOLE:
        value = values.get(name, "")
        if value and not (value.isdecimal() and int(value)):
            raise SchedulerError(f"{_name(name)} in {path} is '{value}'; give a whole number.")
    if values.get("offline", "") not in ("", "0", "1"):
        raise SchedulerError(f"{_name('offline')} in {path} is '{values['offline']}'; give 0 or 1.")
    return values


def _name(field: str) -> str:
    return PREFIX + field.upper()
