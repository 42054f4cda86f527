"""PostgreSQL of the service: what is in it, out of it, into it."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backbench.errors import StorageError
from backbench.pipeline.service_programs import postgres_folder
from backbench.pipeline.service_settings import Settings

DATABASES = ("mlflow", "mlflow_auth")
_COMPOSE = (("docker", "compose"), ("docker-compose",), ("podman-compose",))

Content = dict[str, tuple[int, str]]  # table -> rows, sum over its rows of a hash of the row


def content(connection: Any) -> Content:  # noqa: ANN401 - a psycopg connection
    """Rows and an order-free checksum of every table, as the transaction sees them."""
    names = connection.execute(
        "SELECT table_name FROM information_schema.tables "
        "WHERE table_schema = 'public' AND table_type = 'BASE TABLE' ORDER BY table_name"
    ).fetchall()
    return {name: _table(connection, name) for (name,) in names}


@contextmanager
def transaction(settings: Settings, database: str) -> Iterator[Any]:
    """One read-only snapshot of a database.

    Raises:
        StorageError: it cannot be reached.
    """
    import psycopg

    try:
        connection = psycopg.connect(settings.database_uri(database), connect_timeout=10)
    except psycopg.OperationalError as error:
        said = str(error).splitlines()[0].rpartition("failed: ")[2]  # never with the password
        raise StorageError(
            f"PostgreSQL at 127.0.0.1:{settings['SERVICE_DATABASE_PORT']} cannot be used ({said}): "
            "start the service first, with the .env its data were made with."
        ) from None
    with connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        yield connection


def dump(settings: Settings, database: str, path: Path, *, compose: bool) -> Content:
    """Write `pg_dump`'s custom format to `path`; return the content of the very same snapshot."""
    with transaction(settings, database) as connection:
        (snapshot,) = connection.execute("SELECT pg_export_snapshot()").fetchone()
        with path.open("wb") as file:
            _run(
                settings, compose, "pg_dump", f"--snapshot={snapshot}", "--format=custom",
                "--no-owner", f"--dbname={_address(settings, database)}", stdout=file,
            )  # fmt: skip
        return content(connection)


def load(settings: Settings, database: str, path: Path, *, compose: bool) -> Content:
    """Replace the database with a dump, all or nothing; return what it holds afterwards."""
    with path.open("rb") as file:
        _run(
            settings, compose, "pg_restore", "--clean", "--if-exists", "--no-owner",
            "--single-transaction", "--exit-on-error",
            f"--dbname={_address(settings, database)}", stdin=file,
        )  # fmt: skip
    with transaction(settings, database) as connection:
        return content(connection)


def runs(settings: Settings) -> int:
    """How many runs the tracking server has; 0 where it never started."""
    with transaction(settings, "mlflow") as connection:
        (table,) = connection.execute("SELECT to_regclass('public.runs')").fetchone()
        return int(connection.execute("SELECT count(*) FROM runs").fetchone()[0]) if table else 0


def _table(connection: Any, name: str) -> tuple[int, str]:  # noqa: ANN401 - psycopg
    from psycopg import sql

    # 60 bits of MD5 a row; a sum does not depend on the order of the rows.
    query = sql.SQL(
        "SELECT count(*), coalesce(sum(('x' || left(md5(t::text), 15))::bit(60)::bigint), 0) "
        "FROM {} AS t"
    ).format(sql.Identifier(name))
    rows, checksum = connection.execute(query).fetchone()
    return int(rows), str(checksum)


def _address(settings: Settings, database: str) -> str:
    """Without the password, which goes through PGPASSWORD: `ps` shows arguments."""
    return f"postgresql://mlflow@127.0.0.1:{settings['SERVICE_DATABASE_PORT']}/{database}"


def _run(settings: Settings, compose: bool, program: str, *arguments: str, **files: Any) -> None:  # noqa: ANN401, FBT001
    """Run a program of PostgreSQL, in the container (same address, same version) or here."""
    command = _in_container(settings, program) if compose else [str(postgres_folder() / program)]
    environment = os.environ | {"PGPASSWORD": settings["SERVICE_DATABASE_PASSWORD"]}
    done = subprocess.run(  # noqa: S603 - PostgreSQL's own programs
        [*command, *arguments], env=environment, cwd=settings.folder, check=False,
        stderr=subprocess.PIPE, **files,
    )  # fmt: skip
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise StorageError(f"{program} failed: {lines[0][:300] if lines else done.returncode}.")


def _in_container(settings: Settings, program: str) -> list[str]:
    """The command that runs `program` in the database's container, by the Compose that reaches it.

    A machine may have several, of which one runs this service.
    """
    for compose in filter(lambda command: shutil.which(command[0]), _COMPOSE):
        inside = [*compose, "exec", "-T", "database"]
        asked = subprocess.run(  # noqa: S603 - Compose
            [*inside, "true"], cwd=settings.folder, check=False, capture_output=True
        )
        if not asked.returncode:
            return [*inside, program]
    names = ", ".join(" ".join(command) for command in _COMPOSE)
    raise StorageError(
        f"none of {names} reaches a container `database` of {settings.folder.resolve()}: start the "
        "service there first, or leave out --compose."
    )
