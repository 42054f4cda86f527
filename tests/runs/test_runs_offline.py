"""One word for no network, understood alike by bucket, hub and tracker."""

import pytest

from backbench.backbones import hub
from backbench.errors import StorageError, TrackingError
from backbench.files import bucket
from backbench.files.switches import is_offline
from backbench.runs import Tracker
from backbench.runs.sync import sync


@pytest.fixture(autouse=True)
def _hub_may_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")


@pytest.mark.parametrize("value", ["1", "true", "True", "yes", "on", " 1 "])
def test_every_spelling_holds_for_bucket_hub_and_tracker(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKBENCH_OFFLINE", value)
    assert hub.offline()
    assert Tracker().find({}) == []
    with pytest.raises(TrackingError, match="BACKBENCH_OFFLINE is set"):
        sync()
    with pytest.raises(StorageError, match="BACKBENCH_OFFLINE is set"):
        bucket.fetch("s3://samples/a.png")


@pytest.mark.parametrize("value", ["", "0", "false", "off"])
def test_anything_else_is_off_for_all(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKBENCH_OFFLINE", value)
    assert not is_offline()
    assert not hub.offline()
