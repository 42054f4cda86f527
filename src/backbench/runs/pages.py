"""Web pages of the tracking server."""

from backbench.runs.connection import tracking_uri
from backbench.runs.redact import redacted


def ui_root() -> str | None:
    """Where the web pages of the server begin; None where no server is involved."""
    uri = tracking_uri().rstrip("/")
    return redacted(uri) if uri.startswith(("http://", "https://")) else None


def ui_link(experiment_id: str, run_id: str, root: str | None) -> str | None:
    """Where the web page of a run is, below `ui_root`."""
    return root and f"{root}/#/experiments/{experiment_id}/runs/{run_id}"
