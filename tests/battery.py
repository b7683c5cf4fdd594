"""How the common battery (test_common.py) builds and feeds each class that the package registers.

A loss that derives from ``LongTailLoss`` needs none. Any other new class needs one entry in the table of its kind: the
constructor's required arguments, optional ones that make it small, and for modules one step from labels to a scalar
loss.
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import mmengine.registry
import mmpretrain.registry
import numpy as np
import torch
import torch.nn.functional as F
from mmengine.logging import MessageHub
from mmengine.registry import Registry
from mmpretrain.structures import DataSample
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, DataLoader

from lt_plugins.clustering import prototypes
from lt_plugins.datasets.glt.glt_file import GLTFile, GLTImage, write_glt
from lt_plugins.datasets.samplers import ClassAwareSampler
from lt_plugins.models.covariance.semantic_augmentation import SemanticAugmentation
from lt_plugins.models.losses import CenterLoss, CentroidLoss, LongTailLoss, MultiExpertLoss, RangeLoss
from lt_plugins.models.structures import ClassDistribution, ContrastBatch, LabelBatch, NetworkOutputs

HAS_TIMM = importlib.util.find_spec("timm") is not None
NUM_CLASSES = 4
CHANNELS = 64
NUM_IMAGES = 64


class Fed(NamedTuple):
    """Result of one step: a scalar loss and the leaves, besides the parameters, whose gradient must be finite."""

    loss: Tensor
    leaves: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class ModuleEntry:
    """Entry for a registered ``nn.Module``.

    Args:
        step: From the module and labels ``(B,)`` to a loss.
        required: Exactly the constructor's arguments that have no default.
        small: Optional arguments that make it small.
        prepare: Brings buffers that a hook fills into the state of a running training.
    """

    step: Callable[[nn.Module, Tensor], Fed]
    required: dict[str, Any] = field(default_factory=dict)
    small: dict[str, Any] = field(default_factory=dict)
    prepare: Callable[[nn.Module], None] = lambda module: None


@dataclass(frozen=True)
class Entry:
    """Entry for any other registered class.

    Args:
        required: Exactly the constructor's arguments that have no default, made in a temporary folder.
        small: Optional arguments that make it small or point it to that folder.
    """

    required: Callable[[Path], dict[str, Any]] = lambda folder: {}
    small: Callable[[Path], dict[str, Any]] = lambda folder: {}


def registered(registry_name: str) -> dict[str, Any]:
    """Everything that the package registers under this name, in mmpretrain's registry or the root one."""
    found: dict[str, Any] = {}
    for module in (mmengine.registry, mmpretrain.registry):
        registry = getattr(module, registry_name, None)
        if isinstance(registry, Registry):
            found |= {k: v for k, v in registry.module_dict.items() if v.__module__.startswith("lt_plugins")}
    return {name: cls for name, cls in found.items() if HAS_TIMM or name != "TimmFeatures"}


def registry_names() -> list[str]:
    """Names of all registries that hold something of the package."""
    names = {n for m in (mmengine.registry, mmpretrain.registry) for n, v in vars(m).items() if isinstance(v, Registry)}
    # mmpretrain imports those of mmengine under names of its own.
    return sorted(name for name in names if registered(name) and not name.startswith("MMENGINE_"))


def noise(*shape: int, seed: int = 0) -> Tensor:
    """The same standard normal numbers in every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def samples(labels: Tensor) -> list[DataSample]:
    """Annotations as a data loader gives them."""
    return [DataSample(metainfo={"sample_idx": i}).set_gt_label(int(label)) for i, label in enumerate(labels)]


def contrast_of(labels: Tensor, features: Tensor) -> ContrastBatch:
    """Two views of each image and a queue with unused places."""
    anchors = F.normalize(features, dim=1)
    queue = F.normalize(noise(5, features.shape[1], seed=1), dim=1)
    queue_labels = torch.tensor([0, 1, 0, -1, -1])
    return ContrastBatch(
        anchors=anchors[: len(labels)],
        anchor_labels=labels,
        candidates=torch.cat([anchors, queue]),
        candidate_labels=torch.cat([labels, labels, queue_labels]),
        anchor_positions=torch.arange(len(labels)),
        other_view_positions=torch.arange(len(labels)) + len(labels),
        anchor_samples=torch.arange(len(labels)),
        candidate_samples=torch.cat([torch.arange(len(labels)).repeat(2), torch.tensor([0, 7, 7, -1, -1])]),
    )


def backbone_step(module: Any, labels: Tensor, size: int = 32) -> Fed:
    """Mean square of the output maps."""
    images = noise(len(labels), 3, size, size).requires_grad_()
    return Fed(torch.stack([out.float().pow(2).mean() for out in module(images)]).sum(), (images,))


def wide_backbone_step(module: Any, labels: Tensor) -> Fed:
    """The same on images whose last map has more than one place: one has no statistics in a batch of one."""
    return backbone_step(module, labels, 64)


def neck_step(module: Any, labels: Tensor) -> Fed:
    """Mean square of what the neck makes of pooled features."""
    pooled = noise(len(labels), CHANNELS).requires_grad_()
    return Fed(module((pooled,))[-1].float().pow(2).mean(), (pooled,))


def map_neck_step(module: Any, labels: Tensor) -> Fed:
    """Mean square of what the neck makes of feature maps."""
    maps = noise(len(labels), CHANNELS, 2, 3).requires_grad_()
    return Fed(module((maps,))[-1].float().pow(2).mean(), (maps,))


def all_losses_step(module: Any, labels: Tensor) -> Fed:
    """Sum of a head's losses on pooled features."""
    pooled = noise(len(labels), CHANNELS).requires_grad_()
    return Fed(torch.stack(list(module.loss((pooled,), samples(labels)).values())).sum(), (pooled,))


def two_view_step(module: Any, labels: Tensor) -> Fed:
    """Sum of a classifier's losses on two views."""
    views = [noise(len(labels), 3, 32, 32, seed=seed).requires_grad_() for seed in (0, 1)]
    losses = module.loss(views, samples(labels))
    return Fed(torch.stack([value for key, value in losses.items() if "loss" in key]).sum(), (views[0],))


def views_step(module: Any, labels: Tensor) -> Fed:
    """Sum of the losses of views of two sizes, or of two views of one."""
    sizes = [32, 32] + [16] * (getattr(module, "num_views", 2) - 2)
    views = [noise(len(labels), 3, size, size, seed=seed).requires_grad_() for seed, size in enumerate(sizes)]
    losses = module.loss(views, samples(labels))
    return Fed(torch.stack(list(losses.values())).sum(), tuple(views))


def embeddings_step(module: Any, labels: Tensor) -> Fed:
    """A loss of unit embeddings of several views."""
    embeddings = noise(module.num_views * len(labels), 128).requires_grad_()
    return Fed(module(F.normalize(embeddings, dim=1)), (embeddings,))


def set_length(module: Any) -> None:
    """The length of the training, as the runner tells it, and class counts without an empty class."""
    MessageHub.get_current_instance().update_info("max_iters", 10)
    for part in module.modules():
        if isinstance(part, ClassDistribution):
            part.set_counts([30, 7, 2, 1])


def contrast_head_step(module: Any, labels: Tensor) -> Fed:
    """Sum of a head's losses on pooled features and a contrast."""
    pooled = noise(len(labels), CHANNELS, seed=2).requires_grad_()
    features = noise(2 * len(labels), 8).requires_grad_()
    losses = module.loss((pooled,), samples(labels), contrast=contrast_of(labels, features))
    return Fed(torch.stack(list(losses.values())).sum(), (pooled, features))


def supcon_head_step(module: Any, labels: Tensor) -> Fed:
    """The same of a head that leaves the pooled features alone: only the contrast reaches the encoder."""
    fed = contrast_head_step(module, labels)
    return Fed(fed.loss, fed.leaves[1:])


def paco_loss_step(module: Any, labels: Tensor) -> Fed:
    """PaCo's loss of linear logits and a contrast."""
    logits = noise(len(labels), NUM_CLASSES, seed=2).requires_grad_()
    features = noise(2 * len(labels), 8).requires_grad_()
    return Fed(module(logits, contrast_of(labels, features)), (logits, features))


def contrast_loss_step(module: Any, labels: Tensor) -> Fed:
    """A loss of a contrast alone."""
    features = noise(2 * len(labels), 8).requires_grad_()
    return Fed(module(contrast_of(labels, features)), (features,))


def views_loss_step(module: Any, labels: Tensor) -> Fed:
    """A loss of a contrast of two views of each image, without a queue."""
    views = [noise(len(labels), 8, seed=seed).requires_grad_() for seed in (0, 1)]
    return Fed(module(ContrastBatch.from_views(views[0], views[1], labels)), tuple(views))


def self_distill_head_step(module: Any, labels: Tensor) -> Fed:
    """Loss of a head on pooled features, and a distillation of the logits that it gives in training."""
    fed = cls_head_step(module, labels)
    return Fed(fed.loss + module(fed.leaves).square().mean(), fed.leaves)


def cls_head_step(module: Any, labels: Tensor) -> Fed:
    """Loss of a plain classification head on pooled features."""
    pooled = noise(len(labels), CHANNELS).requires_grad_()
    return Fed(module.loss((pooled,), samples(labels))["loss"], (pooled,))


def probe_step(module: Any, labels: Tensor) -> Fed:
    """The same of a head that leaves the features alone."""
    return Fed(cls_head_step(module, labels).loss)


def episode_step(module: Any, labels: Tensor) -> Fed:
    """Loss of a head on an episode with two exemplars, of the class of the first query."""
    pooled = noise(2 + len(labels), CHANNELS).requires_grad_()
    module.set_episodes(range(NUM_CLASSES), 2, len(labels))
    return Fed(module.loss((pooled,), samples(torch.cat([labels[:1], labels[:1], labels])))["loss"], (pooled,))


def logits_loss_step(module: Any, labels: Tensor) -> Fed:
    """A loss of logits, or of those of three experts, and labels, called as mmpretrain's heads do."""
    shape = (len(labels), 3, NUM_CLASSES) if isinstance(module, MultiExpertLoss) else (len(labels), NUM_CLASSES)
    logits = noise(*shape).requires_grad_()
    return Fed(module(logits, labels, avg_factor=len(labels)), (logits,))


def experts_head_step(module: Any, labels: Tensor) -> Fed:
    """Loss of a head on the pooled features of three experts."""
    pooled = tuple(noise(len(labels), CHANNELS, seed=seed).requires_grad_() for seed in range(3))
    return Fed(module.loss(pooled, samples(labels))["loss"], pooled)


def map_head_step(module: Any, labels: Tensor) -> Fed:
    """Sum of a head's losses on feature maps."""
    feature_map = noise(len(labels), CHANNELS, 2, 3).requires_grad_()
    losses = module.loss((feature_map,), samples(labels))
    return Fed(torch.stack(list(losses.values())).sum(), (feature_map,))


def classifier_loss_step(module: Any, labels: Tensor) -> Fed:
    """A loss of features and the weights of their classifier."""
    features, weight = noise(len(labels), CHANNELS).requires_grad_(), noise(NUM_CLASSES, CHANNELS).requires_grad_()
    return Fed(module(features, labels, weight, noise(NUM_CLASSES)), (features, weight))


def latent_loss_step(module: Any, labels: Tensor) -> Fed:
    """A loss of latent features and the weights of their classifier."""
    latents, weight = (noise(NUM_CLASSES, CHANNELS, seed=seed).requires_grad_() for seed in (0, 1))
    return Fed(module(latents, weight), (latents, weight))


def reconstruction_loss_step(module: Any, labels: Tensor) -> Fed:
    """A loss of reconstructed and original feature maps."""
    maps = [noise(len(labels), 6, CHANNELS, seed=seed).requires_grad_() for seed in (0, 1)]
    return Fed(module(*maps), tuple(maps))


def last_block_step(module: Any, labels: Tensor) -> Fed:
    """Mean square of the output maps of a backbone through whose first blocks no gradient flows."""
    images = noise(len(labels), 3, 64, 64)  # a map of one place has no statistics in a batch of one
    return Fed(module(images)[-1].float().pow(2).mean())


def bbn_head_step(module: Any, labels: Tensor) -> Fed:
    """Loss of BBN's head on features of both branches, in the middle of a training."""
    module.set_epoch(7, 10)
    pooled = tuple(noise(len(labels), CHANNELS, seed=seed).requires_grad_() for seed in (0, 1))
    return Fed(module.loss(pooled, samples(labels.repeat(2)))["loss"], pooled)


def bbn_step(module: Any, labels: Tensor) -> Fed:
    """Loss of BBN on conventional and re-balancing images, in the middle of a training."""
    module.head.set_epoch(7, 10)
    images = noise(2 * len(labels), 3, 32, 32).requires_grad_()
    return Fed(module.loss(images, samples(labels.repeat(2)))["loss"], (images,))


def ahead_head_step(module: Any, labels: Tensor) -> Fed:
    """Loss of a head on pooled features of training and meta images, which looks a step of SGD ahead."""
    module.set_optimizer(torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9))
    pooled = noise(2 * len(labels), CHANNELS).requires_grad_()
    return Fed(module.loss((pooled,), samples(labels.repeat(2)))["loss"], (pooled,))


def ahead_step(module: Any, labels: Tensor) -> Fed:
    """Loss of a classifier on training and meta images, which looks a step of SGD ahead."""
    module.head.set_optimizer(torch.optim.SGD(module.parameters(), lr=0.1))
    images = noise(2 * len(labels), 3, 32, 32).requires_grad_()
    return Fed(module.loss(images, samples(labels.repeat(2)))["loss"], (images,))


def aux_loss_step(module: Any, labels: Tensor) -> Fed:
    """An auxiliary loss of features and logits."""
    features, logits = noise(len(labels), CHANNELS).requires_grad_(), noise(len(labels), NUM_CLASSES).requires_grad_()
    value = module(features, logits, LabelBatch.from_samples(samples(labels)), 1)
    return Fed(value, (features,) if isinstance(module, (CenterLoss, CentroidLoss, RangeLoss)) else (logits,))


def classifier_step(module: Any, labels: Tensor) -> Fed:
    """Sum of the losses of a classifier."""
    images = noise(len(labels), 3, 32, 32).requires_grad_()
    return Fed(torch.stack(list(module.loss(images, samples(labels)).values())).sum(), (images,))


def distill_step(module: Any, labels: Tensor) -> Fed:
    """The same of a classifier that learns from a random network."""
    teacher = {"type": "ImageClassifier", "neck": {"type": "GlobalAveragePooling"}}
    parts = {"backbone": {"type": "CIFARResNet", "depth": 20}, "head": {"type": "LinearHead", **_HEAD}}
    module.set_teachers([mmpretrain.registry.MODELS.build({**teacher, **parts})])
    return classifier_step(module, labels)


def kd_loss_step(module: Any, labels: Tensor) -> Fed:
    """A loss of the logits of a student and its teacher."""
    logits = noise(len(labels), NUM_CLASSES).requires_grad_()
    student, teacher = (NetworkOutputs(noise(len(labels), 0), x) for x in (logits, noise(*logits.shape, seed=1)))
    return Fed(module(student, [teacher]), (logits,))


def lfme_loss_step(module: Any, labels: Tensor) -> Fed:
    """The same of an expert that has two of the classes."""
    classes = torch.tensor([1, 3])
    module.set_experts([classes])
    return kd_loss_step(module, labels)


def curriculum_step(module: Any, labels: Tensor) -> Fed:
    """Mean weight of the images, which needs no gradient."""
    return Fed(module(torch.arange(len(labels))).mean())


def frozen_step(module: Any, labels: Tensor) -> Fed:
    """Loss of a classifier through whose backbone no gradient flows."""
    return Fed(module.loss(noise(len(labels), 3, 32, 32), samples(labels))["loss"])


def h2t_step(module: Any, labels: Tensor) -> Fed:
    """Loss of H2T on balanced and natural images, through whose backbone no gradient flows."""
    images = noise(2 * len(labels), 3, 32, 32)
    return Fed(module.loss(images, samples(labels.repeat(2)))["loss"])


def glmc_step(module: Any, labels: Tensor) -> Fed:
    """Sum of the losses of GLMC on two views of images and their companions, in the middle of a training."""
    module.head.set_epoch(7, 10)
    views = [noise(2 * len(labels), 3, 32, 32, seed=seed).requires_grad_() for seed in (0, 1)]
    losses = module.loss(views, samples(labels.repeat(2)))
    return Fed(torch.stack(list(losses.values())).sum(), tuple(views))


def glmc_head_step(module: Any, labels: Tensor) -> Fed:
    """Loss of GLMC's head in the middle of a training."""
    module.set_epoch(7, 10)
    return cls_head_step(module, labels)


def lff_step(module: Any, labels: Tensor) -> Fed:
    """Sum of the losses of a biased and a debiased network."""
    images = noise(len(labels), 3, 32, 32).requires_grad_()
    losses = module.loss(images, samples(labels))
    return Fed(losses["loss"] + losses["loss_biased"], (images,))


def preprocessor_step(module: Any, labels: Tensor) -> Fed:
    """Mean of the views that the preprocessor gives, which has no parameters."""
    views = [noise(len(labels), 3, 32, 32, seed=seed) for seed in (0, 1)]
    batch = module({"inputs": views, "data_samples": samples(labels)}, training=True)
    return Fed(torch.stack([view.mean() for view in batch["inputs"]]).sum())


def recorder_step(module: Any, labels: Tensor) -> Fed:
    """Mean of what an auxiliary module that adds no loss has recorded of a batch."""
    images = LabelBatch(labels, sample_idx=torch.arange(len(labels)))
    assert module(noise(len(labels), CHANNELS), noise(len(labels), NUM_CLASSES), images, 1) is None
    return Fed(module.confidence.mean())


def set_num_images(module: Any) -> None:
    """The size of the training set, for more images than any batch here has."""
    for part in module.modules():
        if hasattr(part, "set_num_images"):
            part.set_num_images(NUM_IMAGES)


def set_counts(module: nn.Module) -> None:
    """Class counts in which one class is empty."""
    for part in module.modules():
        if isinstance(part, ClassDistribution):
            part.set_counts([30, 7, 0, 1])


def set_full_counts(module: nn.Module) -> None:
    """Class counts without an empty class, for a loss that gives an image of one an infinite loss."""
    for part in module.modules():
        if isinstance(part, ClassDistribution):
            part.set_counts([30, 7, 2, 1])


def set_targets(module: Any) -> None:
    """Class means of projections, to which targets are matched, and counts that say how many."""
    set_full_counts(module)
    module.resize_and_copy("class_means", noise(NUM_CLASSES, 8))
    module.set_epoch(1, 2)


def set_novel_weight(module: Any) -> None:
    """Weights that were generated for two classes, one of which has no image."""
    module.set_episodes([0, 1], 2, 6)
    module.set_novel_weight(noise(3, CHANNELS), torch.full((3,), 2))


def set_sampling(module: Any) -> None:
    """Class counts without an empty class, and the sampling weights of an epoch."""
    set_full_counts(module.loss_module)
    module.sampling.logits.copy_(torch.linspace(-1, 1, NUM_CLASSES))
    module.set_epoch(1, 10)


def set_attributes(module: Any) -> None:
    """Class counts and the attributes that a clustering finds."""
    set_counts(module)
    prototypes = F.normalize(noise(module.num_attributes, CHANNELS), dim=1)
    module.set_attributes(prototypes, noise(NUM_CLASSES, module.num_attributes).abs())


def set_covariances(module: Any) -> None:
    """Class counts, and the covariances and strength of a training that is under way."""
    set_counts(module)
    for loss in module.modules():
        if isinstance(loss, SemanticAugmentation):
            vectors = noise(*loss.moments.mean.shape)
            loss.form.add_outer_(loss.moments.covariance, vectors, torch.full((len(vectors), 1), 1 / CHANNELS))
            loss.set_progress(0.5)


def set_prototypes(module: Any) -> None:
    """Prototypes that a clustering finds, for more images than any batch here has."""
    module.set_prototypes([prototypes(noise(NUM_IMAGES, 8), number) for number in module.num_clusters])


def set_subclasses(module: Any) -> None:
    """Subclasses that a clustering finds, for more images than any batch here has."""
    module.set_subclasses(torch.arange(NUM_IMAGES) // 2)
    module.set_class_temperatures(torch.linspace(0.1, 0.4, NUM_CLASSES))


# without batch norm, which cannot take a batch of one
_PROJECTOR = {"type": "MLPProjector", "in_channels": CHANNELS, "hidden_channels": 16, "out_channels": 8}
_LINEAR = {**_PROJECTOR, "num_layers": 1}
_TWO_VIEW = {
    "backbone": {"type": "CIFARResNet", "depth": 20},
    "projector": _PROJECTOR,
    "head": {"type": "PaCoHead", "num_classes": NUM_CLASSES, "in_channels": CHANNELS},
}
_HEAD = {"num_classes": NUM_CLASSES, "in_channels": CHANNELS}
# without batch norm of a single row
_PREDICTOR = {
    "type": "NonLinearNeck",
    "in_channels": CHANNELS,
    "hid_channels": 16,
    "out_channels": CHANNELS,
    "with_last_bn": False,
    "norm_cfg": {"type": "GN", "num_groups": 2},
}
_BYOL = {
    "neck": _PREDICTOR,
    "head": {
        "type": "LatentPredictHead",
        "loss": {"type": "CosineSimilarityLoss"},
        "predictor": {**_PREDICTOR, "with_avg_pool": False},
    },
}
_EXPERTS = {"num_experts": 2, "base_channels": 8, "stem_channels": 8, "expert_width": 0.5, "zero_init_residual": False}

MODULES: dict[str, ModuleEntry] = {
    "CIFARResNet": ModuleEntry(backbone_step, small={"depth": 20}),
    "SHIKEResNet": ModuleEntry(backbone_step, small={"depth": 20, "num_experts": 2}),
    "EfficientNetLite0": ModuleEntry(wide_backbone_step),
    **(
        {"TimmFeatures": ModuleEntry(wide_backbone_step, required={"model_name": "resnet18"}, small={"as_map": True})}
        if HAS_TIMM
        else {}
    ),
    "LastBlockResNet": ModuleEntry(last_block_step, {"depth": 50}),
    "MultiExpertHead": ModuleEntry(experts_head_step, _HEAD, prepare=set_counts),
    "MultiExpertResNeXt": ModuleEntry(wide_backbone_step, {"depth": 50}, small={**_EXPERTS, "groups": 2}),
    "ResNet10": ModuleEntry(wide_backbone_step, small={"zero_init_residual": False}),
    "MultiExpertResNet": ModuleEntry(wide_backbone_step, {"depth": 18}, small=_EXPERTS),
    "TwoViewClassifier": ModuleEntry(
        two_view_step, _TWO_VIEW, small={"projection_dim": 8, "queue_size": 16}, prepare=set_counts
    ),
    "MomentumClassifier": ModuleEntry(
        two_view_step, _TWO_VIEW, small={"projection_dim": 8, "queue_size": 16}, prepare=set_counts
    ),
    "AuxLossClassifier": ModuleEntry(
        classifier_step,
        {
            "backbone": {"type": "CIFARResNet", "depth": 20},
            "head": {"type": "LinearHead", **_HEAD},
            "aux_losses": {"center": {"type": "CenterLoss"}},
        },
        small={"neck": {"type": "GlobalAveragePooling"}},
    ),
    "AttributePositives": ModuleEntry(contrast_loss_step, small={"num_attributes": 16}, prepare=set_attributes),
    "CenterLoss": ModuleEntry(aux_loss_step),
    "CentroidLoss": ModuleEntry(aux_loss_step, _HEAD),
    "IRMPenalty": ModuleEntry(aux_loss_step),
    "RangeLoss": ModuleEntry(aux_loss_step),
    "FrozenBackboneClassifier": ModuleEntry(
        frozen_step,
        {"backbone": {"type": "CIFARResNet", "depth": 20}, "head": {"type": "CosineClsHead", **_HEAD}},
    ),
    "LFFClassifier": ModuleEntry(
        lff_step,
        {"backbone": {"type": "CIFARResNet", "depth": 20}, "head": {"type": "LinearHead", **_HEAD}},
        prepare=set_num_images,
    ),
    "ImageBatchPreprocessor": ModuleEntry(preprocessor_step),
    "MLPProjector": ModuleEntry(
        neck_step, {"in_channels": CHANNELS, "hidden_channels": 16, "out_channels": 8}, small={"num_layers": 2}
    ),
    "ModulatedAttention": ModuleEntry(map_neck_step, {"in_channels": CHANNELS, "map_size": (2, 3)}),
    "OLTRClassifier": ModuleEntry(
        classifier_step,
        {
            "backbone": {"type": "CIFARResNet", "depth": 20},
            "neck": {"type": "ModulatedAttention", "in_channels": CHANNELS, "map_size": 8},
            "head": {"type": "OLTRHead", **_HEAD},
        },
    ),
    "OLTRHead": ModuleEntry(all_losses_step, _HEAD),
    "PaCoHead": ModuleEntry(contrast_head_step, _HEAD, prepare=set_counts),
    "LPAHead": ModuleEntry(contrast_head_step, _HEAD, small={"num_attributes": 16}, prepare=set_attributes),
    "ContrastHead": ModuleEntry(
        contrast_head_step,
        {**_HEAD, "contrast_loss": {"type": "SupConLoss"}},
        small={"prototype_projector": _PROJECTOR},
        prepare=set_full_counts,
    ),
    "ContrastCosineHead": ModuleEntry(
        contrast_head_step, {**_HEAD, "contrast_loss": {"type": "SupConLoss"}}, prepare=set_full_counts
    ),
    "CosineClsHead": ModuleEntry(
        cls_head_step,
        _HEAD,
        small={"loss": {"type": "LDAMLoss"}},
        prepare=set_counts,
    ),
    "FSLwFHead": ModuleEntry(episode_step, _HEAD, prepare=set_novel_weight),
    "LWSClsHead": ModuleEntry(
        cls_head_step,
        _HEAD,
        small={"loss": {"type": "LabelAwareSmoothLoss"}},
        prepare=set_counts,
    ),
    "MaxNormHead": ModuleEntry(cls_head_step, _HEAD),
    "LCRegHead": ModuleEntry(
        map_head_step, _HEAD, small={"num_latents": 5, "aug_loss": {"source": "assigned"}}, prepare=set_covariances
    ),
    "ISDAHead": ModuleEntry(cls_head_step, _HEAD, prepare=set_covariances),
    "ISDALoss": ModuleEntry(
        classifier_loss_step,
        {"num_classes": NUM_CLASSES, "channels": CHANNELS},
        small={"covariance": "diagonal"},
        prepare=set_covariances,
    ),
    "BALMSHead": ModuleEntry(ahead_head_step, _HEAD, prepare=set_sampling),
    "MetaSAugClassifier": ModuleEntry(
        ahead_step,
        {"backbone": {"type": "CIFARResNet", "depth": 20}, "head": {"type": "MetaSAugHead", **_HEAD}},
        prepare=set_covariances,
    ),
    "MetaSAugHead": ModuleEntry(ahead_head_step, _HEAD, prepare=set_covariances),
    "MetaSAugLoss": ModuleEntry(
        classifier_loss_step,
        {"num_classes": NUM_CLASSES, "channels": CHANNELS},
        small={"covariance": "diagonal"},
        prepare=set_covariances,
    ),
    "LatentISDALoss": ModuleEntry(
        latent_loss_step,
        {"num_latents": NUM_CLASSES, "channels": CHANNELS},
        small={"covariance": "diagonal"},
        prepare=set_covariances,
    ),
    "EnvironmentRecorder": ModuleEntry(recorder_step, prepare=set_num_images),
    "ReconstructionLoss": ModuleEntry(reconstruction_loss_step),
    "LinearHead": ModuleEntry(cls_head_step, _HEAD),
    "TDEHead": ModuleEntry(cls_head_step, _HEAD),
    "ProbeHead": ModuleEntry(probe_step, _HEAD, prepare=set_length),
    "SelfSupervisedClassifier": ModuleEntry(
        views_step,
        {
            "backbone": {"type": "CIFARResNet", "depth": 20},
            "algorithm": {"type": "StepBYOL", **_BYOL},
            "head": {"type": "ProbeHead", **_HEAD},
        },
        prepare=set_length,
    ),
    "StepBYOL": ModuleEntry(
        views_step, {"backbone": {"type": "CIFARResNet", "depth": 20}, **_BYOL}, prepare=set_length
    ),
    "SupConHead": ModuleEntry(supcon_head_step, {**_HEAD, "loss": {"type": "SupConLoss"}}, prepare=set_full_counts),
    "BCLLoss": ModuleEntry(contrast_loss_step),
    "KCLLoss": ModuleEntry(contrast_loss_step, small={"num_positives": 2}),
    "PCLLoss": ModuleEntry(
        contrast_loss_step,
        small={"num_clusters": (2, 3), "num_negatives": 2, "per_images": NUM_IMAGES},
        prepare=set_prototypes,
    ),
    "SBCLLoss": ModuleEntry(contrast_loss_step, prepare=set_subclasses),
    "TSCLoss": ModuleEntry(contrast_loss_step, small={"num_positives": 2}, prepare=set_targets),
    "InstanceContrastLoss": ModuleEntry(contrast_loss_step),
    "SelfDistillHead": ModuleEntry(self_distill_head_step, _HEAD),
    "BBNClassifier": ModuleEntry(
        bbn_step,
        {
            "backbone": {"type": "CIFARResNet", "depth": 20, "num_experts": 2, "shared_stages": 2, "shared_blocks": -1},
            "head": {"type": "BBNHead", **_HEAD},
        },
    ),
    "BBNHead": ModuleEntry(bbn_head_step, _HEAD),
    "GLMCClassifier": ModuleEntry(
        glmc_step,
        {
            "backbone": {"type": "CIFARResNet", "depth": 20},
            "projector": _LINEAR,
            "predictor": {**_LINEAR, "in_channels": 8},
            "head": {"type": "GLMCHead", **_HEAD},
        },
        prepare=set_counts,
    ),
    "GLMCHead": ModuleEntry(glmc_head_step, _HEAD, prepare=set_counts),
    "H2TClassifier": ModuleEntry(
        h2t_step,
        {"backbone": {"type": "CIFARResNet", "depth": 20}, "head": {"type": "LinearHead", **_HEAD}},
    ),
    "RoutedClassifier": ModuleEntry(
        frozen_step,
        {
            "backbone": {"type": "CIFARResNet", "depth": 20, "num_experts": 2},
            "head": {"type": "MultiExpertHead", **_HEAD, "num_experts": 2},
        },
    ),
    "DistillClassifier": ModuleEntry(
        distill_step,
        {
            "backbone": {"type": "CIFARResNet", "depth": 20},
            "head": {"type": "LinearHead", **_HEAD},
            "teachers": [],
            "distill": {"type": "KDLoss"},
        },
    ),
    "M2mClassifier": ModuleEntry(
        distill_step,
        {
            "backbone": {"type": "CIFARResNet", "depth": 20},
            "head": {"type": "LinearHead", **_HEAD},
            "teachers": [],
        },
        small={"gamma": 0.0, "num_steps": 2},
        prepare=set_counts,
    ),
    "KDLoss": ModuleEntry(kd_loss_step),
    "ClassSubsetHead": ModuleEntry(cls_head_step, _HEAD, prepare=set_full_counts),
    "InstanceCurriculum": ModuleEntry(curriculum_step, prepare=set_num_images),
    "LFMEClassifier": ModuleEntry(
        distill_step,
        {
            "backbone": {"type": "CIFARResNet", "depth": 20},
            "head": {"type": "LinearHead", **_HEAD},
            "teachers": [],
        },
        small={"curriculum": {"type": "InstanceCurriculum"}},
        prepare=set_num_images,
    ),
    "LFMELoss": ModuleEntry(lfme_loss_step),
    "ProCoLoss": ModuleEntry(views_loss_step, {"dim": 8, "num_classes": NUM_CLASSES}, prepare=set_full_counts),
    "PaCoLoss": ModuleEntry(paco_loss_step, prepare=set_counts),
    "SupConLoss": ModuleEntry(contrast_loss_step),
    "SwappedPredictionLoss": ModuleEntry(
        embeddings_step, small={"num_views": 3, "num_prototypes": 5, "queue_size": 12, "queue_from": 0}
    ),
}


def is_logits_loss(cls: Any) -> bool:
    """Whether a class is a loss of logits and labels by its base alone, and so needs no entry of its own."""
    return inspect.isclass(cls) and issubclass(cls, LongTailLoss) and cls.forward is LongTailLoss.forward


MODULES = {
    name: ModuleEntry(logits_loss_step, prepare=set_full_counts)
    for name, cls in registered("MODELS").items()
    if is_logits_loss(cls)
} | MODULES


def image_folder(folder: Path) -> Path:
    """Two classes as folders, with a list file beside them."""
    lines = []
    for label, count in enumerate((3, 1)):
        for index in range(count):
            path = folder / "images" / f"class_{label}" / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((8, 8, 3), 40 * index + label, dtype=np.uint8)).save(path)
            lines.append(f"{path.relative_to(folder / 'images')} {label}\n")
    (folder / "list.txt").write_text("".join(lines), encoding="utf-8")
    return folder


def glt_file(folder: Path) -> Path:
    """A GLT benchmark whose training set is the images of ``image_folder``."""
    rows = [line.rsplit(" ", 1) for line in (image_folder(folder) / "list.txt").read_text().splitlines()]
    images = [GLTImage(path, int(label), 0) for path, label in rows]
    write_glt(folder / "glt.json", GLTFile(("a", "b", "c"), (0, 1, 2), ("only",), {"train-glt": images}, {}))
    return folder / "glt.json"


_DIGITS = {"type": "DigitsDataset"}

DATASETS: dict[str, Entry] = {
    "DigitsDataset": Entry(),
    "GLTDataset": Entry(
        lambda folder: {"ann_file": str(glt_file(folder))}, lambda folder: {"data_prefix": str(folder / "images")}
    ),
    "ImageListDataset": Entry(small=lambda folder: {"data_root": str(image_folder(folder) / "images")}),
    "IndexedDataset": Entry(lambda folder: {"dataset": _DIGITS}),
    "ResidentDataset": Entry(lambda folder: {"dataset": _DIGITS}),
    "LongTailDataset": Entry(
        lambda folder: {"dataset": _DIGITS, "imbalance_factor": 10}, lambda folder: {"max_count": 100}
    ),
    "ClassSubset": Entry(lambda folder: {"dataset": _DIGITS, "keep": "many"}, lambda folder: {"many_threshold": 125}),
    "SplitDataset": Entry(lambda folder: {"dataset": _DIGITS, "part": "val"}, lambda folder: {"val_fraction": 0.1}),
}

SAMPLERS: dict[str, Entry] = {
    "ClassAwareSampler": Entry(
        lambda folder: {"dataset": mmpretrain.registry.DATASETS.build(_DIGITS)}, lambda folder: {"seed": 3}
    ),
    "ClassBalancedSampler": Entry(
        lambda folder: {"dataset": mmpretrain.registry.DATASETS.build(_DIGITS)}, lambda folder: {"seed": 3}
    ),
    "CompanionBatchSampler": Entry(
        lambda folder: {
            "sampler": ClassAwareSampler(np.array([0, 1] * 20), seed=3),
            "batch_size": 16,
            "companions": [{"type": "ClassBalancedSampler", "power": -1.0}],
        },
        lambda folder: {"drop_last": True},
    ),
    "DeferredSampler": Entry(
        lambda folder: {
            "dataset": mmpretrain.registry.DATASETS.build(_DIGITS),
            "before": {"type": "DefaultSampler", "shuffle": True},
            "after": {"type": "ClassBalancedSampler"},
            "start": 3,
        },
        lambda folder: {"seed": 3},
    ),
    "EnvironmentSampler": Entry(
        lambda folder: {"dataset": mmpretrain.registry.DATASETS.build(_DIGITS)}, lambda folder: {"seed": 3}
    ),
    "EpisodicSampler": Entry(
        lambda folder: {"dataset": mmpretrain.registry.DATASETS.build(_DIGITS)}, lambda folder: {"seed": 3}
    ),
    "MetaSampler": Entry(
        lambda folder: {"dataset": mmpretrain.registry.DATASETS.build(_DIGITS)}, lambda folder: {"seed": 3}
    ),
    "PartSampler": Entry(
        lambda folder: {
            "dataset": ConcatDataset([mmpretrain.registry.DATASETS.build(_DIGITS)] * 2),
            "sampler": {"type": "ClassBalancedSampler"},
        },
        lambda folder: {"part": 1, "seed": 3},
    ),
}
HOOKS: dict[str, Entry] = {
    "AccumulationHook": Entry(),
    "AveragedModelHook": Entry(),
    "CentroidHook": Entry(),
    "CheckpointFitHook": Entry(),
    "ClassDistributionHook": Entry(),
    "ClassMeanHook": Entry(),
    "CompileHook": Entry(),
    "ContrastGeometryHook": Entry(),
    "CovarianceHook": Entry(),
    "DeferredInfoHook": Entry(),
    "EarlyStopHook": Entry(),
    "EnvironmentHook": Entry(),
    "EpochHook": Entry(),
    "EpochSeedHook": Entry(),
    "FeatureCacheHook": Entry(),
    "FewShotWeightHook": Entry(),
    "FiniteTrainingHook": Entry(),
    "ImageBuffersHook": Entry(),
    "LFMEHook": Entry(),
    "MaxNormHook": Entry(),
    "MetaStepHook": Entry(),
    "MemoryFormatHook": Entry(),
    "PeakMemoryHook": Entry(),
    "PreflightHook": Entry(),
    "ReclusterHook": Entry(lambda folder: {"task": {"type": "SubclassClustering"}}),
    "RunLogHook": Entry(),
    "RunRecordHook": Entry(),
    "SafeCheckpointHook": Entry(),
    "TeacherHook": Entry(),
    "TemperatureHook": Entry(),
}
TASKS: dict[str, Entry] = {
    "AttributeClustering": Entry(),
    "PrototypeClustering": Entry(),
    "SubclassClustering": Entry(),
}
METRICS: dict[str, Entry] = {
    "CalibrationError": Entry(),
    "ExpertUsage": Entry(),
    "GLTMetric": Entry(),
    "ShotAccuracy": Entry(),
}
_LEVELS = {"magnitude_range": (0, 0.4), "magnitude_std": 0.5, "prob": 1.0}
TRANSFORMS: dict[str, Entry] = {
    "ClippedCutout": Entry(small=lambda folder: {"size": 4}),
    "FloorPosterize": Entry(small=lambda folder: {**_LEVELS, "magnitude_range": (0, 4)}),
    "LoadImage": Entry(),
    "RandomInterpolationRotate": Entry(small=lambda folder: {**_LEVELS, "magnitude_range": (0, 30)}),
    "RandomInterpolationShear": Entry(small=lambda folder: _LEVELS),
    "RandomInterpolationTranslate": Entry(small=lambda folder: _LEVELS),
}


def untrained_loop() -> dict[str, Any]:
    """What a training loop takes: a runner, of which it reads the config and the visualizer, and a data loader."""
    runner = SimpleNamespace(cfg={}, visualizer=SimpleNamespace(dataset_meta=None))
    dataset = mmpretrain.registry.DATASETS.build(_DIGITS)
    return {"runner": runner, "dataloader": DataLoader(dataset, batch_size=4), "method": "ncm"}


def sgd() -> torch.optim.Optimizer:
    """Plain descent of two parameters."""
    return torch.optim.SGD([nn.Parameter(noise(3)), nn.Parameter(noise(2, 2))], lr=0.1)


OPTIMIZERS: dict[str, Entry] = {"DeviceLARS": Entry(lambda folder: {"params": [nn.Parameter(noise(3))], "lr": 0.1})}
LOOPS: dict[str, Entry] = {"PosthocLoop": Entry(lambda folder: untrained_loop())}
OPTIM_WRAPPERS: dict[str, Entry] = dict.fromkeys(
    ("FocalSAMOptimWrapper", "ImbSAMOptimWrapper", "SAMOptimWrapper"), Entry(lambda folder: {"optimizer": sgd()})
)
OPTIM_WRAPPER_CONSTRUCTORS: dict[str, Entry] = {
    "LayerDecayConstructor": Entry(lambda folder: {"optim_wrapper_cfg": {"optimizer": {"type": "SGD", "lr": 0.1}}})
}
BATCH_AUGMENTS: dict[str, Entry] = {
    "CMO": Entry(small=lambda folder: {"prob": 1.0}),
    "Remix": Entry(small=lambda folder: {"kappa": 2.0}),
}
FUNCTIONS: dict[str, Entry] = {"epoch_worker_init": Entry()}

VISBACKENDS = {"LocalVisBackend": Entry(lambda folder: {"save_dir": str(folder)})}
INITIALIZERS = {
    "Pretrained": Entry(lambda folder: {"checkpoint": str(folder / "epoch_1.pth")}),
    "RareEventBiasInit": Entry(),
    "TorchDefaultInit": Entry(),
}

TABLES: dict[str, dict[str, Any]] = {
    "BATCH_AUGMENTS": BATCH_AUGMENTS,
    "MODELS": MODULES,
    "DATASETS": DATASETS,
    "DATA_SAMPLERS": SAMPLERS,
    "HOOKS": HOOKS,
    "TASK_UTILS": TASKS,
    "LOOPS": LOOPS,
    "METRICS": METRICS,
    "OPTIMIZERS": OPTIMIZERS,
    "OPTIM_WRAPPERS": OPTIM_WRAPPERS,
    "OPTIM_WRAPPER_CONSTRUCTORS": OPTIM_WRAPPER_CONSTRUCTORS,
    "TRANSFORMS": TRANSFORMS,
    "FUNCTIONS": FUNCTIONS,
    "VISBACKENDS": VISBACKENDS,
    "WEIGHT_INITIALIZERS": INITIALIZERS,
}
