"""Checks of this machine: versions, credentials, devices, disk, SLURM, spool."""

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import backbench
from backbench.backbones import device, supports_bf16
from backbench.files import atomic, home
from backbench.pipeline.doctor_finding import Asked, Finding, bad, nothing, well
from backbench.runs import spool

LEAST_FREE = 2 << 30
_PAIRS = (
    ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"),
    ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    ("B2_APPLICATION_KEY_ID", "B2_APPLICATION_KEY"),
)
_NO_CONTROLLER = ("resolve_ctls_from_dns_srv", "Could not establish a configuration source")
_SINGLE = ("MLFLOW_TRACKING_TOKEN", "AWS_PROFILE", "AWS_SESSION_TOKEN", "HF_TOKEN")


def versions(_: Asked) -> Finding:
    """Every package the installation asks for, in a version it allows."""
    wrong = list(_unmet())
    if wrong:
        return bad(f"{'; '.join(wrong)}. Install again: pip install backbench (or make install).")
    told = [f"{name} {version(name)}" for name in ("torch", "mlflow")]
    return well(
        f"backbench {backbench.__version__}, Python {platform.python_version()}, {', '.join(told)}"
    )


def _unmet() -> Iterator[str]:
    from packaging.requirements import Requirement

    for line in requires("backbench") or ():
        needed = Requirement(line)
        if needed.marker and not needed.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(needed.name)
        except PackageNotFoundError:
            yield f"{needed.name} is not installed"
            continue
        if not needed.specifier.contains(found, prereleases=True):
            yield f"{needed.name} is {found}, but has to be {needed.specifier}"


def credentials(_: Asked) -> Finding:
    """Which variables are set, by name; half a pair never works."""
    there = {name for pair in _PAIRS for name in pair if os.environ.get(name)}
    for first, second in _PAIRS:
        if (first in there) != (second in there):
            has, lacks = (first, second) if first in there else (second, first)
            return bad(f"{has} is set, but {lacks} is not: export both or neither.")
    names = [name for pair in _PAIRS for name in pair if name in there]
    names += [name for name in _SINGLE if os.environ.get(name)]
    shared = os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
    names += [shared] if Path(shared).expanduser().is_file() else []
    return well(f"set: {', '.join(names)}") if names else nothing("none are set")


def devices(_: Asked) -> Finding:
    """Where networks run, and whether bfloat16 is computed natively there."""
    import torch

    where = device()
    kind = torch.cuda.get_device_name(where) if where.type == "cuda" else f"{os.cpu_count()} cores"
    native = "in hardware" if supports_bf16(where) else "emulated, so fp32 is used"
    return well(f"{where} ({kind}, {torch.get_num_threads()} threads); bf16 {native}")


def disk(_: Asked) -> Finding:
    """Room and permission to write where features and runs go."""
    told = []
    for what, folder in (("home", home.home()), ("here", Path.cwd())):
        atomic.check_folder(folder)
        place = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(place).free
        if free < LEAST_FREE:
            return bad(
                f"{_gib(free)} free in {place}, less than {_gib(LEAST_FREE)}: free some, or name "
                "another folder with BACKBENCH_HOME."
            )
        told.append(f"{_gib(free)} free in {folder} ({what})")
    return well(", ".join(told))


def slurm(_: Asked) -> Finding:
    """Whether the controller answers, where there is one."""
    program = shutil.which("sinfo")
    if program is None:
        return nothing("not installed")
    cure = "Is slurmctld up, and does this machine's slurm.conf name it? Try: scontrol ping."
    try:
        done = subprocess.run(  # noqa: S603 - found on PATH, no input
            [program, "--noheader", "--format=%P %a %D"],
            capture_output=True, text=True, timeout=10, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return bad(f"sinfo gave no answer in 10 seconds. {cure}")
    if any(mark in done.stderr for mark in _NO_CONTROLLER):
        return nothing("installed, but no slurm.conf names a controller")
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[0]
        return bad(f"sinfo failed: {reason}. {cure}")
    partitions = [line.split()[0] for line in done.stdout.splitlines() if line.strip()]
    return well(f"partitions {', '.join(partitions)}" if partitions else "it has no partitions")


def spooled(_: Asked) -> Finding:
    """Runs that the tracking server has not got yet."""
    waiting = len(spool.waiting())
    if waiting:
        runs = "1 run waits" if waiting == 1 else f"{waiting} runs wait"
        return bad(f"{runs} in {home.spool_folder()}: send them with backbench sync.")
    return well("empty")


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
