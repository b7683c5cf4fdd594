"""SwAV and BYOL of mmpretrain as classifiers: the same losses and steps, the probe, the target network, state."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import ClassDistribution, LabelBatch
from tests.battery import samples
from tests.engine.test_no_waiting import noted_waits

CLASSES, IMAGES, LENGTH = 4, 8, 10
LABELS = torch.tensor([0, 1, 2, 3, 0, 1, 2, 0])
BACKBONE = {"type": "CIFARResNet", "depth": 20, "base_channels": 8}
NECK = {
    "type": "NonLinearNeck",
    "in_channels": 32,
    "hid_channels": 32,
    "out_channels": 16,
    "with_last_bn": False,
    "norm_cfg": {"type": "BN1d"},
}
PREDICTOR = {
    "type": "LatentPredictHead",
    "loss": {"type": "CosineSimilarityLoss"},
    "predictor": {**NECK, "in_channels": 16, "with_avg_pool": False},
}
BYOL = {"neck": NECK, "head": PREDICTOR, "base_momentum": 0.2}
SWAV = {
    "type": "SwAV",
    "neck": {
        "type": "SwAVNeck",
        "in_channels": 32,
        "hid_channels": 32,
        "out_channels": 16,
        "norm_cfg": {"type": "BN1d"},
    },
    "head": {
        "type": "SwAVHead",
        "loss": {
            "type": "SwappedPredictionLoss",
            "feat_dim": 16,
            "num_views": 4,
            "num_prototypes": 6,
            "queue_size": 16,
            "queue_from": 0,
        },
    },
}
ALGORITHMS: dict[str, dict[str, Any]] = {"BYOL": {"type": "StepBYOL", **BYOL}, "SwAV": SWAV}


@pytest.fixture(autouse=True)
def training() -> Iterator[None]:
    """The length of a training, as the runner tells it."""
    init_default_scope("mmpretrain")
    MessageHub.get_current_instance().update_info("max_iters", LENGTH)
    yield
    MessageHub.get_current_instance().pop_info("max_iters")


def build(algorithm: str, /, **settings: Any) -> Any:
    """A classifier with weights of its own: no two of its convolutions are the same."""
    torch.manual_seed(0)
    head = {"type": "ProbeHead", "num_classes": CLASSES, "in_channels": 32}
    config = {"backbone": BACKBONE, "algorithm": ALGORITHMS[algorithm], "head": head, **settings}
    model = MODELS.build({"type": "SelfSupervisedClassifier", **copy.deepcopy(config)})
    for part in model.modules():
        if isinstance(part, ClassDistribution):
            part.set_counts([30, 7, 2, 1])
    return model


def views(seed: int, algorithm: str) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    sizes = (16, 16) if algorithm == "BYOL" else (16, 16, 8, 8)
    return [torch.randn(IMAGES, 3, size, size, generator=generator) for size in sizes]


def train(model: Any, algorithm: str, steps: range, optimiser: torch.optim.Optimizer | None = None) -> list[float]:
    optimiser = optimiser or torch.optim.SGD(model.parameters(), lr=0.05)
    values = []
    for seed in steps:
        losses = model.loss(views(seed, algorithm), samples(LABELS))
        optimiser.zero_grad()
        sum(losses.values()).backward()
        optimiser.step()
        values.append(float(losses["loss_selfsup"].detach()))
    return values


def test_byol_trains_as_mmpretrains_does() -> None:
    """Losses of several steps, between which the network, the target and its share change."""
    own = build("BYOL")
    theirs = MODELS.build({"type": "BYOL", "backbone": BACKBONE, **copy.deepcopy(BYOL)})
    theirs.backbone.load_state_dict(own.backbone.state_dict())
    for part in ("neck", "head"):
        getattr(theirs, part).load_state_dict(getattr(own.algorithm, part).state_dict())
    optimiser = torch.optim.SGD(theirs.parameters(), lr=0.05)
    expected = []
    for seed in range(4):
        loss = theirs.loss(views(seed, "BYOL"), None)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        expected.append(float(loss.detach()))
    assert train(own, "BYOL", range(4)) == pytest.approx(expected, rel=1e-3)
    for name, value in theirs.target_net.state_dict().items():
        torch.testing.assert_close(own.algorithm.target_net.state_dict()[name], value, rtol=1e-3, atol=1e-3)
    assert max(expected) - min(expected) > 0.1


def test_swav_computes_what_mmpretrains_does() -> None:
    own = build("SwAV")
    theirs = MODELS.build(
        {
            "type": "SwAV",
            "backbone": BACKBONE,
            "neck": SWAV["neck"],
            "head": {"type": "SwAVHead", "loss": {"type": "SwAVLoss", "feat_dim": 16, "num_prototypes": 6}},
        }
    )
    theirs.head.loss_module.num_crops = [2, 2]
    theirs.backbone.load_state_dict(own.backbone.state_dict())
    theirs.neck.load_state_dict(own.algorithm.neck.state_dict())
    theirs.head.loss_module.prototypes.load_state_dict(own.algorithm.head.loss_module.prototypes.state_dict())
    batch = views(3, "SwAV")
    losses = own.loss(batch, samples(LABELS))
    torch.testing.assert_close(losses["loss_selfsup"], theirs.loss(batch, None)["loss"])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_probe_sees_the_first_view_and_moves_nothing_else(algorithm: str) -> None:
    """In evaluation mode, where the features of an image do not depend on the others of its pass."""
    model, batch = build(algorithm).eval(), views(0, algorithm)
    losses = model.loss(batch, samples(LABELS))
    assert set(losses) == {"loss_selfsup", "loss_probe"}
    expected = model.head.loss(model.extract_feat(batch[0]), samples(LABELS))["loss"]
    torch.testing.assert_close(losses["loss_probe"], expected)
    losses["loss_probe"].backward()
    moved = [name for name, parameter in model.named_parameters() if parameter.grad is not None]
    assert moved == ["head.fc.weight", "head.fc.bias"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_projections_are_what_the_algorithm_compares(algorithm: str) -> None:
    model, batch = build(algorithm).eval(), views(0, algorithm)
    outputs: list[Any] = []
    model.algorithm.neck.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    model.loss(batch, samples(LABELS))
    seen = outputs[0] if isinstance(outputs[0], Tensor) else outputs[0][0]
    first_view = seen[:IMAGES]
    expected = first_view / first_view.square().sum(dim=1, keepdim=True).sqrt()
    torch.testing.assert_close(model.extract_projections(batch[0]), expected)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_algorithm_sees_no_labels(algorithm: str) -> None:
    values = [
        build(algorithm).loss(views(0, algorithm), samples(labels))["loss_selfsup"]
        for labels in (LABELS, LABELS.flip(0))
    ]
    assert torch.equal(*values)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_one_backbone_in_state_and_copies(algorithm: str) -> None:
    model = build(algorithm)
    assert not any(key.startswith("algorithm.backbone") for key in model.state_dict())
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert twin.algorithm.backbone.module is twin.backbone is not model.backbone


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_goes_on_from_its_state(algorithm: str) -> None:
    """The state of the model alone: no file beside it, and nothing of the object."""
    alone, first, second = (build(algorithm) for _ in range(3))
    expected = train(alone, algorithm, range(5))
    train(first, algorithm, range(3))
    second.load_state_dict(first.state_dict())
    assert train(second, algorithm, range(3, 5)) == expected[3:]
    for name, value in alone.state_dict().items():
        assert torch.equal(second.state_dict()[name], value), name


def test_target_follows_a_cosine() -> None:
    model = build("BYOL").algorithm
    target, online = model.target_net.module, nn.Sequential(model.backbone, model.neck)
    expected = None
    for step in range(LENGTH):
        for parameter in online.parameters():
            parameter.data = torch.full_like(parameter, float(step + 1))
        model.target_net.update_parameters(online)
        share = 0.2 * (torch.cos(torch.tensor(torch.pi * step / LENGTH)) + 1) / 2
        expected = 1.0 if expected is None else expected + share.item() * (step + 1 - expected)
        for parameter in target.parameters():
            torch.testing.assert_close(parameter, torch.full_like(parameter, expected), rtol=1e-5, atol=0)


def test_target_moves_once_a_step_and_not_in_a_second_pass() -> None:
    model = build("BYOL").algorithm
    network = nn.Sequential(model.backbone, model.neck)

    def moved(**position: bool) -> bool:
        for name, value in position.items():
            setattr(model.target_net, name, value)
        before = [p.clone() for p in model.target_net.module.parameters()]
        for parameter in network.parameters():
            parameter.data = parameter.data + 1
        model.target_net.update_parameters(network)
        return not all(map(torch.equal, before, model.target_net.module.parameters()))

    assert moved(starts_step=True)
    assert not moved(starts_step=False)
    assert not moved(starts_step=True, repeats_batch=True)
    assert moved(starts_step=True, repeats_batch=False)
    assert int(model.target_net.steps) == 3, "batches, of which the training has max_iters"


def test_similarities_are_not_rounded_by_autocast() -> None:
    model = build("BYOL")
    with torch.autocast("cpu", torch.bfloat16):
        assert model.loss(views(0, "BYOL"), samples(LABELS))["loss_selfsup"].dtype == torch.float32


def test_target_needs_a_training() -> None:
    MessageHub.get_current_instance().update_info("max_iters", None)
    with pytest.raises(UserInputError, match=r"none runs; use tools/train.py"):
        build("BYOL").loss(views(0, "BYOL"), samples(LABELS))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_asks_the_device_for_nothing(algorithm: str) -> None:
    model = build(algorithm)
    with noted_waits() as names:
        model.loss(views(0, algorithm), LabelBatch(LABELS))
    # SwAV of mmpretrain: where views of a size begin and end, numbers of the CPU.
    assert names == (["_local_scalar_dense"] * 3 if algorithm == "SwAV" else [])


@pytest.mark.parametrize(
    ("algorithm", "settings", "message"),
    [
        ("BYOL", {"algorithm": {"type": "BYOL", **BYOL}}, "model.algorithm.type='BYOL' is not one .* 'StepBYOL'"),
        (
            "SwAV",
            {"algorithm": {**SWAV, "head": {"type": "SwAVHead", "loss": {"type": "SwAVLoss", "feat_dim": 16}}}},
            "'SwAVLoss' loses its queue",
        ),
        ("BYOL", {"algorithm": {"type": "StepBYOL", **BYOL, "base_momentum": 1.5}}, "base_momentum=1.5"),
        (
            "BYOL",
            {"data_preprocessor": {"batch_augments": {"augments": {"type": "Mixup", "alpha": 1.0}}, "num_classes": 4}},
            "remove Mixup",
        ),
    ],
)
def test_settings_are_checked(algorithm: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        build(algorithm, **settings)


@pytest.mark.parametrize(("algorithm", "given"), [("BYOL", 1), ("SwAV", 3)])
def test_views_are_counted(algorithm: str, given: int) -> None:
    batch: Any = views(0, algorithm)[:given]
    with pytest.raises(UserInputError, match=r"views of each image and got .* put a MultiView"):
        build(algorithm).loss(batch[0] if given == 1 else batch, samples(LABELS))
