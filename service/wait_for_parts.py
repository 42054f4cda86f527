# ruff: noqa: INP001 - a script of the containers
"""Wait until the database answers and the bucket takes, returns and removes an object.

Runs in the tracking server's image before its port opens: boto3 and SQLAlchemy are there, Backbench
is not. Prints one line and ends with status 1 when a part does not come up.
"""

import os
import sys
import time
import uuid
from collections.abc import Callable

PATIENCE_SECONDS = 120.0


def main() -> int:
    """Check both parts; the exit status."""
    lines = [wait("the database", database), wait("the bucket", bucket)]
    print("\n".join(lines), flush=True)  # noqa: T201 - a container's log
    return int(any(line.startswith("failed") for line in lines))


def wait(name: str, check: Callable[[], None]) -> str:
    """One line: `check` succeeded, or its last failure."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            check()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is reported below
            if time.monotonic() > deadline:
                return f"failed: {name} does not work ({reason(error)})"
            time.sleep(0.3)
        else:
            return f"ready: {name}"


def reason(error: Exception) -> str:
    """What PostgreSQL or the store said; else the kind of `error` alone.

    The text of other failures may quote an address with its password.
    """
    kind = type(error).__name__
    if code := getattr(error, "response", {}).get("Error", {}).get("Code"):
        return f"{kind}: {code}"
    if said := str(getattr(error, "orig", "")):
        return f"{kind}: {said.splitlines()[0].rpartition('failed: ')[2]}"
    return kind


def database() -> None:
    """Both databases answer."""
    import sqlalchemy

    backend = os.environ["MLFLOW_BACKEND_STORE_URI"]
    for uri in (backend, f"{backend}_auth"):
        engine = sqlalchemy.create_engine(uri, connect_args={"connect_timeout": 5})
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text("SELECT 1"))
        engine.dispose()


def bucket() -> None:
    """A PUT, a ranged GET and a DELETE: a store's health page says little about its bucket."""
    import boto3
    from botocore.config import Config

    config = Config(
        s3={"addressing_style": "path"},
        connect_timeout=5,
        read_timeout=10,
        signature_version="s3v4",
    )
    client = boto3.client("s3", endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"], config=config)
    place = {"Bucket": os.environ["SERVICE_STORE_BUCKET"], "Key": f".ready/{uuid.uuid4().hex}"}
    client.put_object(**place, Body=b"backbench")
    read = client.get_object(**place, Range="bytes=0-3")["Body"].read()
    client.delete_object(**place)
    if read != b"back":
        raise OSError("the bucket returned other bytes than it was given")


if __name__ == "__main__":
    sys.exit(main())
