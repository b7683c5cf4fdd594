"""MetaSAug in a network: what looking ahead leaves alone, and the classifier alone, with one process and two."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.classifiers import MetaSAugClassifier
from lt_plugins.models.heads import MetaSAugHead
from lt_plugins.models.structures import LabelBatch
from tests.gloo import run_gloo

CLASSES, CHANNELS, LR, GAMMA = 3, 64, 0.1, 50.0
LABELS = torch.tensor([0, 1, 0, 2, 2, 1, 0, 1])


def numbers(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


IMAGES, FEATURES = numbers(8, 3, 8, 8, seed=0), numbers(8, CHANNELS, seed=1)


def prepare(head: Any) -> None:
    loss = head.loss_module
    loss.class_distribution.set_counts([30, 7, 2])
    root = numbers(*loss.class_covariance.shape, seed=2)
    loss.class_covariance.copy_(root @ root.mT / CHANNELS)
    loss.class_count.fill_(5)
    loss.set_progress(1.0)


def make_classifier(switch_from: int = 0) -> MetaSAugClassifier:
    torch.manual_seed(0)
    loss = {"gamma": GAMMA, "switch_from": switch_from}
    head = {"type": "MetaSAugHead", "num_classes": CLASSES, "in_channels": CHANNELS, "loss": loss}
    model = MetaSAugClassifier({"type": "CIFARResNet", "depth": 20}, head).double().train()
    model.head.set_optimizer(torch.optim.SGD(model.parameters(), lr=LR, momentum=0.9, weight_decay=0.1))
    prepare(model.head)
    return model


def make_head() -> MetaSAugHead:
    head = MetaSAugHead(CLASSES, CHANNELS, loss={"gamma": GAMMA, "normalize_by": "batch"}).double().train()
    for place, parameter in enumerate(head.parameters()):
        parameter.data.copy_(numbers(*parameter.shape, seed=10 + place))
    head.set_optimizer(torch.optim.SGD(head.parameters(), lr=LR, momentum=0.9))
    prepare(head)
    return head


def test_whole_network_against_a_graph_through_a_copy() -> None:
    """As the released code: a copy of the network, a step that keeps its graph, the meta images through the copy."""
    model = make_classifier()
    twin, loss = copy.deepcopy(model), model.head.loss_module
    covariance = loss.class_covariance.clone().requires_grad_()
    values = dict(twin.named_parameters())
    features = twin.head.pre_logits(twin.extract_feat(IMAGES[:4]))
    inner = twin.head.loss_module(features, LABELS[:4], twin.head.fc.weight, twin.head.fc.bias, covariance=covariance)
    gradients = torch.autograd.grad(inner, list(values.values()), create_graph=True)
    ahead = {name: value - LR * gradient for (name, value), gradient in zip(values.items(), gradients, strict=True)}
    logits = torch.func.functional_call(twin, ahead, (IMAGES[4:],))
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits, LABELS[4:]), covariance)
    learned = covariance.detach() - GAMMA * gradient

    plain = copy.deepcopy(model)
    features = plain.head.pre_logits(plain.extract_feat(IMAGES[:4]))
    fc = plain.head.fc
    expected = plain.head.loss_module(features, LABELS[:4], fc.weight, fc.bias, covariance=learned)
    plain.head.loss_module.update(features, LABELS[:4])
    actual = model.loss(IMAGES, LabelBatch(LABELS))["loss"]
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-12)
    assert float((actual - inner).detach().abs()) > 1e-6, "the covariances were not learned"
    # Running statistics and covariances are those of one ordinary pass of the training images.
    for (name, value), other in zip(model.state_dict().items(), plain.state_dict().values(), strict=True):
        torch.testing.assert_close(value, other, rtol=0, atol=0, msg=name)
    actual.backward()
    expected.backward()
    for (name, parameter), other in zip(model.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, other.grad, rtol=1e-7, atol=1e-10, msg=name)


def test_meta_images_are_left_out_before_the_switch() -> None:
    model = make_classifier(switch_from=160)
    loss = model.head.loss_module
    loss.set_epoch(159, 200)
    before = loss.class_covariance.clone()
    twin = copy.deepcopy(model)
    expected = F.cross_entropy(twin(IMAGES[:4]), LABELS[:4])
    torch.testing.assert_close(model.loss(IMAGES, LabelBatch(LABELS))["loss"], expected, rtol=1e-12, atol=0)
    assert torch.equal(loss.class_covariance, before)


def step_of(head: MetaSAugHead, rows: Tensor) -> Tensor:
    """Gradient of the weights and the covariances after a step."""
    loss = head.loss((FEATURES[rows],), LabelBatch(LABELS[rows]))["loss"]
    loss.backward()
    assert head.fc.weight.grad is not None
    return torch.cat([head.fc.weight.grad.flatten(), head.loss_module.class_covariance.flatten()])


def step_of_rank() -> Tensor:
    rank = torch.distributed.get_rank()
    result = step_of(make_head(), torch.arange(8).view(2, 2, 2)[:, rank].flatten())
    gradient = result[: CLASSES * CHANNELS].clone()
    torch.distributed.all_reduce(gradient)  # what DistributedDataParallel does
    return torch.cat([gradient / 2, result[CLASSES * CHANNELS :]])


def test_two_processes_equal_one(tmp_path: Path) -> None:
    """The classifier alone, with losses divided by the images; sums of class weights differ between processes."""
    expected = step_of(make_head(), torch.arange(8))
    for actual in run_gloo(step_of_rank, folder=tmp_path):
        torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-13)


def test_errors() -> None:
    backbone = {"type": "CIFARResNet", "depth": 20}
    head = {"num_classes": CLASSES, "in_channels": CHANNELS}
    with pytest.raises(UserInputError, match=r"a MetaSAugHead, and model\.head is LinearHead; set model\.head\.type"):
        MetaSAugClassifier(backbone, {"type": "LinearHead", **head})
    mixup = {"batch_augments": {"augments": [{"type": "Mixup", "alpha": 1.0}]}}
    with pytest.raises(UserInputError, match="which Mixup and CutMix would mix; remove data_preprocessor"):
        MetaSAugClassifier(backbone, {"type": "MetaSAugHead", **head}, data_preprocessor={"num_classes": 3, **mixup})
