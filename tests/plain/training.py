"""A plain PyTorch loop with each loss, the sampler, the clustering and the metrics; no part of OpenMMLab is at hand."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, DataLoader, TensorDataset

import lt_plugins
from lt_plugins.clustering import ClassAttributeTable, class_temperatures, kmeans, prototypes, subclass_clusters
from lt_plugins.datasets.labels import get_class_counts
from lt_plugins.datasets.samplers import (
    ClassAwareSampler,
    ClassBalancedSampler,
    DeferredSampler,
    EnvironmentSampler,
    EpisodicSampler,
    MetaSampler,
)
from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.functional import class_accuracy, expected_calibration_error, shot_accuracy
from lt_plugins.models import losses
from lt_plugins.models.losses import LongTailLoss, MultiExpertLoss, PCLLoss, SBCLLoss
from lt_plugins.models.structures import ContrastBatch, LabelBatch, LabelledQueue, NetworkOutputs
from tests.plain.rooms import ROOMS
from tests.plain.without_openmmlab import HIDDEN

COUNTS = torch.tensor([120, 60, 30, 10])
LABELS = torch.arange(4).repeat_interleave(COUNTS)
INPUTS = 3 * F.one_hot(LABELS, 8).float() + torch.randn(len(LABELS), 8, generator=torch.Generator().manual_seed(0))
CHANNELS, LATENTS, EPOCHS = 16, 5, 8


class Net(nn.Module):
    """Features, and what losses take of them."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, CHANNELS), nn.ReLU(), nn.Linear(CHANNELS, CHANNELS))
        self.fc = nn.Linear(CHANNELS, len(COUNTS))
        self.projector = nn.Linear(CHANNELS, 8)
        self.latents = nn.Parameter(torch.randn(LATENTS, CHANNELS))
        self.latent_fc = nn.Linear(CHANNELS, LATENTS)

    def views(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        return self.body(inputs + 0.3 * torch.randn_like(inputs)), self.body(inputs + 0.3 * torch.randn_like(inputs))


# From net, loss and a batch (inputs, labels, indices) to the value of the loss.
Step = Callable[[Net, Any, Tensor, Tensor, Tensor], Tensor]


def logits_step(net: Net, loss: Any, inputs: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
    return loss(net.fc(net.body(inputs)), labels)


def cosine_step(net: Net, loss: Any, inputs: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
    return loss(30 * F.linear(F.normalize(net.body(inputs)), F.normalize(net.fc.weight)), labels)


def feature_step(net: Net, loss: Any, inputs: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
    return loss(net.body(inputs), labels, net.fc.weight, net.fc.bias)


def contrast_step(net: Net, loss: Any, inputs: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
    first, second = net.views(inputs)
    return loss(ContrastBatch.from_views(net.projector(first), net.projector(second), labels, indices))


def views_step(net: Net, loss: Any, inputs: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
    return loss(F.normalize(net.projector(torch.cat(net.views(inputs))), dim=1))


def centre_step(net: Net, loss: Any, inputs: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
    first, second = net.views(inputs)
    contrast = ContrastBatch.from_views(net.projector(first), net.projector(second), labels)
    return loss(net.fc(torch.cat([first, second])), contrast)


def latent_step(net: Net, loss: Any, inputs: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
    loss.update(net.latents)
    return loss(net.latents, net.latent_fc.weight, net.latent_fc.bias)


def map_step(net: Net, loss: Any, inputs: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
    """Feature maps of three locations."""
    maps = torch.stack([inputs, inputs.roll(1, dims=1), inputs.roll(2, dims=1)], dim=1)
    return loss(net.body(maps), F.pad(maps, (0, CHANNELS - 8)))


def aux_step(net: Net, loss: Any, inputs: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
    """Cross-entropy and what an auxiliary loss adds, of two environments."""
    features = net.body(inputs)
    logits = net.fc(features)
    added = loss(features, logits, LabelBatch(labels, sample_idx=indices), 2)
    return F.cross_entropy(logits, labels) + (0.0 if added is None else added)


def experts_step(net: Net, loss: Any, inputs: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
    """Three experts, which see the inputs at other angles."""
    return loss(torch.stack([net.fc(net.body(inputs.roll(shift, dims=1))) for shift in range(3)], dim=1), labels)


def teacher_step(net: Net, loss: Any, inputs: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
    """The teacher knows the classes."""
    features = net.body(inputs)
    teacher = NetworkOutputs(inputs, 3 * F.one_hot(labels, len(COUNTS)).float())
    return loss(NetworkOutputs(features, net.fc(features)), [teacher])


def curriculum_step(net: Net, loss: Any, inputs: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
    """Cross-entropy of images that weigh by themselves."""
    return (loss(indices) * F.cross_entropy(net.fc(net.body(inputs)), labels, reduction="none")).mean()


class Case:
    """How a loss is built and called.

    Args:
        step: The call.
        build: The loss. Defaults to the class without arguments.
        every_epoch: Called with net, loss and the share of the training that is done, before each epoch.
    """

    def __init__(
        self,
        step: Step,
        build: Callable[[], nn.Module] | None = None,
        every_epoch: Callable[[Net, Any, float], object] = lambda net, loss, progress: None,
    ) -> None:
        self.step, self.build, self.every_epoch = step, build, every_epoch


@torch.no_grad()
def find_subclasses(net: Net, loss: SBCLLoss, progress: float) -> None:
    features = F.normalize(net.projector(net.body(INPUTS)), dim=1)
    found = subclass_clusters(features, LABELS, min_size=10)
    assert found.subclass_to_class.bincount().tolist() == [12, 6, 3, 1]
    loss.set_subclasses(found.subclass)
    loss.set_class_temperatures(class_temperatures(features, LABELS, len(COUNTS), loss.temperature))


@torch.no_grad()
def find_attributes(net: Net, loss: losses.AttributePositives, progress: float) -> None:
    """Of features with one place an image."""
    features = net.body(INPUTS)
    prototypes = kmeans(F.normalize(features, dim=1), loss.num_attributes).centroids
    loss.resize_and_copy("prototypes", prototypes)
    table = ClassAttributeTable(len(COUNTS), loss.num_attributes)
    table.update(loss.attribute_scores(features), LABELS)
    loss.set_attributes(prototypes, table.class_scores())
    assert loss.attribute_labels.sum(dim=1).tolist() == [2] * len(COUNTS)


@torch.no_grad()
def find_prototypes(net: Net, loss: PCLLoss, progress: float) -> None:
    features = net.projector(net.body(INPUTS))
    numbers = loss.cluster_counts(len(features))
    assert numbers == [11, 22]
    loss.set_prototypes([prototypes(features, number, loss.temperature) for number in numbers])


def recorder() -> nn.Module:
    found = losses.EnvironmentRecorder()
    found.set_num_images(len(LABELS))
    return found


def curriculum() -> nn.Module:
    found = losses.InstanceCurriculum()
    found.set_start(torch.rand(len(LABELS)))
    return found


def distillation() -> nn.Module:
    """Of one expert on all classes but the first."""
    found = losses.LFMELoss()
    found.set_experts([torch.tensor([1, 2, 3])])
    return found


CASES = {
    "AttributePositives": Case(
        contrast_step, lambda: losses.AttributePositives(8, attributes_per_class=2, weights=1.0), find_attributes
    ),
    "BCLLoss": Case(contrast_step),
    "CenterLoss": Case(aux_step),
    "CentroidLoss": Case(aux_step, lambda: losses.CentroidLoss(len(COUNTS), CHANNELS)),
    "EnvironmentRecorder": Case(aux_step, recorder),
    "IRMPenalty": Case(aux_step, lambda: losses.IRMPenalty(weights=0.01)),
    "ISDALoss": Case(
        feature_step,
        lambda: losses.ISDALoss(len(COUNTS), CHANNELS),
        lambda net, loss, progress: loss.set_progress(progress),
    ),
    "InstanceContrastLoss": Case(contrast_step),
    "InstanceCurriculum": Case(
        curriculum_step, curriculum, lambda net, loss, progress: loss.set_epoch(round(progress * EPOCHS), EPOCHS)
    ),
    "KCLLoss": Case(contrast_step),
    "KDLoss": Case(teacher_step),
    "LDAMLoss": Case(cosine_step),
    "LFMELoss": Case(teacher_step, distillation),
    "LatentISDALoss": Case(
        latent_step,
        lambda: losses.LatentISDALoss(LATENTS, CHANNELS),
        lambda net, loss, progress: loss.set_progress(progress),
    ),
    "MetaSAugLoss": Case(
        feature_step,
        lambda: losses.MetaSAugLoss(len(COUNTS), CHANNELS),
        lambda net, loss, progress: loss.set_progress(progress),
    ),
    "PCLLoss": Case(
        contrast_step,
        lambda: losses.PCLLoss(num_clusters=(5, 10), num_negatives=8, per_images=100),
        find_prototypes,
    ),
    "PaCoLoss": Case(centre_step),
    "ProCoLoss": Case(
        contrast_step,
        lambda: losses.ProCoLoss(8, len(COUNTS), 0.5),
        lambda net, loss, progress: loss.directions.set_epoch(round(progress * EPOCHS), EPOCHS),
    ),
    "RangeLoss": Case(aux_step),
    "ReconstructionLoss": Case(map_step),
    "SBCLLoss": Case(contrast_step, every_epoch=find_subclasses),
    "SHIKELoss": Case(experts_step, lambda: losses.SHIKELoss(loss_weight=0.1)),
    "SupConLoss": Case(contrast_step),
    "TSCLoss": Case(
        contrast_step,
        every_epoch=lambda net, loss, progress: loss.set_epoch(round(progress * EPOCHS), EPOCHS),
    ),
    "SwappedPredictionLoss": Case(views_step, lambda: losses.SwappedPredictionLoss(8, num_views=2, num_prototypes=12)),
}


def train(name: str) -> tuple[Net, list[float]]:
    """Train with a loss by its name, with a class-aware sampler; the net and the mean loss of each epoch."""
    torch.manual_seed(0)
    kind = getattr(losses, name)
    case = CASES.get(name) or Case(experts_step if issubclass(kind, MultiExpertLoss) else logits_step)
    loss: Any = (case.build or kind)()
    net = Net()
    if hasattr(loss, "class_distribution"):
        loss.class_distribution.set_counts(COUNTS)
    dataset = TensorDataset(INPUTS, LABELS, torch.arange(len(LABELS)))
    sampler = ClassAwareSampler(LABELS, seed=0)
    loader = DataLoader(dataset, batch_size=44, sampler=sampler)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    means = []
    for epoch in range(EPOCHS):
        sampler.set_epoch(epoch)
        case.every_epoch(net, loss, epoch / EPOCHS)
        values = []
        for batch in loader:
            value = case.step(net, loss, *batch)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            values.append(value.item())
        means.append(sum(values) / len(values))
    return net, means


def names_of_losses() -> list[str]:
    bases = ("AuxLoss", "ContrastAuxLoss", "LongTailLoss", "MultiExpertLoss")
    return [name for name in losses.__all__ if name not in bases]


def test_nothing_of_openmmlab_is_at_hand() -> None:
    for name in HIDDEN:
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(name)


def test_every_room_is_imported() -> None:
    folder = Path(lt_plugins.__file__).parent
    found = set()
    for path in folder.rglob("*.py"):
        relative = path.relative_to(folder)
        if any(relative.as_posix().startswith(room) for room in ROOMS):
            importlib.import_module(".".join(["lt_plugins", *relative.with_suffix("").parts]).removesuffix(".__init__"))
            found.add(next(room for room in ROOMS if relative.as_posix().startswith(room)))
    assert found == set(ROOMS), "a room that is no more"
    assert not set(HIDDEN) & set(sys.modules)


@pytest.mark.parametrize("name", names_of_losses())
def test_a_loss_trains(name: str) -> None:
    """A new loss on logits needs no entry; one with another call is added to ``CASES``."""
    kind = getattr(losses, name)
    assert name in CASES or (issubclass(kind, LongTailLoss) and kind.forward is LongTailLoss.forward), f"add {name}"
    _, means = train(name)
    assert means[-1] < 0.9 * means[0], means


FORMS: list[Callable[[Tensor], Any]] = [Tensor.tolist, Tensor.numpy, Tensor.int, lambda labels: tuple(labels.tolist())]


@pytest.mark.parametrize(
    "name", [name for name in names_of_losses() if issubclass(getattr(losses, name), LongTailLoss)]
)
def test_counts_and_labels_as_a_loop_has_them(name: str) -> None:
    """Lists, arrays and tensors of any whole numbers give the same value; the counts are an argument of the loss."""
    kind = getattr(losses, name)
    case = CASES.get(name) or Case(experts_step if issubclass(kind, MultiExpertLoss) else logits_step)
    values = []
    for form in (lambda labels: labels, *FORMS):
        torch.manual_seed(0)
        kinds = {"num_classes": len(COUNTS), "channels": CHANNELS} if name in ("ISDALoss", "MetaSAugLoss") else {}
        values.append(case.step(Net(), kind(**kinds, class_counts=form(COUNTS)), INPUTS, form(LABELS), LABELS))
    assert len({value.item() for value in values}) == 1, values


def test_other_losses_take_plain_labels_too() -> None:
    torch.manual_seed(0)
    net = Net()
    features = net.body(INPUTS)
    range_loss, paco, supcon = losses.RangeLoss(), losses.PaCoLoss(class_counts=COUNTS.tolist()), losses.SupConLoss()
    for form in FORMS:
        same, given = (
            ContrastBatch.from_views(features, features.roll(1), labels) for labels in (LABELS, form(LABELS))
        )
        logits = net.fc(torch.cat([features, features]))
        assert supcon(given) == supcon(same)
        assert paco(logits, given) == paco(logits, same)
        first, second = (range_loss(features, net.fc(features), labels) for labels in (LABELS, form(LABELS)))
        assert first == second


OF_LOGITS = {name for name in names_of_losses() if getattr(losses, name).forward is LongTailLoss.forward}


@pytest.mark.parametrize("name", sorted({*names_of_losses()} - OF_LOGITS))
@pytest.mark.parametrize("form", [Tensor.clone, *FORMS])
def test_a_loss_of_something_else_says_how_it_is_called(name: str, form: Callable[[Tensor], Any]) -> None:
    """In one line, whatever of its state is missing."""
    case = CASES[name]
    loss = (case.build or getattr(losses, name))()
    with pytest.raises(UserInputError, match=rf"^{name} is no loss of \(logits, labels\) alone; call it loss\("):
        loss(Net().fc(torch.randn(len(LABELS), CHANNELS)), form(LABELS))


@pytest.mark.parametrize("name", [name for name in OF_LOGITS if issubclass(getattr(losses, name), MultiExpertLoss)])
def test_a_loss_of_experts_says_what_it_takes(name: str) -> None:
    with pytest.raises(UserInputError, match=r"shape \(B, K, C\), and got .*torch.stack\(\[z_1, z_2\], dim=1\)"):
        getattr(losses, name)(class_counts=COUNTS)(torch.randn(8, 4), LABELS[:8])


@pytest.mark.parametrize("labels", [[0.5, 1.0], ["a", "b"], [[0], [1, 2]], [True, False], torch.rand(2), None])
def test_what_is_no_list_of_labels(labels: Any) -> None:
    with pytest.raises(UserInputError, match=r"labels.* whole numbers from 0"):
        losses.BalancedSoftmaxLoss(class_counts=[3, 2, 1])(torch.randn(2, 3), labels)


def test_the_sampler_brings_all_classes_equally_often() -> None:
    dataset = TensorDataset(INPUTS, LABELS)
    loader = DataLoader(dataset, batch_size=44, sampler=ClassAwareSampler(LABELS, samples_per_class=1, seed=0))
    seen = torch.cat([labels for _, labels in loader])
    assert seen.bincount().tolist() == [55] * 4
    assert get_class_counts(ConcatDataset([LABELS]), 4).tolist() == COUNTS.tolist()  # type: ignore[list-item]


def test_metrics_of_what_was_trained() -> None:
    net, _ = train("LabelAwareSmoothLoss")
    logits = net.fc(net.body(INPUTS))
    numbers = shot_accuracy(logits, LABELS, COUNTS, topk=(1, 4))
    assert numbers["accuracy_top1"] > 85 and numbers["accuracy_top4"] == 100
    accuracy = class_accuracy(logits.argmax(1) == LABELS, LABELS, 4)
    assert [numbers["many"], numbers["medium"], numbers["few"]] == pytest.approx(
        [accuracy[0], accuracy[1:3].mean(), accuracy[3]]
    )
    assert numbers["balanced"] == pytest.approx(np.mean(accuracy))
    confidence, predicted = logits.softmax(dim=1).max(dim=1)
    assert 0 < expected_calibration_error(confidence, predicted == LABELS) < 50


def test_a_queue_of_keys() -> None:
    queue, net = LabelledQueue(64, 8), Net()
    loss = losses.PaCoLoss()
    loss.class_distribution.set_counts(COUNTS)
    for start in range(0, 100, 20):
        rows = slice(start, start + 20)
        queries = net.body(INPUTS[rows])
        with torch.no_grad():
            keys = F.normalize(net.projector(net.body(INPUTS[rows] + 0.1)), dim=1)
        contrast = ContrastBatch.from_queries(net.projector(queries), keys, LABELS[rows], queue=queue)
        value = loss(net.fc(queries), contrast)
        queue.enqueue(keys, LABELS[rows])
        value.backward()
        assert bool(value.isfinite())
    assert (queue.labels >= 0).all()
    assert contrast.valid.sum(dim=1).unique().tolist() == [19 + 20 + 64]


def test_kmeans_without_faiss() -> None:
    found = kmeans(INPUTS, 4, seed=0)
    assert found.centroids.shape == (4, 8)
    assert 0.5 < found.mean_cosine < 1


class Targets(torch.utils.data.Dataset):
    """As torchvision's datasets: the labels are its ``targets``."""

    def __init__(self, targets: Any) -> None:
        self.targets = targets

    def __len__(self) -> int:
        return len(self.targets)


SAMPLERS: list[Callable[..., Any]] = [
    ClassAwareSampler,
    ClassBalancedSampler,
    lambda labels, seed: DeferredSampler(
        labels, ClassAwareSampler(labels, seed=seed), ClassBalancedSampler(labels, seed=seed), start=2, seed=seed
    ),
    EnvironmentSampler,
    MetaSampler,
    lambda labels, seed: EpisodicSampler(labels, num_novel=1, num_exemplars=2, seed=seed),
]


@pytest.mark.parametrize("build", SAMPLERS)
def test_samplers_take_labels_in_any_form(build: Callable[..., Any]) -> None:
    expected = list(build(LABELS, seed=0))
    for form in FORMS:
        given: list[Any] = [form(LABELS), Targets(form(LABELS)), ConcatDataset([Targets(form(LABELS))])]
        assert [list(build(labels, seed=0)) for labels in given] == [expected] * 3


@pytest.mark.parametrize("labels", [[0.5, 1.0], ["a", "b"], [[0], [1, 2]], [None, 1], "0123"])
def test_a_sampler_says_what_is_no_list_of_labels(labels: Any) -> None:
    with pytest.raises(UserInputError, match=r"labels"):
        ClassAwareSampler(labels)
