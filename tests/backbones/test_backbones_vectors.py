"""The exact vector of every row, against an independent computation on the same weights."""

import json

import open_clip
import pytest
import timm
import torch
import transformers
from safetensors.torch import load_file

from backbench.backbones import BACKBONES, load_backbone
from backbench.errors import BackboneError
from tiny_hub import (
    FLOATING,
    TINY_CONVNEXT,
    build_siglip,
    build_timm,
    build_vit_classifier,
    open_clip_config,
    shaken,
    snapshot_of,
)


def pictures(backbone, count=3):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(count, 3, *backbone.input_size, generator=generator)


def run(backbone, batch):
    with torch.inference_mode():
        return backbone.module(batch)


def hooked(module, call, *, inputs=False):
    """What `module` got or gave during `call`."""
    seen = []
    if inputs:
        handle = module.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    else:
        handle = module.register_forward_hook(lambda _, __, made: seen.append(made))
    with torch.inference_mode():
        result = call()
    handle.remove()
    return seen[0], result


def same(first, second):
    return first.shape == second.shape and torch.allclose(first, second, rtol=0, atol=1e-5)


def test_dinov2_is_the_class_token_after_the_final_norm(hub):
    backbone = load_backbone("dinov2")
    whole = transformers.Dinov2Model.from_pretrained(snapshot_of(hub, "facebook/dinov2-base"))
    batch = pictures(backbone)
    before, output = hooked(whole.layernorm, lambda: whole(batch), inputs=True)
    assert same(run(backbone, batch), output.last_hidden_state[:, 0])
    assert not same(run(backbone, batch), before[:, 0]), "the norm must make a difference"


def test_clip_is_the_class_token_before_post_norm_and_projection(hub):
    backbone = load_backbone("clip")
    whole = transformers.CLIPModel.from_pretrained(snapshot_of(hub, "openai/clip-vit-base-patch16"))
    batch = pictures(backbone)
    norm = whole.vision_model.post_layernorm
    before, _ = hooked(norm, lambda: whole.get_image_features(pixel_values=batch), inputs=True)
    with torch.inference_mode():
        after = norm(before)
    vectors = run(backbone, batch)
    assert vectors.shape == (3, 24)
    assert same(vectors, before)
    assert not same(vectors, after), "the post-norm must make a difference"


def test_clip_l14_is_the_projected_image_embedding(hub):
    backbone = load_backbone("clip_l14")
    whole = transformers.CLIPModel.from_pretrained(
        snapshot_of(hub, "openai/clip-vit-large-patch14")
    )
    batch = pictures(backbone)
    projected, _ = hooked(
        whole.visual_projection, lambda: whole.get_image_features(pixel_values=batch)
    )
    vectors = run(backbone, batch)
    assert vectors.shape == (3, 16)
    assert same(vectors, projected)
    assert not torch.allclose(vectors.norm(dim=1), torch.ones(3)), "not normalised"


def open_clip_model(hub, repo):
    """The whole model, loaded by open_clip itself."""
    return open_clip.create_model(f"local-dir:{snapshot_of(hub, repo)}").eval()


def test_bioclip_is_the_class_token_after_ln_post_before_the_projection(hub):
    backbone = load_backbone("bioclip")
    whole = open_clip_model(hub, "imageomics/bioclip")
    batch = pictures(backbone)
    after, projected = hooked(whole.visual.ln_post, lambda: whole.encode_image(batch))
    vectors = run(backbone, batch)
    assert vectors.shape == (3, 64)
    assert same(vectors, after[:, 0])
    assert projected.shape == (3, 24), "a projected vector has another width"


def test_bioclip2_is_encode_image_and_not_a_hook_on_ln_post(hub):
    backbone = load_backbone("bioclip2")
    whole = open_clip_model(hub, "imageomics/bioclip-2")
    batch = pictures(backbone)
    after, projected = hooked(
        whole.visual.ln_post, lambda: whole.encode_image(batch, normalize=False)
    )
    vectors = run(backbone, batch)
    assert vectors.shape == (3, 24)
    assert same(vectors, projected)
    assert after.shape[-1] == 64, "the trap: 1,024 numbers of the real model instead of 768"
    assert not torch.allclose(vectors.norm(dim=1), torch.ones(3)), "not normalised"


def test_convnextv2_is_what_its_classifier_gets(hub):
    backbone = load_backbone("convnextv2")
    model = BACKBONES["convnextv2"].model
    whole = timm.create_model(model, pretrained=False, **TINY_CONVNEXT).eval()
    whole.load_state_dict(load_file(snapshot_of(hub, f"timm/{model}") / "model.safetensors"))
    batch = pictures(backbone, 1)
    pooled, _ = hooked(whole.head.fc, lambda: whole(batch), inputs=True)
    assert same(run(backbone, batch), pooled)
    assert backbone.input_size == (384, 384)


def test_efficientnet_lite0_is_what_its_classifier_gets():
    from backbench.backbones import checkpoints, efficientnet_lite0

    backbone = load_backbone("efficientnet_lite0")
    whole = timm.create_model("tf_efficientnet_lite0").eval()
    weights = efficientnet_lite0.translated(checkpoints.read(efficientnet_lite0.path()))
    checkpoints.fill(whole, weights, "the whole network")
    batch = pictures(backbone, 2)
    pooled, _ = hooked(whole.classifier, lambda: whole(batch), inputs=True)
    assert pooled.shape == (2, 1280)
    assert same(run(backbone, batch), pooled)


def test_pixels_are_the_picture():
    gray, colour = load_backbone("pixels"), load_backbone("pixels", "rgb-16")
    batch = torch.rand(2, 3, 32, 32)
    luma = 0.299 * batch[:, 0] + 0.587 * batch[:, 1] + 0.114 * batch[:, 2]
    assert same(run(gray, batch), luma.flatten(1))
    small = torch.rand(2, 3, 16, 16)
    assert torch.equal(run(colour, small), small.flatten(1))
    assert (gray.dim, colour.dim) == (1024, 768)


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_a_vector_is_the_same_alone_and_in_a_batch(hub, name):
    backbone = load_backbone(name)
    batch = pictures(backbone, 4)
    together = run(backbone, batch)
    alone = torch.cat([run(backbone, batch[row : row + 1]) for row in range(4)])
    scale = together.abs().max()
    assert (together - alone).abs().max() <= 1e-5 * scale
    assert together.shape == (4, backbone.dim)


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_a_row_says_what_its_vector_is(hub, name):
    identity = load_backbone(name).identity
    fields = {"library", "model", "revision", "config", "tokens", "layer", "pooling"}
    assert set(identity.representation) == fields | {"projected", "normalised", "dim"}
    row = BACKBONES[name]
    assert row.revision in (None, identity.representation["revision"])
    assert identity.representation["projected"] is (name in ("bioclip2", "clip_l14"))


def test_openai_weights_get_the_activation_they_were_trained_with(hub, monkeypatch, tmp_path):
    """open_clip's plain architecture has GELU, its tag `openai` needs QuickGELU."""
    config = open_clip_config()["model_cfg"]
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "ViT-B-16", config)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    state = save_open_clip(tmp_path, "timm/vit_base_patch16_clip_224.openai", config)
    backbone = load_backbone("open_clip:ViT-B-16/openai")
    batch = pictures(backbone)
    quick = open_clip.CLIP(**config, quick_gelu=True).eval()
    plain = open_clip.CLIP(**config).eval()
    for model in (quick, plain):
        model.load_state_dict(state)
    with torch.inference_mode():
        assert same(run(backbone, batch), quick.encode_image(batch))
        assert not same(run(backbone, batch), plain.encode_image(batch))


def save_open_clip(root, repo, config):
    from safetensors.torch import save_file

    torch.manual_seed(2)
    state = shaken(open_clip.CLIP(**config)).state_dict()
    folder = root / "hub" / f"models--{repo.replace('/', '--')}"
    snapshot = folder / "snapshots" / FLOATING
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(FLOATING)
    state = {name: tensor.contiguous() for name, tensor in state.items()}
    save_file(state, snapshot / "open_clip_model.safetensors")
    (snapshot / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    return state


def test_the_open_form_of_open_clip_takes_a_hub_repository(hub):
    form = load_backbone("open_clip:hf-hub:imageomics/bioclip-2")
    row = load_backbone("bioclip2")
    assert form.identity.key == row.identity.key


@pytest.mark.parametrize(
    "name", ["test_vit.r160_in1k", "test_efficientnet.r160_in1k", "test_resnet.r160_in1k"]
)
def test_the_open_form_of_timm_is_what_the_classifier_gets(tmp_path, monkeypatch, name):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    folder = build_timm(tmp_path, name)
    backbone = load_backbone(f"timm:{name}")
    whole = timm.create_model(name, pretrained=False).eval()
    whole.load_state_dict(load_file(folder / "model.safetensors"))
    batch = pictures(backbone)
    pooled, _ = hooked(whole.get_classifier(), lambda: whole(batch), inputs=True)
    assert same(run(backbone, batch), pooled)
    assert backbone.identity.representation["pooling"] in ("cls", "avg", "map")
    assert backbone.licence == "apache-2.0", "as timm says"


def test_the_open_form_of_transformers_gives_the_same_space_as_the_row(hub):
    assert (
        load_backbone("hf:facebook/dinov2-base").identity.key
        == load_backbone("dinov2").identity.key
    )
    pooled = load_backbone("hf:openai/clip-vit-base-patch16?pool=cls")
    assert pooled.identity.key == load_backbone("clip").identity.key
    revision = BACKBONES["dinov2"].revision
    pinned = load_backbone(f"hf:facebook/dinov2-base@{revision}")
    assert pinned.identity.key == load_backbone("dinov2").identity.key


def test_a_classifier_on_transformers_gives_its_class_token(tmp_path, monkeypatch):
    """Its names lie under `vit.`, it has a classifier, and lacks the pooler of the plain ViT."""
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    folder = build_vit_classifier(tmp_path)
    backbone = load_backbone("hf:tiny/vit-classifier")
    whole = transformers.ViTForImageClassification.from_pretrained(folder)
    batch = pictures(backbone)
    normed, _ = hooked(whole.vit.layernorm, lambda: whole(batch))
    assert same(run(backbone, batch), normed[:, 0])
    assert backbone.loaded["dropped"] == {"classifier.": 2}


def test_siglip_gives_its_image_features(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    folder = build_siglip(tmp_path)
    backbone = load_backbone("hf:tiny/siglip")
    whole = transformers.SiglipModel.from_pretrained(folder)
    batch = pictures(backbone)
    pooled, _ = hooked(whole.vision_model.head, lambda: whole.get_image_features(batch))
    assert same(run(backbone, batch), pooled)


def test_the_mean_over_tokens_can_be_asked_for(hub):
    backbone = load_backbone("hf:facebook/dinov2-base?pool=mean")
    whole = transformers.Dinov2Model.from_pretrained(snapshot_of(hub, "facebook/dinov2-base"))
    batch = pictures(backbone)
    with torch.inference_mode():
        assert same(run(backbone, batch), whole(batch).last_hidden_state.mean(1))
    assert backbone.identity.representation["pooling"] == "mean over tokens"


def test_a_model_type_without_a_declared_vector_has_to_be_told(hub, tmp_path, monkeypatch):
    import shutil

    root = tmp_path / "copy"
    shutil.copytree(hub, root)
    monkeypatch.setenv("HF_HOME", str(root))
    config = snapshot_of(root, "facebook/dinov2-base") / "config.json"
    config.write_text(config.read_text().replace('"dinov2"', '"vit_mae"'))
    with pytest.raises(BackboneError, match=r"no vector is declared .*vit_mae.*\?pool="):
        load_backbone("hf:facebook/dinov2-base")
