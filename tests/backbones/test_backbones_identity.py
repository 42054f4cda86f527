"""The key of a vector space, and how it is remembered without loading anything."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from backbench.backbones import (
    BACKBONES,
    Identity,
    called,
    identify,
    load_backbone,
    memory,
    prefetch,
)
from backbench.backbones.assembly import Wanted
from backbench.files.home import home
from tiny_hub import FLOATING, snapshot_of, weights_file

PLAIN = Identity(
    backbone="clip",
    checkpoint="default",
    weights="ab" * 32,
    representation={"library": "timm", "dim": 3, "revision": "1"},
    transform={"size": [2, 2]},
)
TEXT = st.text(max_size=5)


@pytest.fixture
def own_hub(hub, tmp_path, monkeypatch):
    """A copy of the tiny cache that a test may change."""
    root = tmp_path / "own"
    shutil.copytree(hub, root)
    monkeypatch.setenv("HF_HOME", str(root))
    return root


@given(backbone=TEXT, checkpoint=TEXT, revision=TEXT)
def test_names_and_revision_do_not_move_the_key(backbone, checkpoint, revision):
    table = PLAIN.to_dict() | {"backbone": backbone, "checkpoint": checkpoint}
    table["representation"] = {**PLAIN.representation, "revision": revision}
    assert Identity.from_dict(table).key == PLAIN.key


@pytest.mark.parametrize(
    "change",
    [
        {"weights": "cd" * 32},
        {"representation": {"library": "timm", "dim": 4, "revision": "1"}},
        {"transform": {"size": [2, 3]}},
        {"transform": {"size": [2, 2], "mean": [0.5]}},
    ],
)
def test_everything_else_moves_the_key(change):
    assert Identity.from_dict(PLAIN.to_dict() | change).key != PLAIN.key


def test_the_key_is_sixteen_digits_and_stays_through_json():
    again = Identity.from_dict(json.loads(json.dumps(PLAIN.to_dict())))
    assert again == PLAIN
    assert again.key == PLAIN.key
    assert len(PLAIN.key) == 16
    int(PLAIN.key, 16)


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_identify_says_what_loading_says(hub, name):
    cold = identify(name)
    assert identify(name) == cold == load_backbone(name).identity


def test_spaces_of_different_rows_are_different(hub):
    keys = [identify(name).key for name in BACKBONES]
    keys += [identify("efficientnet_lite0", "untrained").key, identify("pixels", "rgb-32").key]
    assert len(set(keys)) == len(keys)


def test_a_warm_identity_imports_no_torch(hub):
    identify("clip"), identify("efficientnet_lite0", "untrained")
    code = (
        "import sys; from backbench.backbones import identify;"
        "print(identify('clip').key, identify('efficientnet_lite0', 'untrained').key);"
        "sys.exit('torch' in sys.modules or 'huggingface_hub' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=False
    )
    assert done.returncode == 0, done.stderr
    keys = [identify("clip").key, identify("efficientnet_lite0", "untrained").key]
    assert done.stdout.split() == keys


def test_a_changed_weights_file_is_noticed(own_hub):
    before = identify("bioclip2")
    path = weights_file(own_hub, "bioclip2")
    state = load_file(path)
    state["visual.ln_post.bias"] += 1
    save_file(state, path)
    os.utime(path, ns=(1, 1))
    assert identify("bioclip2").key != before.key


def test_a_changed_processor_is_noticed(own_hub):
    before = identify("clip")
    path = snapshot_of(own_hub, BACKBONES["clip"].model) / "preprocessor_config.json"
    path.write_text(path.read_text().replace('"resample": 3', '"resample": 2 '))
    os.utime(path, ns=(1, 1))
    after = identify("clip")
    assert after.key != before.key
    assert after.weights == before.weights


def test_a_moved_main_is_noticed(own_hub):
    """`convnextv2` pins no commit: its `main` may move."""
    before = identify("convnextv2")
    folder = own_hub / "hub" / f"models--timm--{BACKBONES['convnextv2'].model}"
    new = folder / "snapshots" / ("b" * 40)
    shutil.copytree(folder / "snapshots" / FLOATING, new)
    state = load_file(new / "model.safetensors")
    state["head.norm.bias"] += 1
    save_file(state, new / "model.safetensors")
    (folder / "refs" / "main").write_text("b" * 40)
    os.utime(folder / "refs" / "main", ns=(1, 1))
    after = identify("convnextv2")
    assert after.key != before.key
    assert (before.representation["revision"], after.representation["revision"]) == (
        FLOATING,
        "b" * 40,
    )


def test_another_hub_cache_is_another_memory(own_hub, hub, monkeypatch):
    mine = identify("dinov2")
    path = weights_file(own_hub, "dinov2")
    state = load_file(path)
    state["layernorm.bias"] += 1
    save_file(state, path)
    os.utime(path, ns=(1, 1))
    changed = identify("dinov2")
    assert changed.key != mine.key
    monkeypatch.setenv("HF_HOME", str(hub))
    assert identify("dinov2").key == mine.key


def test_the_same_relative_path_elsewhere_is_another_checkpoint(tmp_path, monkeypatch):
    import timm

    keys = []
    for seed in (1, 2):
        folder = tmp_path / str(seed)
        folder.mkdir()
        torch.manual_seed(seed)
        torch.save(timm.create_model("test_resnet").state_dict(), folder / "w.pt")
        monkeypatch.chdir(folder)
        keys.append(identify("timm:test_resnet.r160_in1k", "w.pt").key)
    assert keys[0] != keys[1]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"identity": 3}'])
def test_a_damaged_memory_is_made_again(content):
    before = identify("pixels")
    (file,) = (home() / "identities").iterdir()
    file.write_text(content)
    assert identify("pixels") == before
    assert memory.recall(BACKBONES["pixels"], Wanted()) == before


def test_another_library_version_is_asked_again(hub):
    identify("clip")
    row = BACKBONES["clip"]
    path = memory._path(row, Wanted())
    note = json.loads(path.read_text())
    note["versions"]["transformers"] = "4.0.0"
    path.write_text(json.dumps(note))
    assert memory.recall(row, Wanted()) is None


def test_prefetch_lists_the_files_a_backbone_needs(hub):
    files = prefetch("clip")
    names = {file.name for file in files}
    assert {"config.json", "model.safetensors", "preprocessor_config.json"} <= names
    assert all(file.is_file() for file in files)


def test_a_home_that_cannot_be_written_does_not_stop_loading(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("BACKBENCH_HOME", str(blocked / "home"))
    assert load_backbone("pixels").dim == 1024


@pytest.mark.parametrize(
    ("checkpoint", "name"),
    [
        ("default", "clip"),
        ("untrained", "clip untrained"),
        ("models/finetuned.pt", "clip finetuned.pt"),
        ("s3://bucket/a/finetuned.pt", "clip finetuned.pt"),
    ],
)
def test_a_checkpoint_is_named_unless_it_is_the_usual_one(checkpoint: str, name: str):
    assert called("clip", checkpoint) == name
