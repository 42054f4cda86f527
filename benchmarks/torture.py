"""SIGKILL at random moments over extract, train_fold, evaluate, leaderboard and sync.

    python benchmarks/torture.py [--kills 200] [--each 2] [--seed 0] [--json PATH]

Each world is an empty home, folder and SQLite store. Each command is killed at moments drawn
uniformly from the time it takes, then run to its end. After every kill and at the end: no feature
file is corrupted, no finished row, shard or run is gone, none is computed again, and the summary is
that of a world without kills. Commands run in forks of a process that has imported everything, so
that moments fall into the work and not into imports; shards hold 8 rows instead of 4,096.
"""

import argparse
import importlib
import json
import os
import pkgutil
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads do not live through a fork
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import backbench
from backbench.features import exchange
from backbench.features.shards import ShardedFile
from small_task import small_task

COMMANDS = ("extract", "train-fold", "evaluate", "leaderboard", "sync")
SPOOLED = 12
SHARD_ROWS, BATCH = 8, "4"
_HEAVY = (
    *("torch", "mlflow", "mlflow.pyfunc", "mlflow.store.tracking.sqlalchemy_store", "alembic"),
    *("mlflow.store.model_registry.sqlalchemy_store", "mlflow.store.artifact.local_artifact_repo"),
    *("sklearn.linear_model", "matplotlib.pyplot", "pyarrow.parquet", "safetensors.numpy"),
)
_UNITS = {"1": range(4), "2": range(4)}  # seeds and folds of the small task


@dataclass
class World:
    """A machine of its own; `rows` and `runs` are what it has finished so far."""

    folder: Path
    rows: dict[str, str] = field(default_factory=dict)
    runs: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    @classmethod
    def made(cls, folder: Path, template: Path | None) -> "World":
        if template is None:
            folder.mkdir()
            small_task(folder)
        else:
            shutil.copytree(template, folder)
        return cls(folder)

    def run(self, command: str, after: float | None = None) -> int | None:
        """The command's exit status; None where it was killed `after` seconds."""
        pid = os.fork()
        if not pid:
            self._become(command)
        if after is not None:
            time.sleep(after)
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        return None if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)

    def _become(self, command: str) -> None:
        """In the child: be a shell's `backbench <command>` in this world."""
        os.setsid()
        said = os.open(self.folder / "said.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(said, 1)
        os.dup2(said, 2)
        with self.entered():
            os._exit(_status_of(lambda: _do(command, self.folder)))

    @contextmanager
    def entered(self) -> Iterator[None]:
        for name in [n for n in os.environ if n.startswith(("MLFLOW_", "BACKBENCH_", "AWS_"))]:
            del os.environ[name]
        os.environ |= {
            "BACKBENCH_HOME": str(self.folder / "home"),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "BACKBENCH_DEVICE": "cpu",
        }
        os.chdir(self.folder)
        yield

    def look(self) -> None:
        """Compare what is there with what was finished before, and remember what has come."""
        rows, runs = dict(self._rows()), self._spooled() | set(self.served())
        changed = [name for name, session in self.rows.items() if rows.get(name) != session]
        gone = sorted(name for name in changed if name not in rows)
        self.problems += [f"lost row {name}" for name in gone]
        self.problems += [f"computed row {name} again" for name in set(changed) - set(gone)]
        self.problems += [f"lost run {identity}" for identity in self.runs - runs]
        self.rows, self.runs = rows, self.runs | runs

    def _rows(self) -> Iterator[tuple[str, str]]:
        """`sample -> session that computed it`; every file is read whole."""
        found = self.folder.glob("home/features/*/[!.]*.h5*")
        for path in {each.with_name(each.name.removesuffix(".parts")) for each in found}:
            for file in [path, *path.with_name(f"{path.name}.parts").glob("[!.]*.h5")]:
                if file.is_file() and (problems := exchange.verify(file).problems):
                    self.problems.append(f"corrupted {file}: {problems[0]}")
            key = path.stem.rpartition("-")[2]
            index = ShardedFile(path, key).index()
            for sample, session in zip(index.rows["sample_id"], index.rows["session"], strict=True):
                yield f"{path.stem}/{sample}", str(index.sessions[int(session)]["id"])

    def _spooled(self) -> set[str]:
        records = self.folder.glob("home/spool/[!.]*/record.json")
        return {json.loads(path.read_text())["identity"] for path in records}

    def served(self) -> dict[str, dict[str, str]]:
        """`identity -> tags` of the whole runs of the server, read without MLflow."""
        path = self.folder / "mlflow.db"
        if not path.exists():
            return {}
        found: dict[str, dict[str, str]] = {}
        with sqlite3.connect(path, timeout=30) as database:
            for run, name, value in database.execute(
                "SELECT t.run_uuid, t.key, t.value FROM tags t JOIN runs r USING (run_uuid) "
                "WHERE r.lifecycle_stage = 'active' AND r.status = 'FINISHED'"
            ):
                found.setdefault(run, {})[name] = value
        database.close()
        whole = [each for each in found.values() if each.get("backbench.recorded") == "true"]
        doubled = [n for n, k in Counter(t["backbench.identity"] for t in whole).items() if k > 1]
        self.problems += [f"two runs of identity {identity}" for identity in doubled]
        return {each["backbench.identity"]: each for each in whole}

    def summary(self) -> dict[str, float]:
        """The numbers of the evaluate run."""
        with sqlite3.connect(self.folder / "mlflow.db") as database:
            return dict(
                database.execute(
                    "SELECT m.key, m.value FROM latest_metrics m JOIN tags t USING (run_uuid) "
                    "WHERE t.key = 'backbench.stage' AND t.value = 'evaluate' "
                    "AND m.key NOT LIKE '%seconds%'"
                )
            )

    def check_end(self, summary: dict[str, float]) -> None:
        """Everything is on the server, once, with the numbers of an undisturbed world."""
        self.look()
        served = list(self.served().values())
        stages = Counter(each.get("backbench.stage") for each in served)
        expected = {"extract": 1, "evaluate": 1, "torture": SPOOLED}
        if wrong := {s: stages[s] for s, count in expected.items() if stages[s] != count}:
            self.problems.append(f"runs by stage: {wrong}, expected {expected}")
        trained = [
            (each["backbench.seed"], fold)
            for each in served
            if each.get("backbench.stage") == "train_fold"
            for fold in _unspelled(each["backbench.fold"])
        ]
        if Counter(trained) != Counter((s, f) for s, folds in _UNITS.items() for f in folds):
            self.problems.append(f"units trained: {sorted(trained)}")
        if self._spooled():
            self.problems.append("runs are left in the spool after sync")
        own = self.summary()
        if own.keys() != summary.keys() or any(abs(own[k] - summary[k]) > 1e-6 for k in summary):
            self.problems.append(f"another summary: {own}")


def _unspelled(folds: str) -> Iterator[int]:
    for span in folds.split(","):
        first, _, last = span.partition("-")
        yield from range(int(first), int(last or first) + 1)


def _do(command: str, folder: Path) -> None:
    """What the child runs: a command line, or the making of a spool."""
    from backbench.cli import main
    from backbench.features import writing

    writing.SHARD_ROWS = SHARD_ROWS
    if command == "spool":
        _fill_spool()
        return
    arguments = {
        "extract": ["--backbone", "pixels", "--batch-size", BATCH],
        "train-fold": ["--backbone", "pixels"],
        "evaluate": ["--backbone", "pixels"],
    }.get(command, [])
    task = [] if command == "sync" else ["--task", str(folder / "small.toml")]
    main([command, *arguments, *task])


def _fill_spool() -> None:
    from backbench.runs import recording

    os.environ["BACKBENCH_OFFLINE"] = "1"
    for number in range(SPOOLED):
        about = {"backbench.stage": "torture"}
        with recording(experiment="spooled", name=f"run {number}", tags=about) as run:
            for step in range(44):
                run.log_metric("accuracy", step / 44, step=step)
            run.artifact("oof/predictions.txt").write_text("p" * 1000)


def _status_of(action: Callable[[], None]) -> int:
    try:
        action()
    except SystemExit as stop:
        return int(stop.code or 0)
    except BaseException:  # noqa: BLE001 - a child that ends here has to say why
        import traceback

        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def _import_everything() -> None:
    """What commands import late, so that a kill falls into work."""
    found = pkgutil.walk_packages(backbench.__path__, "backbench.")
    for name in [*_HEAVY, *(each.name for each in found if "served_model" not in each.name)]:
        importlib.import_module(name)


def _undisturbed(folder: Path) -> tuple[Path, dict[str, float], dict[str, float]]:
    """A world to begin from, seconds a command takes, and the summary at the end."""
    template = World.made(folder / "template", None)
    if template.run("spool"):
        raise SystemExit((template.folder / "said.log").read_text())
    world, seconds = World.made(folder / "undisturbed", template.folder), {}
    for command in COMMANDS:
        start = time.monotonic()
        if world.run(command):
            raise SystemExit((world.folder / "said.log").read_text())
        seconds[command] = time.monotonic() - start
    summary = world.summary()
    world.check_end(summary)
    if world.problems:
        raise SystemExit("\n".join(world.problems))
    return template.folder, seconds, summary


@dataclass(frozen=True)
class Found:
    """What happened; `corrupted`, `lost` and `computed_again` count among the problems."""

    kills: int
    worlds: int
    by_command: dict[str, int]
    corrupted: int
    lost: int
    computed_again: int
    problems: list[str]

    @property
    def counts(self) -> dict[str, int]:
        """All that is a number."""
        kills_in = {f"kills_in_{name}": count for name, count in self.by_command.items()}
        return {n: v for n, v in asdict(self).items() if isinstance(v, int)} | kills_in


def torture(kills: int, each: int, seed: int, folder: Path) -> Found:
    """Kill, look, finish, until `kills` have hit, at most `each` a command and world."""
    _import_everything()
    template, seconds, summary = _undisturbed(folder)
    chance, worlds = random.Random(seed), 0
    problems: list[str] = []
    hits: Counter[str] = Counter()
    while hits.total() < kills:
        world = World.made(folder / f"world{worlds}", template)
        world.look()
        worlds += 1
        for command in COMMANDS:
            for _ in range(each):
                if hits.total() == kills:
                    break
                hits[command] += world.run(command, chance.uniform(0, seconds[command])) is None
                world.look()
            if status := world.run(command):
                said = (world.folder / "said.log").read_text()[-2000:]
                world.problems.append(f"{command} ended with {status} after kills:\n{said}")
            world.look()
        world.check_end(summary)
        problems += world.problems
        shutil.rmtree(world.folder)
        print(f"world {worlds}: {hits.total()} kills, {len(problems)} problems", flush=True)
    return Found(
        kills=hits.total(),
        worlds=worlds,
        by_command=dict(hits),
        corrupted=sum(p.startswith("corrupted") for p in problems),
        lost=sum(p.startswith("lost") for p in problems),
        computed_again=sum(p.startswith(("computed", "units")) for p in problems),
        problems=problems,
    )


def main() -> int:
    """Print what was found; status 1 where anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--each", type=int, default=2, help="kills a command in one world")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    target = arguments.json.resolve() if arguments.json else None
    with tempfile.TemporaryDirectory() as folder:
        found = torture(arguments.kills, arguments.each, arguments.seed, Path(folder))
    for name, value in found.counts.items():
        print(f"{name:36} {value:10d}")
    for problem in found.problems:
        print(problem)
    if target:
        target.write_text(json.dumps(asdict(found), indent=2) + "\n")
    return 1 if found.problems else 0


if __name__ == "__main__":
    sys.exit(main())
