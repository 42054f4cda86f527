"""Weights that are not here: fetched where there is a hub, else one clear line, at once."""

import hashlib
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from backbench.backbones import BACKBONES, bring, find, hub, identify, load_backbone
from backbench.backbones.hub import Repository
from backbench.errors import BackboneError, WeightsMissingError
from backbench.files import home
from tiny_hub import snapshot_of

HUB_ROWS = sorted(name for name, row in BACKBONES.items() if row.weights == "hub")


class TinyHubServer(BaseHTTPRequestHandler):
    """The two requests of a download, out of a cache folder; `root` and `gated` are set on it."""

    root = None
    gated = ()
    asked: list[str] = []  # noqa: RUF012 - one list for all requests is meant

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, *, body):
        self.asked.append(self.path)
        parts = self.path.strip("/").split("/")
        repo = "/".join(parts[:2])
        file = None
        if len(parts) == 5 and parts[2] == "resolve":
            try:
                file = snapshot_of(self.root, repo) / parts[4]
            except OSError:
                return self.refuse(404, "RepoNotFound")
        if repo in self.gated:
            return self.refuse(403, "GatedRepo")
        if file is None or not file.is_file():
            return self.refuse(404 if file else 200, "EntryNotFound")
        content = file.read_bytes()
        self.send_response(200)
        self.send_header("X-Repo-Commit", file.parent.name)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)
        return None

    def refuse(self, status, code):
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tiny_hub):
    handler = type("Handler", (TinyHubServer,), {"root": tiny_hub, "asked": [], "gated": ()})
    running = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield handler, f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    thread.join()
    running.server_close()


def online(code, url, tmp_path):
    """A fresh process with a network: the hub client reads its settings on import."""
    env = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
    env |= {"HF_ENDPOINT": url, "HF_HOME": str(tmp_path / "fetched")}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False
    )


PREFETCH = """
from backbench.backbones import identify, prefetch
from backbench.errors import BackboneError
for name in {names}:
    try:
        print(name, *(path.name for path in prefetch(name)), identify(name).key)
    except BackboneError as error:
        print(type(error).__name__, error)
"""


def test_with_a_network_weights_are_fetched_once_and_refusals_say_what_to_do(
    server, tmp_path, tiny_hub, monkeypatch
):
    """One process for all: it is the import of the libraries that takes the time."""
    handler, url = server
    handler.gated = ("facebook/dinov2-base",)
    names = ["clip", "bioclip", "dinov2", "hf:nobody/nothing"]
    done = online(PREFETCH.format(names=names), url, tmp_path)
    assert len(done.stdout.splitlines()) == 4, done.stdout + done.stderr
    clip, bioclip, gated, absent = done.stdout.splitlines()
    assert clip.startswith("clip config.json model.safetensors preprocessor_config.json")
    assert "open_clip_pytorch_model.bin" in bioclip, "it has no safetensors"
    assert f"/{BACKBONES['clip'].revision}/" in "".join(handler.asked), "the pinned commit"
    assert gated.startswith("BackboneError the hub refuses facebook/dinov2-base")
    assert "HF_TOKEN" in gated
    assert absent.startswith("BackboneError the hub refuses nobody/nothing")
    for cache in (tmp_path / "fetched", tiny_hub):
        monkeypatch.setenv("HF_HOME", str(cache))
        assert load_backbone("clip").identity.key == clip.split()[-1]
        assert identify("bioclip").key == bioclip.split()[-1]


def test_a_dead_network_is_noticed_at_once(monkeypatch):
    """The hub client alone would retry for 23 seconds a file."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    repository = hub.Repository("openai/clip-vit-base-patch16", None, "clip")
    start = time.monotonic()
    with pytest.raises(WeightsMissingError, match=r"127\.0\.0\.1:9 cannot be reached"):
        repository.file("config.json")
    assert time.monotonic() - start < 8


def test_an_empty_address_of_the_hub_is_the_public_one(monkeypatch):
    asked = []
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_ENDPOINT", "")
    monkeypatch.setattr(hub, "unreachable", lambda url: asked.append(url) or "no network")
    with pytest.raises(WeightsMissingError, match=r"https://huggingface\.co cannot be reached"):
        hub.Repository("openai/clip-vit-base-patch16", None, "clip").file("config.json")
    assert asked == ["https://huggingface.co"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("hub.example.org", "HF_ENDPOINT is 'hub.example.org', but has to begin with https://"),
        ("http://[hub", "http://[hub cannot be reached"),
        ("http://the hub", "http://the hub cannot be reached"),
    ],
)
def test_an_address_of_the_hub_that_is_none_is_one_line(monkeypatch, given, words):
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_ENDPOINT", given)
    with pytest.raises(BackboneError) as caught:
        hub.Repository("openai/clip-vit-base-patch16", None, "clip").file("config.json")
    assert words in str(caught.value)


@pytest.mark.parametrize("name", HUB_ROWS)
def test_offline_without_weights_is_one_line_that_says_what_to_do(name, tmp_path):
    with pytest.raises(WeightsMissingError) as caught:
        load_backbone(name)
    line = str(caught.value)
    assert "\n" not in line
    assert BACKBONES[name].model in line
    assert str(tmp_path / "empty" / "hub") in line
    assert f"backbench prefetch --backbone {name}" in line
    assert "HF_HUB_OFFLINE" in line


def test_a_pinned_row_does_not_take_another_commit(tiny_hub, tmp_path, monkeypatch):
    import shutil

    root = tmp_path / "hub"
    shutil.copytree(tiny_hub, root)
    snapshot = snapshot_of(root, BACKBONES["clip"].model)
    snapshot.rename(snapshot.with_name("c" * 40))
    (snapshot.parent.parent / "refs" / "main").write_text("c" * 40)
    monkeypatch.setenv("HF_HOME", str(root))
    with pytest.raises(WeightsMissingError, match=BACKBONES["clip"].revision):
        load_backbone("clip")
    floating = load_backbone("hf:openai/clip-vit-base-patch16?pool=cls")
    assert floating.identity.representation["revision"] == "c" * 40


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert hub.cache_folder() == tmp_path / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "elsewhere"))
    assert hub.cache_folder() == tmp_path / "elsewhere"
    monkeypatch.delenv("HF_HUB_CACHE")
    monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert hub.cache_folder() == tmp_path / "huggingface" / "hub"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dinov3", ["Did you mean 'dinov2'?", "timm:<name>", "hf:<model id>"]),
        ("Clip", ["Did you mean 'clip'?"]),
        ("torchvision:resnet18", ["unknown backbone", "open_clip:<arch>/<pretrained>"]),
        ("timm:", ["unknown backbone"]),
        ("open_clip:ViT-B-32", ["names no pretrained weights"]),
        ("open_clip:hf-hub:", ["open_clip:hf-hub:<repository>"]),
        ("hf:a/b@", ["hf:<model id>@<revision>"]),
        ("hf:a/b?pool=max", ["cls, mean, pooler, image_features"]),
        ("hf:a/b?size=3", ["?pool="]),
        ("", ["unknown backbone"]),
    ],
)
def test_an_unknown_backbone_gets_the_nearest_name_and_the_open_forms(name, words):
    with pytest.raises(BackboneError) as caught:
        find(name)
    assert "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("timm:resnet_50", ["timm has no model 'resnet_50'. Near: resnet50"]),
        ("timm:resnet50.imagenet", ["timm has no model 'resnet50.imagenet'"]),
        ("open_clip:ViT-B16/openai", ["no architecture 'ViT-B16'. Near: ViT-B-16"]),
        ("open_clip:ViT-B-16/opnai", ["Did you mean 'openai'?"]),
    ],
)
def test_an_unknown_name_of_a_library_gets_the_nearest(name, words):
    with pytest.raises(BackboneError) as caught:
        load_backbone(name)
    assert all(word in str(caught.value) for word in words)


def test_a_row_repeats_a_model_id_only_once():
    models = [row.model for row in BACKBONES.values()]
    assert len(set(models)) == len(models)
    assert all(len(row.revision) == 40 for row in BACKBONES.values() if row.revision)


@pytest.mark.parametrize("allowed", [False, True])
def test_code_of_a_repository_runs_only_pinned_and_allowed(tmp_path, monkeypatch, allowed):
    import json

    folder = tmp_path / "hub" / "models--a--b"
    snapshot = folder / "snapshots" / ("d" * 40)
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("d" * 40)
    config = {"model_type": "conceptual", "auto_map": {"AutoModel": "modeling_x.Model"}}
    (snapshot / "config.json").write_text(json.dumps(config))
    (snapshot / "modeling_x.py").write_text("open('it-ran', 'w')\n")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    if allowed:
        monkeypatch.setenv("BACKBENCH_ALLOW_REMOTE_CODE", f"c/d@x, a/b@{'d' * 40}")
    with pytest.raises(BackboneError, match=r"runs Python code.*hf:a/b@<commit>"):
        load_backbone("hf:a/b?pool=cls")
    if not allowed:
        with pytest.raises(BackboneError, match="BACKBENCH_ALLOW_REMOTE_CODE=a/b@"):
            load_backbone(f"hf:a/b@{'d' * 40}?pool=cls")
    from pathlib import Path

    assert not Path("it-ran").exists()


@pytest.mark.parametrize(
    ("revision", "names", "line"),
    [
        ("main", {"AutoModel": "modeling_x.Model"}, "runs Python code.*40 digits"),
        ("d" * 39, {"AutoModel": "modeling_x.Model"}, "runs Python code.*40 digits"),
        ("d" * 40, {"AutoModel": "c/d--modeling_x.Model"}, "another repository .'c/d--modeling_x"),
        (
            "d" * 40,
            {"AutoModel": "modeling_x.Model", "AutoConfig": "c/d--modeling_x.Config"},
            "another repository",
        ),
    ],
)
def test_consent_to_a_branch_or_to_another_repositorys_code_is_none(
    tmp_path, monkeypatch, revision, names, line
):
    import json

    for folder, named in (("models--a--b", revision), ("models--c--d", "main")):
        snapshot = tmp_path / "hub" / folder / "snapshots" / ("d" * 40)
        snapshot.mkdir(parents=True)
        refs = tmp_path / "hub" / folder / "refs"
        refs.mkdir()
        (refs / named).write_text("d" * 40)
        config = {"model_type": "conceptual", "auto_map": names}
        (snapshot / "config.json").write_text(json.dumps(config))
        (snapshot / "modeling_x.py").write_text("raise SystemExit('it ran')\n")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("BACKBENCH_ALLOW_REMOTE_CODE", f"a/b@{revision}")
    with pytest.raises(BackboneError, match=line):
        load_backbone(f"hf:a/b@{revision}?pool=cls")


REMOTE = """
import torch
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

class TinyConfig(PretrainedConfig):
    model_type = "conceptual"

class Model(PreTrainedModel):
    config_class = TinyConfig
    def __init__(self, config):
        super().__init__(config)
        self.layer = torch.nn.Linear(3, 5)
        self.post_init()
    def forward(self, pixel_values=None):
        return BaseModelOutputWithPooling(pooler_output=self.layer(pixel_values.mean((2, 3))))
"""
RUN_REMOTE = """
import torch
from backbench.backbones import load_backbone
backbone = load_backbone("hf:a/b@{commit}?pool=pooler")
print(backbone.dim, backbone.module(torch.ones(2, 3, 28, 28)).tolist()[0])
"""


def test_code_of_a_pinned_repository_runs_when_allowed(tmp_path):
    import json

    import torch
    from safetensors.torch import save_file

    from tiny_hub import VIT_PROCESSOR

    commit = "d" * 40
    snapshot = tmp_path / "hub" / "models--a--b" / "snapshots" / commit
    snapshot.mkdir(parents=True)
    names = {"AutoConfig": "modeling_x.TinyConfig", "AutoModel": "modeling_x.Model"}
    config = {"model_type": "conceptual", "auto_map": names}
    (snapshot / "config.json").write_text(json.dumps(config))
    (snapshot / "modeling_x.py").write_text(REMOTE)
    (snapshot / "preprocessor_config.json").write_text(json.dumps(VIT_PROCESSOR))
    state = {"layer.weight": torch.ones(5, 3), "layer.bias": torch.arange(5.0)}
    save_file(state, snapshot / "model.safetensors")
    done = subprocess.run(
        [sys.executable, "-c", RUN_REMOTE.format(commit=commit)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"HF_HOME": str(tmp_path), "BACKBENCH_ALLOW_REMOTE_CODE": f"a/b@{commit}"},
    )
    assert done.stdout.strip() == "5 [3.0, 4.0, 5.0, 6.0, 7.0]", done.stderr


@pytest.mark.parametrize("name", HUB_ROWS)
def test_what_is_brought_is_all_that_loading_reads_and_no_network_is_built(hub, monkeypatch, name):
    read = []
    file = Repository.file
    monkeypatch.setattr(
        Repository, "file", lambda self, *names: read.append(file(self, *names)) or read[-1]
    )
    bring(name)
    brought = set(read)
    assert not (home.home() / "identities").exists()
    read.clear()
    identify(name)
    assert set(read) == brought
    read.clear()
    bring(name)
    assert not read  # known by now
