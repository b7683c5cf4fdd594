"""H2T: which channels come from where, whose labels count, and what a step of it leaves alone."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from lt_plugins.checkpoints.checkpoint import load_checkpoint
from lt_plugins.engine.optim_wrappers.two_passes import TwoPasses
from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import LabelBatch
from lt_plugins.registry import MODELS
from tests.battery import noise
from tests.gloo import run_gloo
from tests.small_runs import MakeRunner, make_runner  # noqa: F401 (a fixture)

IMAGES = noise(8, 3, 32, 32).double()
LABELS = LabelBatch(torch.tensor([0, 2, 1, 1, 3, 3, 0, 3]), sample_idx=torch.arange(8))
HEAD = {"type": "LinearHead", "num_classes": 4, "in_channels": 64}


def network(kind: str = "H2TClassifier", **changes: Any) -> Any:
    """A small network in float64, whose batch norms are not the identity."""
    torch.manual_seed(0)
    config = {"type": kind, "backbone": {"type": "CIFARResNet", "depth": 20}, "head": HEAD, **changes}
    if kind == "H2TClassifier":
        config.setdefault("rho", 0.3)
    model = MODELS.build(copy.deepcopy(config))
    model.init_weights()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.1)
    return model.double().train()


def drawn_channels(model: Any, width: int = 64) -> set[int]:
    """The channels that are drawn in the next step of a model, found by fusing zeros with ones."""
    zeros = torch.zeros(1, width, 1, 1)
    (fused,) = copy.deepcopy(model).fuse((zeros,), (zeros + 1,))
    return set(fused.flatten().nonzero().flatten().tolist())


def slow_loss(model: Any, images: Tensor, labels: list[int], channels: set[int]) -> float:
    """The loss by loops over images, channels and classes, from the maps that the backbone gives for each part."""
    size = len(images) // 2
    with torch.no_grad():
        balanced, natural = (model.backbone(part)[-1] for part in (images[:size], images[size:]))
    weight, bias = model.head.fc.weight.detach(), model.head.fc.bias.detach()
    total = 0.0
    for i in range(size):
        pooled = [float((natural if d in channels else balanced)[i, d].mean()) for d in range(balanced.shape[1])]
        logits = [
            float(b) + sum(float(w) * x for w, x in zip(row, pooled, strict=True))
            for row, b in zip(weight, bias, strict=True)
        ]
        total += np.logaddexp.reduce(logits) - logits[labels[i]]
    return total / size


@pytest.mark.parametrize("norm_eval", [False, True])
@pytest.mark.parametrize("rho", [0.0, 0.25, 0.7, 1.0])
def test_equals_a_slow_loop(rho: float, norm_eval: bool) -> None:
    model = network(rho=rho, norm_eval=norm_eval)
    model.set_seed(7)
    reference = copy.deepcopy(model)
    channels = drawn_channels(model)
    assert len(channels) == int(rho * 64)
    loss = model.loss(IMAGES, LABELS)["loss"]
    assert loss.item() == pytest.approx(
        slow_loss(reference, IMAGES, LABELS.one_label_each.tolist(), channels), rel=1e-12
    )


def test_one_set_of_channels_a_step() -> None:
    """Uniformly drawn, from the seed of the run and the epoch."""
    model = network(rho=0.25)
    sets = []
    for epoch in (0, 1, 0):
        model.set_epoch(epoch, 10)
        sets.append([frozenset(drawn_channels(model)), frozenset(_next_set(model)), frozenset(_next_set(model))])
    assert sets[0][0] == sets[0][1], "the next draw is the first of the epoch"
    assert sets[0] == sets[2]
    assert len({*sets[0][1:], *sets[1][1:]}) == 4
    counts = np.zeros(64)
    for _ in range(2000):
        counts[list(_next_set(model))] += 1
    # 500 of 2000 on average, with a standard deviation of 19.4.
    assert abs(counts - 500).max() < 5 * 19.4


def _next_set(model: Any) -> set[int]:
    zeros = torch.zeros(1, 64, 1, 1)
    (fused,) = model.fuse((zeros,), (zeros + 1,))
    return set(fused.flatten().nonzero().flatten().tolist())


def test_without_channels_it_is_a_class_balanced_stage() -> None:
    """rho = 0: the step of a classifier on the balanced images alone, bit for bit."""
    plain = network("FrozenBackboneClassifier", norm_eval=True)
    model = network(rho=0.0, norm_eval=True)
    expected, found = plain.loss(IMAGES[:4], LABELS[:4])["loss"], model.loss(IMAGES, LABELS)["loss"]
    assert torch.equal(found, expected)
    for loss in (expected, found):
        loss.backward()
    assert torch.equal(model.head.fc.weight.grad, plain.head.fc.weight.grad)


def test_with_all_channels_the_natural_images_have_the_labels_of_the_balanced_ones() -> None:
    plain = network("FrozenBackboneClassifier", norm_eval=True)
    expected = plain.loss(IMAGES[4:], LABELS[:4])["loss"]
    assert torch.equal(network(rho=1.0, norm_eval=True).loss(IMAGES, LABELS)["loss"], expected)


def test_labels_of_natural_images_do_not_count() -> None:
    other = LabelBatch(torch.cat([LABELS.one_label_each[:4], torch.tensor([1, 1, 1, 1])]))
    assert torch.equal(network().loss(IMAGES, LABELS)["loss"], network().loss(IMAGES, other)["loss"])


def test_only_the_head_learns_and_both_parts_move_the_statistics() -> None:
    model = network()
    reference = copy.deepcopy(model)
    for part in (IMAGES[:4], IMAGES[4:]):
        reference.backbone(part)
    model.loss(IMAGES, LABELS)["loss"].backward()
    assert [name for name, p in model.named_parameters() if p.grad is not None] == ["head.fc.weight", "head.fc.bias"]
    for key, value in model.backbone.state_dict().items():
        assert torch.equal(value, reference.backbone.state_dict()[key]), key
    assert model.backbone.bn1.num_batches_tracked == 2


def test_fusing_writes_into_no_map() -> None:
    model = network()
    balanced, natural = (noise(2, 64, 3, 3, seed=seed) for seed in (0, 1))
    before = balanced.clone(), natural.clone()
    (fused,) = model.fuse((balanced,), (natural,))
    assert torch.equal(balanced, before[0])
    assert torch.equal(natural, before[1])
    assert not torch.equal(fused, balanced)


def test_experts_have_sets_of_their_own_and_go_on_from_the_first_stage() -> None:
    backbone = {"type": "CIFARResNet", "depth": 20, "num_experts": 2, "expert_width": 0.5}
    head = {
        "type": "MultiExpertHead",
        "num_classes": 4,
        "in_channels": 32,
        "num_experts": 2,
        "loss": {"type": "RIDELoss"},
    }
    model = network(backbone=backbone, head=head)
    parts = ("backbone.", "neck.", "head.experts.0.fc.", "head.experts.1.fc.")
    assert model.initialised_parts == parts
    for module in model.modules():
        if hasattr(module, "set_counts"):
            module.set_counts([10, 5, 2, 1])
    assert torch.isfinite(model.loss(IMAGES, LABELS)["loss"])
    zeros = torch.zeros(1, 32, 1, 1)
    first, second = model.fuse((zeros, zeros), (zeros + 1, zeros + 1))
    assert first.sum() == second.sum() == int(0.3 * 32)
    assert not torch.equal(first, second)


def test_any_head_on_the_fused_features() -> None:
    """LDAM on a cosine classifier: the loss is that of the head for the features of the fused maps."""
    head = {"type": "CosineClsHead", "num_classes": 4, "in_channels": 64, "loss": {"type": "LDAMLoss"}}
    model = network(head=head, norm_eval=True)
    model.head.loss_module.class_distribution.set_counts([30, 10, 3, 1])
    channels = sorted(drawn_channels(model))
    with torch.no_grad():
        own, other = (model.backbone(part)[-1] for part in (IMAGES[:4], IMAGES[4:]))
        own[:, channels] = other[:, channels]
    expected = model.head.loss((own.mean(dim=(2, 3)),), LABELS[:4])["loss"]
    torch.testing.assert_close(model.loss(IMAGES, LABELS)["loss"], expected)


def test_the_second_pass_of_a_step_has_the_same_channels() -> None:
    model = network(norm_eval=True)
    passes = TwoPasses(model, updates_batch_norm=False)
    with passes.first():
        first = model(inputs=IMAGES, data_samples=LABELS, mode="loss")["loss"]
    with passes.second() as second:
        assert torch.equal(second, first)


def train_on_part(rank_images: list[list[int]]) -> list[Tensor]:
    """Three steps on the images of this process; the weights of the head."""
    from lt_plugins.distributed import rank_and_world_size

    rank, _ = rank_and_world_size()
    chosen = torch.tensor(rank_images[rank])
    model = network(norm_eval=True, rho=0.5)
    model.set_seed(11)
    model.set_epoch(1, 10)
    torch.manual_seed(rank)  # a process of its own
    wrapped = DistributedDataParallel(model)
    optimiser = torch.optim.SGD(model.head.parameters(), lr=0.5, momentum=0.9)
    for _ in range(3):
        optimiser.zero_grad()
        wrapped(IMAGES[chosen], LabelBatch(LABELS.one_label_each[chosen]), mode="loss")["loss"].backward()
        optimiser.step()
    return [parameter.detach() for parameter in model.head.parameters()]


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    """They draw the same channels, so that two batches of 4 images are one of 8."""
    (one,) = run_gloo(train_on_part, [[*range(8)]], folder=tmp_path / "one", world_size=1)
    two = run_gloo(train_on_part, [[0, 1, 4, 5], [2, 3, 6, 7]], folder=tmp_path / "two")
    for process in two:
        for found, expected in zip(process, one, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_a_resumed_run_repeats_the_one_left_alone(make_runner: MakeRunner, tmp_path: Path) -> None:  # noqa: F811
    """Bit for bit, from the checkpoint of an earlier stage."""
    head = {"type": "LinearHead", "num_classes": 10, "in_channels": 64}
    torch.save({"state_dict": network("FrozenBackboneClassifier", head=head).float().state_dict()}, tmp_path / "1.pth")
    overrides: dict[str, Any] = {
        "model.type": "H2TClassifier",
        "model.rho": 0.25,
        "train_cfg.max_epochs": 2,
        "train_dataloader.batch_size": 6,
        "train_dataloader.sampler": {"_delete_": True, "type": "ClassBalancedSampler"},
        "train_dataloader.batch_sampler": {
            "type": "CompanionBatchSampler",
            "companions": [{"type": "DefaultSampler", "shuffle": True}],
        },
    }
    alone = make_runner(work_dir=str(tmp_path / "alone"), load_from=str(tmp_path / "1.pth"), **overrides)
    alone.train()
    first, expected = (load_checkpoint(tmp_path / f"alone/epoch_{epoch}.pth")["state_dict"] for epoch in (1, 2))
    resumed = make_runner(
        work_dir=str(tmp_path / "resumed"), load_from=str(tmp_path / "alone/epoch_1.pth"), resume=True, **overrides
    )
    resumed.train()
    found = resumed.model.state_dict()
    assert all(torch.equal(found[key], value) for key, value in expected.items())
    moved = {key for key, value in expected.items() if not torch.equal(first[key], value)}
    assert {"head.fc.weight", "backbone.bn1.running_mean"} <= moved
    assert not any(key.endswith("conv1.weight") for key in moved)


def test_settings_are_checked() -> None:
    with pytest.raises(UserInputError, match=r"rho=1\.5 must be a share of the channels from 0 to 1, like 0\.25"):
        network(rho=1.5)
    with pytest.raises(UserInputError, match=r"Mixup or CutMix would mix both before; remove data_preprocessor\.batch"):
        network(data_preprocessor={"num_classes": 4, "batch_augments": {"augments": {"type": "Mixup", "alpha": 1.0}}})
    with pytest.raises(UserInputError, match=r"a batch of 5 images does not split into num_environments=2"):
        network().loss(IMAGES[:5], LABELS[:5])
    with pytest.raises(UserInputError, match=r"H2TClassifier trains on one view of each image and got 2"):
        network().loss([IMAGES, IMAGES], LABELS)
