"""A hub cache of tiny models, and an environment that sees nothing else."""

from pathlib import Path

import pytest

from tiny_hub import build_tiny_hub


@pytest.fixture(scope="session")
def tiny_hub(tmp_path_factory) -> Path:
    """The cache of `tests/tiny_hub.py`, made once; a test that changes it takes a copy."""
    root = tmp_path_factory.mktemp("hub")
    build_tiny_hub(root)
    return root


@pytest.fixture(autouse=True)
def offline_machine(tmp_path, monkeypatch) -> Path:
    """No network, an empty hub cache and an empty home."""
    for name in ("HF_HUB_CACHE", "HF_ENDPOINT", "BACKBENCH_DEVICE", "BACKBENCH_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "empty"))
    monkeypatch.setenv("BACKBENCH_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.fixture
def hub(tiny_hub, monkeypatch) -> Path:
    """The tiny cache as this machine's; ConvNeXt V2 base is the tiny one."""
    from tiny_hub import shrink_convnextv2

    monkeypatch.setenv("HF_HOME", str(tiny_hub))
    shrink_convnextv2(monkeypatch)
    return tiny_hub
