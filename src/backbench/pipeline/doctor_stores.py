"""Checks of what runs talk to: tracker, registry, bucket, clocks, weights, feature files."""

import os
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

from backbench.backbones import identify, spelled
from backbench.errors import TrackingError, UnreachableError
from backbench.features import exchange, store
from backbench.features.provenance import IMPORTED
from backbench.files import bucket, home, s3_address
from backbench.files.switches import OFFLINE, environment, is_offline
from backbench.pipeline.doctor_finding import Asked, Finding, bad, nothing, well
from backbench.runs import health
from backbench.runs.pages import ui_root
from backbench.samples.load import set_name

MOST_SKEW = 60.0
"""Seconds; S3 refuses signatures from 900 on, and the order of runs suffers long before."""

_OFFLINE = nothing("not asked: BACKBENCH_OFFLINE is set")
_UNMADE = "will be made by the first run"
_BUCKET_VARIABLES = ("S3_BUCKET", "B2_BUCKET")


def tracker(asked: Asked) -> Finding:
    """The server answers and takes a tag."""
    if is_offline():
        return _OFFLINE
    if health.is_unmade():
        return well(f"{health.store()} {_UNMADE}")
    return well(
        f"{health.store()} answers; wrote to experiment {health.write_tag(asked.task.name)}"
    )


def registry(_: Asked) -> Finding:
    """The registry takes a model."""
    if is_offline():
        return _OFFLINE
    if health.is_unmade():
        return well(_UNMADE)
    count = health.write_registry()
    return well(f"writable; {count} registered model{'' if count == 1 else 's'}")


def objects(asked: Asked) -> Finding:
    """An object is put, read in a range, and deleted."""
    place = _bucket(asked)
    if place is None:
        if s3_address.endpoint():
            return nothing("an endpoint is set, but no bucket is named: S3_BUCKET names one to try")
        return nothing("none is configured")
    uri = f"{place}/backbench-doctor-{uuid.uuid4().hex}"
    content = uuid.uuid4().bytes * 4
    bucket.put_bytes(content, uri)
    try:
        part = bucket.read(uri, 16, 8)
    finally:
        bucket.delete(uri)
    if part != content[16:24]:
        return bad(
            f"{place} answers a ranged read with other bytes: does a proxy before it drop the "
            "Range header?"
        )
    return well(f"{place} at {s3_address.endpoint_shown()}: put, ranged read, delete")


def _bucket(asked: Asked) -> str | None:
    named = next((os.environ[name] for name in _BUCKET_VARIABLES if os.environ.get(name)), None)
    if named:
        return f"s3://{named.removeprefix('s3://').strip('/')}"
    if is_offline() or health.is_unmade():
        return None
    try:
        root = health.artifact_bucket(asked.task.name)
    except TrackingError:
        return None  # the line of the tracker says so
    return root.rstrip("/") if root else None


def clocks(_: Asked) -> Finding:
    """The servers' Date headers against the clock of this machine."""
    skews = dict(_skews())
    if not skews:
        return nothing("no server to compare with")
    for name, skew in skews.items():
        if abs(skew) > MOST_SKEW:
            way = "ahead of" if skew < 0 else "behind"
            return bad(
                f"this machine is {abs(skew):.0f} s {way} the {name}, and a store refuses "
                "signatures from 900 s on: set the clock (timedatectl set-ntp true)."
            )
    return well(", ".join(f"{abs(skew):.0f} s from the {name}" for name, skew in skews.items()))


def _skews() -> Iterator[tuple[str, float]]:
    """Server minus local time in seconds."""
    if not is_offline() and ui_root():
        yield from _skew("tracking server", _tracking_date())
    if endpoint := s3_address.endpoint():
        yield from _skew("object store", _date_of(endpoint))


def _skew(name: str, date: str | None) -> Iterator[tuple[str, float]]:
    if date:
        # The header has whole seconds, cut off.
        yield name, parsedate_to_datetime(date).timestamp() + 0.5 - time.time()


def _tracking_date() -> str | None:
    try:
        return health.server_date()
    except UnreachableError:
        return None  # the line of the tracker says so


def _date_of(url: str) -> str | None:
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - http or https, checked
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            return str(answer.headers["Date"] or "")
    except urllib.error.HTTPError as error:
        return str(error.headers["Date"] or "")
    except OSError:
        return None  # the line of the bucket says so


def weights(asked: Asked) -> Finding:
    """Every backbone can be used here without a network."""
    wanted = asked.backbones or tuple(_with_features(set_name(asked.task)))
    if not wanted:
        return nothing("no features of this task here yet; name backbones with --backbones")
    with environment({OFFLINE: "1"}):
        for name, checkpoint in wanted:
            identify(name, checkpoint)
    return well(f"usable offline: {', '.join(spelled(*pair) for pair in wanted)}")


def _with_features(samples: str) -> Iterator[tuple[str, str]]:
    """Backbones whose features of these samples are here, but for imported ones."""
    seen = set()
    for path in sorted((home.features_folder() / samples).glob("*.h5")):
        identity = store.read_header(path)[0].identity
        pair = (str(identity["backbone"]), str(identity["checkpoint"]))
        imported = identity["representation"].get("library") == IMPORTED
        if not imported and pair not in seen:
            seen.add(pair)
            yield pair


def feature_files(asked: Asked) -> Finding:
    """Headers and ids of all feature files; with `verify` every byte of them."""
    paths = sorted(home.features_folder().glob("*/*.h5"))
    if not paths:
        return nothing(f"none in {home.features_folder()}")
    rows = 0
    for path in paths:
        found, problems = _whole(path) if asked.verify else (len(store.read_table(path)), ())
        if problems:
            return bad(f"{path}: {problems[0]}. Move it away and extract again.")
        rows += found
    how = "every checksum right" if asked.verify else "headers and ids read; --verify reads all"
    return well(f"{len(paths)} files, {rows} rows ({how})")


def _whole(path: Path) -> tuple[int, tuple[str, ...]]:
    report = exchange.verify(path)
    return report.rows, report.problems
