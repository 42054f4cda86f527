"""Tiny models of the real classes under the real ids, in the Hugging Face cache layout.

`build_tiny_hub(root)` writes `root/hub/models--ORG--NAME/{refs/main,snapshots/REVISION/}`; with
`HF_HOME=root HF_HUB_OFFLINE=1` every row of the table loads through the code that loads the real
weights. Weights are random and seeded.
"""

import json
from pathlib import Path

import pytest
import torch

from backbench.backbones import BACKBONES

FLOATING = "a" * 40
"""The commit of repositories whose row pins none."""
CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_STD = [0.26862954, 0.26130258, 0.27577711]
IMAGENET_MEAN = [0.485, 0.456, 0.406]
IMAGENET_STD = [0.229, 0.224, 0.225]

CLIP_PROCESSOR = {  # the older spelling, as openai's repositories still have it
    "crop_size": 32,
    "do_center_crop": True,
    "do_normalize": True,
    "do_resize": True,
    "feature_extractor_type": "CLIPFeatureExtractor",
    "image_mean": CLIP_MEAN,
    "image_std": CLIP_STD,
    "resample": 3,
    "size": 32,
}
DINOV2_PROCESSOR = {
    "crop_size": {"height": 28, "width": 28},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": IMAGENET_MEAN,
    "image_processor_type": "BitImageProcessor",
    "image_std": IMAGENET_STD,
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": 32},
}
VIT_PROCESSOR = {
    "do_normalize": True,
    "do_resize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_processor_type": "ViTImageProcessor",
    "image_std": [0.5, 0.5, 0.5],
    "resample": 2,
    "size": {"height": 28, "width": 28},
}
SIGLIP_PROCESSOR = VIT_PROCESSOR | {
    "image_processor_type": "SiglipImageProcessor",
    "resample": 3,
    "do_rescale": True,
}


def build_tiny_hub(root: Path) -> None:
    """Everything the rows and the open forms of the tests need, under `root/hub`."""
    build_dinov2(root)
    build_clip(root)
    build_bioclip(root)
    build_convnextv2(root)


def build_dinov2(root: Path, repo: str = "facebook/dinov2-base") -> Path:
    """A Dinov2Model of width 24, two blocks, 28 x 28 pictures."""
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(1)
    config = Dinov2Config(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        mlp_ratio=2,
        image_size=28,
        patch_size=14,
    )
    return _save(root, repo, shaken(Dinov2Model(config)), DINOV2_PROCESSOR)


def build_clip(root: Path) -> None:
    """Whole CLIPModels, text side included, for `clip` (width 24) and `clip_l14` (width 40)."""
    for repo, width in (
        ("openai/clip-vit-base-patch16", 24),
        ("openai/clip-vit-large-patch14", 40),
    ):
        _save(root, repo, shaken(clip_model(width)), CLIP_PROCESSOR)


def clip_model(width: int) -> torch.nn.Module:
    """A CLIPModel whose image side has `width` and projects to 16, with quick GELU."""
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(width)
    sides = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    text = sides | {
        "hidden_size": 16,
        "vocab_size": 40,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    vision = sides | {"hidden_size": width, "image_size": 32, "patch_size": 8}
    # The vision part keeps its default projection_dim of 512: the model's own, 16, must win.
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16))


def build_bioclip(root: Path) -> None:
    """open_clip models of width 64 that project to 24, for `bioclip` and `bioclip2`."""
    import open_clip
    from safetensors.torch import save_file

    for seed, repo in enumerate(("imageomics/bioclip", "imageomics/bioclip-2")):
        config = open_clip_config()
        torch.manual_seed(seed)
        model = shaken(open_clip.CLIP(**config["model_cfg"]))
        folder = _snapshot(root, repo)
        (folder / "open_clip_config.json").write_text(json.dumps(config))
        state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
        if repo == "imageomics/bioclip":  # published as .bin only
            torch.save(state, folder / "open_clip_pytorch_model.bin")
        else:
            save_file(state, folder / "open_clip_model.safetensors")


def open_clip_config() -> dict:
    """A ViT tower of 64 and a projection to 24, so that the two cannot be mixed up."""
    return {
        "model_cfg": {
            "embed_dim": 24,
            "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
            "text_cfg": {
                "context_length": 8,
                "vocab_size": 40,
                "width": 16,
                "heads": 2,
                "layers": 1,
            },
        },
        "preprocess_cfg": {"mean": CLIP_MEAN, "std": CLIP_STD},
    }


def build_convnextv2(root: Path) -> None:
    """ConvNeXt V2 base in its real size would be 350 MB: see `shrink_convnextv2`."""
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(5)
    name = BACKBONES["convnextv2"].model
    model = shaken(timm.create_model(name, pretrained=False, **TINY_CONVNEXT))
    save_file(dict(model.state_dict()), _snapshot(root, f"timm/{name}") / "model.safetensors")


TINY_CONVNEXT = {"depths": (1, 1, 1, 1), "dims": (8, 8, 16, 16)}


def shrink_convnextv2(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let timm build ConvNeXt V2 base small: its size stands in timm's code, not in a config."""
    from timm.models import _registry

    entries = _registry._model_entrypoints
    real = entries["convnextv2_base"]
    monkeypatch.setitem(
        entries, "convnextv2_base", lambda **given: real(**{**given, **TINY_CONVNEXT})
    )


def shaken(model: torch.nn.Module) -> torch.nn.Module:
    """`model` with noise on every parameter.

    Fresh biases are zero and fresh scales one: a norm that is left out would not show.
    """
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model.eval()


def snapshot_of(root: Path, repo: str) -> Path:
    """The folder of the files of a repository that was built."""
    folder = root / "hub" / f"models--{repo.replace('/', '--')}"
    return folder / "snapshots" / (folder / "refs" / "main").read_text()


def weights_file(root: Path, name: str) -> Path:
    """The safetensors file of a row of the table."""
    return next(snapshot_of(root, BACKBONES[name].model).glob("*.safetensors"))


def build_vit_classifier(root: Path, repo: str = "tiny/vit-classifier") -> Path:
    """A ViT with an ImageNet-style classifier and no pooler, its names under `vit.`."""
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(11)
    config = ViTConfig(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=28,
        patch_size=14,
        num_labels=5,
    )
    return _save(root, repo, shaken(ViTForImageClassification(config)), VIT_PROCESSOR)


def build_siglip(root: Path, repo: str = "tiny/siglip") -> Path:
    """A SigLIP, both sides."""
    from transformers import SiglipConfig, SiglipModel

    torch.manual_seed(12)
    sides = {
        "hidden_size": 24,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    text = sides | {"vocab_size": 40, "max_position_embeddings": 8, "projection_size": 24}
    vision = sides | {"image_size": 28, "patch_size": 14}
    text |= {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    config = SiglipConfig(text_config=text, vision_config=vision)
    return _save(root, repo, shaken(SiglipModel(config)), SIGLIP_PROCESSOR)


def build_timm(root: Path, name: str) -> Path:
    """The repository of one of timm's own test models, classifier included."""
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(13)
    model = shaken(timm.create_model(name, pretrained=False))
    folder = _snapshot(root, f"timm/{name}")
    save_file(dict(model.state_dict()), folder / "model.safetensors")
    return folder


def _save(root: Path, repo: str, model: torch.nn.Module, processor: dict) -> Path:
    folder = _snapshot(root, repo)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


def _snapshot(root: Path, repo: str) -> Path:
    pinned = {row.model: row.revision for row in BACKBONES.values() if row.revision}
    revision = pinned.get(repo, FLOATING)
    folder = root / "hub" / f"models--{repo.replace('/', '--')}"
    snapshot = folder / "snapshots" / revision
    snapshot.mkdir(parents=True, exist_ok=True)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text(revision)
    return snapshot
