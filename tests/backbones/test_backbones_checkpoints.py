"""Weight files: what is read, what is refused, and what the refusal says."""

import json
import pickle
import zipfile

import pytest
import timm
import torch
from safetensors.torch import save_file

from backbench.backbones import BACKBONES, checkpoints, load_backbone
from backbench.errors import BackboneError

MODEL = "timm:test_resnet.r160_in1k"


@pytest.fixture(scope="module")
def state():
    """A whole network's tensors, classifier included, as a training script saves them."""
    torch.manual_seed(0)
    return dict(timm.create_model("test_resnet", pretrained=False).state_dict())


def saved(folder, content, name="weights.pt"):
    path = folder / name
    torch.save(content, path) if path.suffix != ".safetensors" else save_file(content, path)
    return path


@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.bin", "w.safetensors"])
def test_the_kind_of_file_does_not_matter(tmp_path, state, name):
    direct = load_backbone(MODEL, str(saved(tmp_path, state, name)))
    other = load_backbone(MODEL, str(saved(tmp_path, state, "other.pt")))
    assert direct.identity.key == other.identity.key
    assert direct.identity.weights == other.identity.weights


@pytest.mark.parametrize(
    ("wrap", "steps"),
    [
        (lambda s: s, {}),
        (lambda s: {"state_dict": s, "epoch": 3}, {"container": "state_dict"}),
        (lambda s: {"model_state_dict": s, "loss": 0.1}, {"container": "model_state_dict"}),
        (lambda s: {"model": s}, {"container": "model"}),
        (lambda s: {f"module.{k}": v for k, v in s.items()}, {"prefix": "module."}),
        (
            lambda s: {"state_dict": {f"model.module.{k}": v for k, v in s.items()}},
            {"container": "state_dict", "prefix": "model.module."},
        ),
    ],
)
def test_known_wrappers_are_taken_off_and_recorded(tmp_path, state, wrap, steps):
    plain = load_backbone(MODEL, str(saved(tmp_path, state, "plain.pt")))
    wrapped = load_backbone(MODEL, str(saved(tmp_path, wrap(state))))
    assert wrapped.identity.key == plain.identity.key
    assert {key: wrapped.loaded[key] for key in steps} == steps
    assert wrapped.loaded["dropped"] == {"fc.": 2}


def test_a_classifier_of_any_size_is_dropped_and_nothing_else(tmp_path, state):
    other = {**state, "fc.weight": torch.zeros(4, 64), "fc.bias": torch.zeros(4)}
    first = load_backbone(MODEL, str(saved(tmp_path, state, "a.pt")))
    second = load_backbone(MODEL, str(saved(tmp_path, other, "b.pt")))
    assert first.identity.key == second.identity.key


def test_missing_keys_are_listed_and_counted(tmp_path, state):
    gone = [name for name in state if name.startswith("layer1.")]
    path = saved(tmp_path, {name: v for name, v in state.items() if name not in gone})
    with pytest.raises(BackboneError) as caught:
        load_backbone(MODEL, str(path))
    line = str(caught.value)
    assert f"missing: {len(gone)} keys" in line
    assert min(gone) in line
    assert "\n" not in line


def test_unexpected_keys_are_listed(tmp_path, state):
    path = saved(tmp_path, {**state, "projector.weight": torch.zeros(2)})
    with pytest.raises(BackboneError, match=r"unexpected: 1 key \(projector.weight\)"):
        load_backbone(MODEL, str(path))


def test_keys_of_another_shape_are_listed_with_both_shapes(tmp_path, state):
    name = "layer1.0.conv1.weight"
    path = saved(tmp_path, {**state, name: torch.zeros(1, 2, 3, 3)})
    with pytest.raises(
        BackboneError, match=rf"another shape: 1 key \({name} \(\[1, 2, 3, 3\], exp"
    ):
        load_backbone(MODEL, str(path))


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("dinov2", "layernorm.weight"),
        ("clip", "vision_model.post_layernorm.weight"),
        ("bioclip2", "visual.ln_post.weight"),
    ],
)
def test_every_library_refuses_a_key_too_few_or_too_many(hub, tmp_path, name, image):
    from safetensors.torch import load_file

    from tiny_hub import weights_file

    state = load_file(weights_file(hub, name))
    fewer = {key: value for key, value in state.items() if key != image}
    with pytest.raises(BackboneError, match=r"missing: 1 key \(") as caught:
        load_backbone(name, str(saved(tmp_path, fewer, "fewer.pt")))
    assert image.removeprefix("visual.") in str(caught.value)
    more = {**state, "surprise.weight": torch.zeros(2)}
    with pytest.raises(BackboneError, match=r"unexpected: 1 key \(surprise.weight\)"):
        load_backbone(name, str(saved(tmp_path, more, "more.safetensors")))
    reshaped = {**state, image: torch.zeros(3)}
    with pytest.raises(BackboneError, match="of another shape: 1 key"):
        load_backbone(name, str(saved(tmp_path, reshaped, "reshaped.safetensors")))


@pytest.mark.parametrize("name", ["dinov2", "clip", "clip_l14", "bioclip2"])
def test_a_local_copy_of_published_weights_is_the_same_space(hub, tmp_path, name):
    from safetensors.torch import load_file

    from tiny_hub import weights_file

    copy = saved(tmp_path, {"state_dict": load_file(weights_file(hub, name))}, "copy.pth")
    assert load_backbone(name, str(copy)).identity.key == load_backbone(name).identity.key


@pytest.mark.parametrize("name", ["dinov2", "clip", "bioclip"])
def test_other_weights_are_another_space(hub, tmp_path, name):
    one, other = load_backbone(name), load_backbone(name, "untrained")
    assert one.identity.key != other.identity.key
    assert one.dim == other.dim


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path, state, value):
    broken = {**state, "bn1.weight": torch.full_like(state["bn1.weight"], value)}
    with pytest.raises(BackboneError, match=r"NaN or infinity in 1 key \(bn1.weight\)"):
        load_backbone(MODEL, str(saved(tmp_path, broken)))


def test_a_truncated_file_is_one_line(tmp_path, state):
    for name in ("w.pt", "w.safetensors"):
        path = saved(tmp_path, state, name)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(BackboneError, match="cannot be read") as caught:
            load_backbone(MODEL, str(path))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n", b"{}", b"abc" * 100])
@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_a_foreign_file_is_one_line(tmp_path, content, name):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BackboneError, match=r"cannot be read \(\w+Error.*\): it is") as caught:
        checkpoints.read(path)
    assert "\n" not in str(caught.value)


def test_a_zip_of_something_else_is_one_line(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(BackboneError, match="cannot be read"):
        checkpoints.read(tmp_path / "w.pt")


class Bomb:
    def __reduce__(self):
        return (open, ("bomb-went-off", "w"))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("protocol", ["torch", "pickle"])
def test_code_in_a_file_is_refused_and_not_run(tmp_path, protocol):
    path = tmp_path / "w.pt"
    if protocol == "torch":
        torch.save({"state_dict": Bomb()}, path)
    else:
        path.write_bytes(pickle.dumps({"a": Bomb()}))
    with pytest.raises(BackboneError, match="cannot be read"):
        checkpoints.read(path)
    assert not (tmp_path / "bomb-went-off").exists()
    from pathlib import Path

    assert not Path("bomb-went-off").exists()


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [1, 2], {"state_dict": {}}])
def test_a_file_without_tensors_is_refused(tmp_path, content):
    with pytest.raises(BackboneError, match="holds no named tensors"):
        checkpoints.read(saved(tmp_path, content))


def test_a_checkpoint_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BackboneError, match=r"nowhere.pt is not a file"):
        load_backbone(MODEL, str(tmp_path / "nowhere.pt"))


def test_an_unknown_checkpoint_says_what_is_allowed():
    with pytest.raises(BackboneError, match=r"unknown checkpoint 'best'\. Allowed: default"):
        load_backbone("efficientnet_lite0", "best")
    with pytest.raises(BackboneError, match="unknown checkpoint 'grey-32' of pixels"):
        load_backbone("pixels", "grey-32")


def test_shards_are_read_through_their_index(tmp_path, state):
    names = sorted(state)
    halves = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in halves.items():
        save_file({name: state[name] for name in part}, tmp_path / file)
    where = {name: file for file, part in halves.items() for name in part}
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": where}))
    whole = checkpoints.read_sharded(index, lambda name: tmp_path / name)
    assert checkpoints.digest(whole.state) == checkpoints.digest(state)


def test_the_digest_sees_names_shapes_types_and_values():
    base = {"a": torch.arange(6.0)}
    variants = [
        {"b": torch.arange(6.0)},
        {"a": torch.arange(6.0).reshape(2, 3)},
        {"a": torch.arange(6.0).double()},
        {"a": torch.arange(6.0) + 1e-6},
        {"a": torch.arange(6.0), "b": torch.zeros(1)},
    ]
    digests = {checkpoints.digest(state) for state in (base, *variants)}
    assert len(digests) == len(variants) + 1
    assert checkpoints.digest({"a": torch.arange(6.0).reshape(2, 3).T.T}) in digests
    zeros = [
        checkpoints.digest({"a": torch.zeros(2, dtype=t)}) for t in (torch.float32, torch.int32)
    ]
    assert zeros[0] != zeros[1], "the same bytes of another type"
    half = {"a": torch.ones(2, dtype=torch.bfloat16), "n": torch.tensor(3)}
    assert len(checkpoints.digest(half)) == 64


def test_the_table_is_frozen():
    with pytest.raises(TypeError):
        BACKBONES["x"] = BACKBONES["clip"]
