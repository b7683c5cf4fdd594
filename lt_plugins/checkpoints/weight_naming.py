"""Naming schemes of weights: what torchvision, timm, CLIP and others call the tensors of mmpretrain's networks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from lt_plugins.checkpoints.lite0_weights import lite0_state_dict

Rules = tuple[tuple[str, str], ...]
TAIL = r"\.(weight|bias)"


class Naming(NamedTuple):
    """Naming scheme: the names that a package gives the tensors of a network, and mmpretrain's for them.

    Args:
        label (str): Package and network, for messages.
        signature (str): Name of a tensor that files of this scheme hold, and others not.
        rename (Callable): Takes tensors by the names of the scheme, and returns those of the backbone by mmpretrain's.
    """

    label: str
    signature: str
    rename: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]


def _by_rules(*rules: tuple[str, str]) -> Callable[[Mapping[str, Tensor]], dict[str, Tensor]]:
    """Rename by the first pattern that is the whole name; what none is, like a classifier, is left out."""
    compiled = [(re.compile(pattern), name) for pattern, name in rules]

    def rename(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        renamed = {}
        for key, value in tensors.items():
            found = next(((match, name) for pattern, name in compiled if (match := pattern.fullmatch(key))), None)
            if found is not None:
                renamed[found[0].expand(found[1])] = value
        return renamed

    return rename


def _convnext_torchvision(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Even ``features`` are stem and down-sampling, odd ones the stages."""
    named = {}
    for key, value in tensors.items():
        if match := re.fullmatch(r"features\.(\d+)\.(.+)", key):
            stage, odd = divmod(int(match[1]), 2)
            key = f"{'stages' if odd else 'downsample_layers'}.{stage}.{match[2]}"
        named[key] = value
    return _CONVNEXT_BLOCKS(named)


_CONVNEXT_BLOCKS = _by_rules(
    (r"(downsample_layers\.\d+\.\d+)" + TAIL, r"\1.\2"),
    (r"(stages\.\d+\.\d+)\.layer_scale", r"\1.gamma"),
    (r"(stages\.\d+\.\d+)\.block\.0" + TAIL, r"\1.depthwise_conv.\2"),
    (r"(stages\.\d+\.\d+)\.block\.2" + TAIL, r"\1.norm.\2"),
    (r"(stages\.\d+\.\d+)\.block\.3" + TAIL, r"\1.pointwise_conv1.\2"),
    (r"(stages\.\d+\.\d+)\.block\.5" + TAIL, r"\1.pointwise_conv2.\2"),
    (r"classifier\.0" + TAIL, r"norm3.\1"),
)
_CONVNEXT_TIMM = _by_rules(
    (r"stem\.([01])" + TAIL, r"downsample_layers.0.\1.\2"),
    (r"stages\.(\d+)\.downsample\.(\d+)" + TAIL, r"downsample_layers.\1.\2.\3"),
    (r"stages\.(\d+)\.blocks\.(\d+)\.gamma", r"stages.\1.\2.gamma"),
    (r"stages\.(\d+)\.blocks\.(\d+)\.conv_dw" + TAIL, r"stages.\1.\2.depthwise_conv.\3"),
    (r"stages\.(\d+)\.blocks\.(\d+)\.norm" + TAIL, r"stages.\1.\2.norm.\3"),
    (r"stages\.(\d+)\.blocks\.(\d+)\.mlp\.fc([12])" + TAIL, r"stages.\1.\2.pointwise_conv\3.\4"),
    (r"(?:head\.norm|norm_pre)" + TAIL, r"norm3.\1"),
)
_CONVNEXT_ORIGINAL = _by_rules(
    (r"(downsample_layers\.\d+\.\d+)" + TAIL, r"\1.\2"),
    (r"(stages\.\d+\.\d+)\.gamma", r"\1.gamma"),
    (r"(stages\.\d+\.\d+)\.dwconv" + TAIL, r"\1.depthwise_conv.\2"),
    (r"(stages\.\d+\.\d+)\.norm" + TAIL, r"\1.norm.\2"),
    (r"(stages\.\d+\.\d+)\.pwconv([12])" + TAIL, r"\1.pointwise_conv\2.\3"),
    (r"norm" + TAIL, r"norm3.\1"),
)
_VIT_TORCHVISION = _by_rules(
    (r"class_token", "cls_token"),
    (r"encoder\.pos_embedding", "pos_embed"),
    (r"conv_proj" + TAIL, r"patch_embed.projection.\1"),
    (r"encoder\.layers\.encoder_layer_(\d+)\.ln_([12])" + TAIL, r"layers.\1.ln\2.\3"),
    (r"encoder\.layers\.encoder_layer_(\d+)\.self_attention\.in_proj_(weight|bias)", r"layers.\1.attn.qkv.\2"),
    (r"encoder\.layers\.encoder_layer_(\d+)\.self_attention\.out_proj" + TAIL, r"layers.\1.attn.proj.\2"),
    (r"encoder\.layers\.encoder_layer_(\d+)\.mlp\.(?:0|linear_1)" + TAIL, r"layers.\1.ffn.layers.0.0.\2"),
    (r"encoder\.layers\.encoder_layer_(\d+)\.mlp\.(?:3|linear_2)" + TAIL, r"layers.\1.ffn.layers.1.\2"),
    (r"encoder\.ln" + TAIL, r"ln1.\1"),
)
_VIT_TIMM = _by_rules(
    (r"cls_token|pos_embed", r"\g<0>"),
    (r"patch_embed\.proj" + TAIL, r"patch_embed.projection.\1"),
    (r"norm_pre" + TAIL, r"pre_norm.\1"),
    (r"blocks\.(\d+)\.norm([12])" + TAIL, r"layers.\1.ln\2.\3"),
    (r"blocks\.(\d+)\.attn\.(qkv|proj)" + TAIL, r"layers.\1.attn.\2.\3"),
    (r"blocks\.(\d+)\.ls1\.gamma", r"layers.\1.attn.gamma1.weight"),
    (r"blocks\.(\d+)\.ls2\.gamma", r"layers.\1.ffn.gamma2.weight"),
    (r"blocks\.(\d+)\.mlp\.fc1" + TAIL, r"layers.\1.ffn.layers.0.0.\2"),
    (r"blocks\.(\d+)\.mlp\.fc2" + TAIL, r"layers.\1.ffn.layers.1.\2"),
    (r"norm" + TAIL, r"ln1.\1"),
)
_VIT_CLIP = _by_rules(
    (r"class_embedding", "cls_token"),
    (r"positional_embedding", "pos_embed"),
    (r"conv1" + TAIL, r"patch_embed.projection.\1"),
    (r"ln_pre" + TAIL, r"pre_norm.\1"),
    (r"transformer\.resblocks\.(\d+)\.ln_([12])" + TAIL, r"layers.\1.ln\2.\3"),
    (r"transformer\.resblocks\.(\d+)\.attn\.in_proj_(weight|bias)", r"layers.\1.attn.qkv.\2"),
    (r"transformer\.resblocks\.(\d+)\.attn\.out_proj" + TAIL, r"layers.\1.attn.proj.\2"),
    (r"transformer\.resblocks\.(\d+)\.mlp\.c_fc" + TAIL, r"layers.\1.ffn.layers.0.0.\2"),
    (r"transformer\.resblocks\.(\d+)\.mlp\.c_proj" + TAIL, r"layers.\1.ffn.layers.1.\2"),
    (r"ln_post" + TAIL, r"ln1.\1"),
)
_CLIP_TRANSFORMERS = _by_rules(
    (r"embeddings\.class_embedding", "cls_token"),
    (r"embeddings\.position_embedding\.weight", "pos_embed"),
    (r"embeddings\.patch_embedding" + TAIL, r"patch_embed.projection.\1"),
    (r"pre_layrnorm" + TAIL, r"pre_norm.\1"),  # as that package spells it
    (r"encoder\.layers\.(\d+)\.layer_norm([12])" + TAIL, r"layers.\1.ln\2.\3"),
    (r"encoder\.layers\.(\d+)\.self_attn\.qkv" + TAIL, r"layers.\1.attn.qkv.\2"),
    (r"encoder\.layers\.(\d+)\.self_attn\.out_proj" + TAIL, r"layers.\1.attn.proj.\2"),
    (r"encoder\.layers\.(\d+)\.mlp\.fc1" + TAIL, r"layers.\1.ffn.layers.0.0.\2"),
    (r"encoder\.layers\.(\d+)\.mlp\.fc2" + TAIL, r"layers.\1.ffn.layers.1.\2"),
    (r"post_layernorm" + TAIL, r"ln1.\1"),
)


def _clip_transformers(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Queries, keys and values are tensors of their own there."""
    joined = {key: value for key, value in tensors.items() if not re.search(r"\.[qkv]_proj\.", key)}
    for key in tensors:
        parts = [key.replace(".q_proj.", f".{part}_proj.") for part in "qkv"]
        if ".q_proj." in key and all(part in tensors for part in parts):
            joined[key.replace(".q_proj.", ".qkv.")] = torch.cat([tensors[part] for part in parts])
    return _CLIP_TRANSFORMERS(joined)


def _lite0(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in lite0_state_dict(tensors).items() if not key.startswith("fc.")}


CLIP = "CLIP"
LITE0 = "EfficientNet-Lite0 (released)"
NAMINGS = (
    Naming("torchvision ConvNeXt", "features.0.0.weight", _convnext_torchvision),
    Naming("timm ConvNeXt", "stages.0.blocks.0.conv_dw.weight", _CONVNEXT_TIMM),
    Naming("original ConvNeXt", "stages.0.0.dwconv.weight", _CONVNEXT_ORIGINAL),
    Naming("torchvision ViT", "conv_proj.weight", _VIT_TORCHVISION),
    Naming("timm ViT", "blocks.0.attn.qkv.weight", _VIT_TIMM),
    Naming(f"{CLIP} ViT", "transformer.resblocks.0.attn.in_proj_weight", _VIT_CLIP),
    Naming(f"{CLIP} ViT (transformers)", "encoder.layers.0.self_attn.q_proj.weight", _clip_transformers),
    Naming(LITE0, "_conv_stem.weight", _lite0),
)
"""Naming schemes other than those of the modules, each with the tensor by which it is recognised."""
