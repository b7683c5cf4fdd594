"""Weights of torchvision, timm and others in the backbones of mmpretrain: names, values, outputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import torchvision  # type: ignore[import-untyped]
from mmengine.model import initialize
from mmpretrain.models import ConvNeXt, ResNet, ResNeXt, VisionTransformer
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from lt_plugins.checkpoints.pretrained_weights import match_weights, rename_weights
from lt_plugins.checkpoints.safetensors_file import pack_safetensors
from lt_plugins.errors import UserInputError
from lt_plugins.models.backbones import EfficientNetLite0, MultiExpertResNet


def randomised(model: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights everywhere, batch statistics and layer scales too, so that a tensor in a wrong place shows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, value in model.state_dict().items():
            if key.endswith("num_batches_tracked"):
                continue
            noise = torch.randn(value.shape, generator=generator)
            if key.endswith("running_var"):
                value.copy_(1 + 0.3 * noise.abs())
            elif key.endswith("weight") and value.ndim >= 2:
                value.copy_(noise * (2 / value[0].numel()) ** 0.5)
            else:
                value.copy_(value + 0.1 * noise)
    model.eval()  # which of mmpretrain's returns nothing
    return model


def pooled(backbone: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        backbone.eval()
        out = backbone(images)[-1]
    return out if out.ndim == 2 else out.mean(dim=(2, 3))


def torchvision_features(model: nn.Module, images: Tensor, classifier: str) -> Tensor:
    """What the last linear layer of a model of torchvision is given."""
    taken: list[Tensor] = []
    layer = model.get_submodule(classifier)
    handle = layer.register_forward_pre_hook(lambda _, inputs: taken.append(inputs[0]))
    with torch.no_grad():
        model(images)
    handle.remove()
    return taken[0]


CASES = {
    "resnet50": ("fc", lambda: ResNet(50), 64),
    "resnext50_32x4d": ("fc", lambda: ResNeXt(50, groups=32, width_per_group=4), 64),
    "convnext_tiny": ("classifier.2", lambda: ConvNeXt("tiny"), 64),
    "vit_b_16": ("heads.head", lambda: VisionTransformer("b", img_size=224, patch_size=16), 224),
}


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("resnet50", ".pth"), ("resnext50_32x4d", ".pth"), ("convnext_tiny", ".safetensors"), ("vit_b_16", ".pth")],
)
def test_features_are_those_of_torchvision(name: str, suffix: str, tmp_path: Path) -> None:
    classifier, build, size = CASES[name]
    theirs = randomised(torchvision.models.get_model(name, weights=None))
    file = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(theirs.state_dict(), file)
    else:
        file.write_bytes(pack_safetensors(theirs.state_dict()))
    backbone = build()
    initialize(backbone, {"type": "Pretrained", "checkpoint": str(file)})
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    expected = torchvision_features(theirs, images, classifier)
    torch.testing.assert_close(pooled(backbone, images), expected, rtol=1e-5, atol=1e-5)


def test_every_convnext_tensor_lies_in_its_place() -> None:
    theirs = randomised(torchvision.models.convnext_tiny(weights=None))
    matched = match_weights(ConvNeXt("tiny"), theirs.state_dict())
    assert (matched.label, matched.found, matched.expected) == ("torchvision ConvNeXt", 180, 180)
    assert matched.num_classes == 1000
    assert not matched.homeless
    assert matched.weights["stages.1.0.gamma"].shape == (192,)


def timm_vit(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A ViT of mmpretrain by timm's documented names, written the other way round than the code under test does."""
    parts = [
        ("patch_embed.projection", "patch_embed.proj"),
        ("ffn.layers.0.0", "mlp.fc1"),
        ("ffn.layers.1", "mlp.fc2"),
        ("layers.", "blocks."),
        (".ln", ".norm"),
    ]
    named = {}
    for key, value in state.items():
        for ours, theirs in parts:
            key = key.replace(ours, theirs)
        named["norm" + key[3:] if key.startswith("ln1") else key] = value
    return {**named, "head.weight": torch.zeros(21843, 8), "head.bias": torch.zeros(21843)}


def clip_tower(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    parts = [
        ("cls_token", "class_embedding"),
        ("pos_embed", "positional_embedding"),
        ("patch_embed.projection", "conv1"),
        ("pre_norm", "ln_pre"),
        ("attn.qkv.", "attn.in_proj_"),
        ("attn.proj", "attn.out_proj"),
        ("ffn.layers.0.0", "mlp.c_fc"),
        ("ffn.layers.1", "mlp.c_proj"),
        (".ln", ".ln_"),
        ("layers.", "transformer.resblocks."),
    ]
    named: dict[str, Tensor] = {}
    for key, value in state.items():
        for ours, theirs in parts:
            key = key.replace(ours, theirs)
        key = "ln_post" + key[3:] if key.startswith("ln1") else key
        named[f"visual.{key}"] = value.squeeze(0).squeeze(0) if "embedding" in key else value
    return {**named, "visual.proj": torch.zeros(768, 512), "logit_scale": torch.zeros(())}


def clip_of_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    named: dict[str, Tensor] = {}
    for key, value in clip_tower(state).items():
        key = key.removeprefix("visual.")
        for ours, theirs in [
            ("transformer.resblocks", "encoder.layers"),
            ("ln_pre", "pre_layrnorm"),
            ("ln_post", "post_layernorm"),
            (".ln_", ".layer_norm"),
            (".attn.", ".self_attn."),
            ("c_fc", "fc1"),
            ("c_proj", "fc2"),
            ("conv1", "embeddings.patch_embedding"),
            ("class_embedding", "embeddings.class_embedding"),
            ("positional_embedding", "embeddings.position_embedding.weight"),
        ]:
            key = key.replace(ours, theirs)
        start, found, kind = key.partition("in_proj_")
        parts = zip("qkv", value.chunk(3), strict=True) if found else [("", value)]
        for part, tensor in parts:
            named["vision_model." + (f"{start}{part}_proj.{kind}" if part else key)] = tensor
    return named


def small_vit(**kwargs: object) -> nn.Module:
    arch = {"embed_dims": 24, "num_layers": 2, "num_heads": 3, "feedforward_channels": 48}
    return VisionTransformer(arch, img_size=32, patch_size=8, **kwargs)


@pytest.mark.parametrize(
    ("convert", "label", "pre_norm"),
    [
        (timm_vit, "timm ViT", False),
        (clip_tower, "CLIP ViT", True),
        (clip_of_transformers, "CLIP ViT (transformers)", True),
    ],
)
def test_transformers_by_other_names(convert: object, label: str, pre_norm: bool) -> None:
    assert callable(convert)
    theirs = randomised(small_vit(pre_norm=pre_norm))
    backbone = small_vit(pre_norm=pre_norm)
    matched = match_weights(backbone, convert(theirs.state_dict()))
    assert (matched.label, matched.homeless) == (label, ())
    assert matched.found == matched.expected
    backbone.load_state_dict(matched.weights)
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(pooled(backbone, images), pooled(theirs, images), rtol=0, atol=0)


def test_position_embeddings_of_another_resolution_are_taken() -> None:
    theirs = randomised(small_vit(pre_norm=True))
    backbone = VisionTransformer(
        {"embed_dims": 24, "num_layers": 2, "num_heads": 3, "feedforward_channels": 48},
        img_size=48,
        patch_size=8,
        pre_norm=True,
    )
    matched = match_weights(backbone, clip_tower(theirs.state_dict()))
    assert matched.found == matched.expected
    backbone.load_state_dict(matched.weights)
    assert backbone.pos_embed.shape == (1, 37, 24)


def test_another_width_does_not_pass_for_another_resolution() -> None:
    clip = {f"backbone.{key}": value for key, value in small_vit(pre_norm=True).state_dict().items()}
    matched = match_weights(small_vit(), clip)
    assert matched.homeless == ("pre_norm.weight", "pre_norm.bias")
    wide = {key: value.repeat_interleave(2, dim=0) for key, value in small_vit().state_dict().items()}
    assert match_weights(small_vit(), wide).found < 5


@pytest.mark.parametrize("prefix", ["", "backbone.", "module.", "module.encoder_q.", "model.backbone."])
def test_any_prefix_is_found(prefix: str) -> None:
    theirs = randomised(ResNet(18))
    tensors = {f"{prefix}{key}": value for key, value in theirs.state_dict().items()}
    tensors |= {"module.encoder_k.conv1.weight": torch.zeros(64, 3, 7, 7), "queue": torch.zeros(8, 8)}
    matched = match_weights(ResNet(18), tensors)
    assert matched.found == matched.expected
    torch.testing.assert_close(matched.weights["conv1.weight"], theirs.state_dict()["conv1.weight"])


def test_of_a_momentum_checkpoint_the_trained_encoder_is_taken() -> None:
    theirs, follower = randomised(ResNet(18)), randomised(ResNet(18), seed=1)
    tensors = {f"key_encoder.backbone.{key}": value for key, value in follower.state_dict().items()}
    tensors |= {f"backbone.{key}": value for key, value in theirs.state_dict().items()}
    matched = match_weights(ResNet(18), tensors)
    torch.testing.assert_close(matched.weights["conv1.weight"], theirs.state_dict()["conv1.weight"])


def test_each_expert_gets_the_weights_of_a_plain_network() -> None:
    theirs = randomised(torchvision.models.resnet50(weights=None))
    backbone = MultiExpertResNet(depth=50, num_experts=2)
    matched = match_weights(backbone, theirs.state_dict())
    assert matched.found == matched.expected
    blocks = [value for key, value in matched.weights.items() if key.endswith("experts.1.0.conv1.weight")]
    assert len(blocks) > 0


def test_a_smaller_network_of_the_same_names_is_no_fit() -> None:
    matched = match_weights(ResNet(50), torchvision.models.resnet101(weights=None).state_dict())
    assert matched.found == matched.expected
    assert len(matched.homeless) == 17 * 3 * 5
    assert matched.homeless[0] == "layer3.6.conv1.weight"


def test_another_network_is_named() -> None:
    matched = match_weights(ResNet(18), torchvision.models.convnext_tiny(weights=None).state_dict())
    assert (matched.label, matched.found) == ("torchvision ConvNeXt", 0)
    assert matched.num_classes == 1000


def test_an_initialiser_names_what_is_missing(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), file)
    with pytest.raises(UserInputError, match=r"only \d+ of the 265 tensors of the ResNet are in .*weights\.pth"):
        initialize(ResNet(50), {"type": "Pretrained", "checkpoint": str(file)})


def test_names_of_a_whole_model_stay() -> None:
    model = MODELS.build(
        {
            "type": "mmpretrain.ImageClassifier",
            "backbone": {"type": "mmpretrain.ResNet", "depth": 18},
            "neck": {"type": "mmpretrain.GlobalAveragePooling"},
            "head": {"type": "mmpretrain.LinearClsHead", "num_classes": 3, "in_channels": 512},
        }
    )
    state = model.state_dict()
    assert rename_weights(model, state).keys() == state.keys()
    renamed = rename_weights(model, torchvision.models.resnet18(weights=None).state_dict())
    assert {key for key in state if key.startswith("backbone.")} == renamed.keys()


def test_lite0_by_its_released_names() -> None:
    backbone = EfficientNetLite0()
    released = {
        "_conv_stem.weight": torch.ones_like(backbone.stem.conv.weight),
        "_bn0.weight": torch.ones(32),
        "_fc.weight": torch.zeros(1000, 1280),
    }
    matched = match_weights(backbone, released)
    assert (matched.found, matched.num_classes) == (2, 1000)
    assert matched.label.startswith("EfficientNet-Lite0")
