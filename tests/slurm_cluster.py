"""A real SLURM on this machine: munged, slurmctld, several slurmds, and slurmdbd with MariaDB.

`cluster(...)` is a context manager; a test skips with the reason where a program is missing.
"""

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from servers import free_port, running, wait_until

PROGRAMS = ("munged", "mungekey", "slurmctld", "slurmd", "sbatch", "squeue")
ACCOUNTING = ("slurmdbd", "sacctmgr", "sacct", "mariadbd", "mariadb-install-db")

CONF = """
ClusterName=bench
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobCompType=jobcomp/none
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
KillWait={kill_wait}
MaxArraySize=1001
MinJobAge={min_job_age}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
WITH_ACCOUNTING = """
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={dbd_port}
AccountingStoragePass={folder}/munge.sock
AccountingStorageEnforce=associations,limits,qos
"""
DBD_CONF = """
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={dbd_port}
SlurmUser={user}
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={sql_port}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct
"""
SQL = """CREATE DATABASE slurm_acct;
CREATE USER slurm@localhost IDENTIFIED BY 'slurm';
GRANT ALL ON slurm_acct.* TO slurm@localhost;
"""


@dataclass(frozen=True)
class Cluster:
    """A running cluster; its commands need `SLURM_CONF`."""

    folder: Path
    nodes: tuple[str, ...]

    @property
    def conf(self) -> Path:
        return self.folder / "slurm.conf"

    def __call__(self, *words: object) -> str:
        """What one of SLURM's programs prints."""
        environment = os.environ | {"SLURM_CONF": str(self.conf)}
        done = subprocess.run(
            list(map(str, words)), env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout.strip()

    def live(self) -> list[str]:
        """Tasks that wait or run, as `12_3|STATE`."""
        return self("squeue", "-h", "-r", "-o", "%i|%T").split()

    def wait(self, seconds: float = 240) -> None:
        """Until nothing waits or runs any more."""
        deadline = time.monotonic() + seconds
        while self.live():
            assert time.monotonic() < deadline, self("squeue", "-r")
            time.sleep(0.1)

    def clear(self) -> None:
        """Nothing in the queue, every node in service."""
        self("scancel", "--user", getpass.getuser())
        self.wait()
        with suppress(AssertionError):  # refused where it is in service already
            self("scontrol", "update", f"nodename={','.join(self.nodes)}", "state=resume")


@contextmanager
def cluster(
    nodes: int = 2, *, accounting: bool = False, kill_wait: int = 5, min_job_age: int = 300
) -> Iterator[Cluster]:
    """A cluster of its own, in a short folder (socket names have a limit)."""
    needed = (*PROGRAMS, *(ACCOUNTING if accounting else ()))
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    if absent := [name for name in needed if shutil.which(name, path=path) is None]:
        pytest.skip(
            f"no {', '.join(absent)}: apt-get install slurm-wlm munge slurmdbd mariadb-server"
        )
    folder = Path(tempfile.mkdtemp(prefix="bb-slurm-"))
    values = {
        "folder": folder, "host": socket.gethostname().split(".")[0], "user": getpass.getuser(),
        "port": free_port(), "dbd_port": free_port(), "sql_port": free_port(),
        "kill_wait": kill_wait, "min_job_age": min_job_age,
    }  # fmt: skip
    names = tuple(f"n{number}" for number in range(1, nodes + 1))
    made = Cluster(folder, names)
    made.conf.write_text(
        CONF.format(**values)
        + (WITH_ACCOUNTING.format(**values) if accounting else "")
        + "".join(
            f"NodeName={name} NodeHostname={values['host']} NodeAddr=127.0.0.1 "
            f"Port={free_port()} CPUs=1 State=UNKNOWN\n"
            for name in names
        )
    )
    (folder / "state").mkdir()
    environment = os.environ | {"SLURM_CONF": str(made.conf), "PATH": path}
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        _munge(stack, folder, environment)
        if accounting:
            _accounting(stack, folder, environment, values)
        _start(stack, ["slurmctld", "-D"], folder, environment, lambda: _succeeds("scontrol ping"))
        for name in names:
            stack.enter_context(
                running(["slurmd", "-D", "-N", name], environment, folder / f"{name}.out")
            )
        _until(lambda: made("sinfo", "-h", "-t", "idle", "-o", "%D") == str(nodes))
        stack.callback(_empty, made)
        yield made


def _munge(stack: ExitStack, folder: Path, environment: dict[str, str]) -> None:
    key = folder / "munge.key"
    subprocess.run(["mungekey", "-c", "-k", str(key)], env=environment, check=True)
    command = [
        "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.sock",
        f"--pid-file={folder}/munge.pid", f"--log-file={folder}/munge.log",
        f"--seed-file={folder}/munge.seed", "--num-threads=4",
    ]  # fmt: skip
    _start(stack, command, folder, environment, (folder / "munge.sock").exists)


def _accounting(stack: ExitStack, folder: Path, environment: dict[str, str], values: dict) -> None:
    data, user = folder / "sql", getpass.getuser()
    common = ["--no-defaults", f"--datadir={data}", f"--user={user}"]
    subprocess.run(
        ["mariadb-install-db", *common, "--skip-test-db",
         "--auth-root-authentication-method=normal"],
        env=environment, check=True, capture_output=True,
    )  # fmt: skip
    script = folder / "init.sql"
    script.write_text(SQL)
    _start(
        stack,
        ["mariadbd", *common, f"--port={values['sql_port']}", "--bind-address=127.0.0.1",
         f"--socket={folder}/sql.sock", f"--init-file={script}",
         "--innodb-flush-log-at-trx-commit=0"],
        folder, environment, lambda: _listens(values["sql_port"]),
    )  # fmt: skip
    conf = folder / "slurmdbd.conf"
    conf.write_text(DBD_CONF.format(**values))
    conf.chmod(0o600)
    _start(stack, ["slurmdbd", "-D"], folder, environment, lambda: _listens(values["dbd_port"]))
    for words in (
        "add cluster bench",
        "add account lab Cluster=bench",
        f"add user {user} Account=lab",
    ):
        subprocess.run(
            ["sacctmgr", "-i", *words.split()], env=environment, check=True, capture_output=True
        )


def _start(stack: ExitStack, command: list, folder: Path, environment: dict, ready) -> None:
    log = folder / f"{command[0]}.out"
    process = stack.enter_context(running(command, environment, log, cwd=folder))
    wait_until(lambda: _with(environment, ready), process, log, seconds=120)


def _with(environment: dict[str, str], ready) -> bool:
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = environment["SLURM_CONF"]
    try:
        return bool(ready())
    finally:
        os.environ.pop("SLURM_CONF")
        if before:
            os.environ["SLURM_CONF"] = before


def _succeeds(command: str) -> bool:
    done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
    return done.returncode == 0 and "UP" in done.stdout


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _until(ready, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _empty(made: Cluster) -> None:
    """Jobs first, then the daemons: a job would outlive them."""
    made.clear()
