import pytest
import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS

from lt_plugins.errors import UserInputError
from lt_plugins.models.backbones import CIFARResNet


def build(seed=0, type="CIFARResNet", **kwargs):  # noqa: A002 (the key of a config)
    torch.manual_seed(seed)
    model = MODELS.build(dict(type=type, **kwargs))
    # As after training: batch norm is not the identity.
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.2)
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 1.5)
    return model.eval()


def num_parameters(depth, shortcut, base=16):
    """Convolutions without bias and two parameters a channel for batch norm, block by block."""

    def conv(channels_in, channels_out, kernel):
        return kernel**2 * channels_in * channels_out + 2 * channels_out

    total, channels = conv(3, base, 3), base
    for width in (base, 2 * base, 4 * base):
        for _ in range((depth - 2) // 6):
            total += conv(channels, width, 3) + conv(width, width, 3)
            if shortcut == "B" and channels != width:
                total += conv(channels, width, 1)
            channels = width
    return total


@pytest.mark.parametrize("depth", [20, 32, 44, 56])
@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_number_of_parameters_follows_from_the_depth(depth, shortcut):
    model = build(depth=depth, shortcut=shortcut)
    assert sum(parameter.numel() for parameter in model.parameters()) == num_parameters(depth, shortcut)
    # "Layers" are the convolutions outside the shortcuts and the classifier.
    convolutions = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d) and m.kernel_size == (3, 3)]
    assert len(convolutions) + 1 == depth


@pytest.mark.parametrize("base_channels", [1, 5, 64])
def test_all_widths_follow_from_the_first(base_channels):
    model = build(depth=20, base_channels=base_channels)
    assert sum(parameter.numel() for parameter in model.parameters()) == num_parameters(20, "A", base_channels)
    (feature_map,) = model(torch.zeros(1, 3, 16, 16))
    assert feature_map.shape == (1, 4 * base_channels, 4, 4)


@pytest.mark.parametrize(("shortcut", "millions"), [("A", 7.409), ("B", 7.451)])
def test_the_wide_network_of_glmc(shortcut, millions):
    """With the classifier of 100 classes."""
    total = sum(p.numel() for p in CIFARResNet(base_channels=64, shortcut=shortcut).parameters()) + 256 * 100 + 100
    assert round(total / 1e6, 3) == millions


def test_there_is_a_first_channel():
    with pytest.raises(UserInputError, match="base_channels=0 must be 1 or more, like 16"):
        CIFARResNet(base_channels=0)


def test_the_default_is_the_0_46_million_parameter_network_of_the_tables():
    classifier = 64 * 10 + 10
    total = sum(parameter.numel() for parameter in CIFARResNet().parameters()) + classifier
    assert total == 464_154  # table 6 of He et al. rounds it to 0.46 M


def slow_shortcut(x, channels, stride):
    """Option A by loops: every stride-th pixel, the old channels in the middle of zeros."""
    batch, old, height, width = x.shape
    out = torch.zeros(batch, channels, height // stride, width // stride)
    first = (channels - old) // 2
    for c in range(old):
        for row in range(height // stride):
            for column in range(width // stride):
                out[:, first + c, row, column] = x[:, c, stride * row, stride * column]
    return out


def slow_forward(model, x):
    """The network written out with functions, from the tensors of its state dict."""
    state = model.state_dict()

    def conv_bn(name, number, x, stride, kernel=3):
        x = F.conv2d(x, state[f"{name}conv{number}.weight"], stride=stride, padding=kernel // 2)
        return norm(f"{name}bn{number}", x)

    def norm(name, x):
        mean, var, weight, bias = (
            state[f"{name}.{part}"][None, :, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-5).sqrt() * weight + bias

    x = conv_bn("", 1, x, 1).relu()
    for stage in (1, 2, 3):
        for block in range((model.depth - 2) // 6):
            stride = 2 if stage > 1 and block == 0 else 1
            name = f"layer{stage}.{block}."
            out = conv_bn(name, 2, conv_bn(name, 1, x, stride).relu(), 1)
            if f"{name}projection.0.weight" in state:
                shortcut = F.conv2d(x, state[f"{name}projection.0.weight"], stride=stride)
                shortcut = norm(f"{name}projection.1", shortcut)
            else:
                shortcut = slow_shortcut(x, out.shape[1], stride)
            x = (out + shortcut).relu()
    return x


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_output_equals_the_network_written_out(shortcut):
    model = build(depth=20, shortcut=shortcut)
    x = torch.randn(2, 3, 16, 12, generator=torch.Generator().manual_seed(1))
    kept = x.clone()
    with torch.no_grad():
        (out,) = model(x)
        expected = slow_forward(model, x)
    assert torch.equal(x, kept)
    assert out.shape == (2, 64, 4, 3)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)


def test_memory_format_of_the_input_changes_no_value():
    model = build(depth=20)
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        (plain,) = model(x)
        (channels_last,) = model(x.to(memory_format=torch.channels_last))
    assert plain.shape == (2, 64, 8, 8)
    assert channels_last.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(plain, channels_last, rtol=1e-4, atol=1e-5)
    assert torch.equal(plain.flatten(2)[1, 5], torch.stack([plain[1, 5, i // 8, i % 8] for i in range(64)]))


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_every_parameter_gets_a_gradient(shortcut):
    model = build(depth=20, shortcut=shortcut).train()
    model(torch.randn(4, 3, 8, 8))[0].square().sum().backward()
    for name, parameter in model.named_parameters():
        assert torch.isfinite(parameter.grad).all() and parameter.grad.abs().sum() > 0, name


def test_convolutions_start_kaiming_normal():
    model = CIFARResNet()
    torch.manual_seed(0)
    model.init_weights()
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d) and module.weight.numel() > 4000:
            fan_in = module.weight[0].numel()
            assert float(module.weight.std()) == pytest.approx((2 / fan_in) ** 0.5, rel=0.05)


@pytest.mark.parametrize("depth", [18, 50, 0])
def test_a_depth_that_is_no_cifar_resnet_is_refused(depth):
    with pytest.raises(UserInputError, match=rf"depth={depth} .* choose one of \(20, 32, 44, 56\)"):
        CIFARResNet(depth=depth)


def test_an_unknown_shortcut_is_refused():
    with pytest.raises(UserInputError, match="shortcut='C'"):
        CIFARResNet(shortcut="C")
