"""Parts of a model that do not fit are found before the first step, and looking for them changes nothing."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn
from torch.utils.data import DataLoader, SequentialSampler

from lt_plugins.checks.mixed_labels import check_mixed_labels
from lt_plugins.checks.part_sizes import check_part_sizes, smallest_batch
from lt_plugins.datasets.samplers import ClassBalancedSampler, CompanionBatchSampler
from lt_plugins.errors import UserInputError
from tests.random_state import random_state_untouched

PROJECTOR = {
    "type": "NonLinearNeck",
    "in_channels": 64,
    "hid_channels": 64,
    "out_channels": 32,
    "with_last_bn": False,
    "with_avg_pool": False,
    "norm_cfg": {"type": "BN1d"},
}
CE = {
    "type": "ImageClassifier",
    "backbone": {"type": "CIFARResNet", "depth": 20},
    "neck": {"type": "GlobalAveragePooling"},
    "head": {"type": "LinearClsHead", "num_classes": 10, "in_channels": 64},
}
PACO = {
    "type": "MomentumClassifier",
    "backbone": {"type": "CIFARResNet", "depth": 20},
    "projector": PROJECTOR,
    "head": {"type": "PaCoHead", "num_classes": 10, "in_channels": 64},
    "projection_dim": 32,
    "queue_size": 64,
}
RIDE = {
    **CE,
    "backbone": {"type": "CIFARResNet", "depth": 20, "num_experts": 3, "expert_width": 0.75},
    "head": {"type": "MultiExpertHead", "num_classes": 10, "in_channels": 48, "num_experts": 3},
}
GPACO = {**PACO, "type": "TwoViewClassifier"}
THREE_VIEWS = {**GPACO, "num_views": 3}
LINEAR = {"type": "MLPProjector", "in_channels": 8, "hidden_channels": 8, "out_channels": 8, "num_layers": 1}
GLMC = {
    "type": "GLMCClassifier",
    "backbone": {"type": "CIFARResNet", "depth": 20},
    "projector": {**LINEAR, "in_channels": 64},
    "predictor": LINEAR,
    "head": {"type": "GLMCHead", "num_classes": 10, "in_channels": 64},
}
_BN = {"norm_cfg": {"type": "BN1d"}}
BYOL = {
    "type": "SelfSupervisedClassifier",
    "backbone": CE["backbone"],
    "head": {"type": "ProbeHead", "num_classes": 10, "in_channels": 64},
    "algorithm": {
        "type": "StepBYOL",
        "neck": {**PROJECTOR, "with_avg_pool": True},
        "head": {
            "type": "LatentPredictHead",
            "loss": {"type": "CosineSimilarityLoss"},
            "predictor": {**PROJECTOR, "in_channels": 32},
        },
    },
}
SWAV = {
    **BYOL,
    "algorithm": {
        "type": "SwAV",
        "neck": {"type": "SwAVNeck", "in_channels": 64, "hid_channels": 16, "out_channels": 8, **_BN},
        "head": {"type": "SwAVHead", "loss": {"type": "SwappedPredictionLoss", "feat_dim": 8, "num_views": 4}},
    },
}
H2T = {"type": "H2TClassifier", "backbone": CE["backbone"], "head": CE["head"]}
IMAGE = torch.zeros(3, 32, 32, dtype=torch.uint8)
MIXUP = {"augments": {"type": "Mixup", "alpha": 0.2}}


def build(config: dict[str, Any], **changes: Any) -> Any:
    """A classifier in training mode, with values at dotted keys changed."""
    init_default_scope("mmpretrain")
    config = copy.deepcopy(config)
    for key, value in changes.items():
        node = config
        *path, last = key.split("__")
        for name in path:
            node = node.setdefault(name, {})
        node[last] = value
    return MODELS.build(config).train()


def check(model: Any, images: int = 64, batch_size: int = 16, drop_last: bool = False, world_size: int = 1) -> None:
    """Check a model on images of 32 x 32."""
    views = 2 if hasattr(model, "projector") else 1
    sample = {"inputs": [IMAGE] * 2 if views == 2 else IMAGE, "data_samples": DataSample()}
    loader: DataLoader = DataLoader(list(range(images)), batch_size=batch_size, drop_last=drop_last)  # type: ignore[arg-type]
    check_part_sizes(model, loader, sample, world_size)


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        (CE, {"head__in_channels": 63}, r"LinearClsHead \(model.head\) does not take what GlobalAveragePooling"),
        (CE, {"neck": []}, r"LinearClsHead \(model.head\) does not take what CIFARResNet \(model.backbone\) gives"),
        (CE, {"data_preprocessor__mean": [1, 2], "data_preprocessor__std": [1, 2]}, "ClsDataPreprocessor does not"),
        (PACO, {"projection_dim": 31}, r"gives projections of length 32, but model.projection_dim=31; set .*=32"),
        (PACO, {"projector__in_channels": 31}, r"NonLinearNeck \(model.projector\) does not take what GlobalAver"),
        (PACO, {"head__in_channels": 31}, r"PaCoHead \(model.head\) does not take what"),
        (PACO, {"queue_size": 8}, r"model.queue_size=8 is smaller than the batch of all processes \(16\)"),
        (GPACO, {"queue_size": 0, "projection_dim": 31}, "projections of length 32"),
        (RIDE, {"head__in_channels": 64}, r"MultiExpertHead \(model.head\) does not take what GlobalAveragePooling"),
        (RIDE, {"head__num_experts": 2}, r"has 3 expert\(s\) and MultiExpertHead \(model.head\) reads 2; give both"),
        (CE, {"backbone__num_experts": 2}, r"has 2 expert\(s\) and LinearClsHead \(model.head\) reads 1"),
    ],
)
def test_parts_that_do_not_fit(config: dict[str, Any], changes: dict[str, Any], message: str) -> None:
    check(build(config))
    with pytest.raises(UserInputError, match=message) as caught:
        check(build(config, **changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("config", [CE, PACO, GPACO, RIDE])
def test_looking_changes_nothing(config: dict[str, Any]) -> None:
    model = build(config)
    model.backbone.layer1.eval()  # a part that its model keeps frozen
    before, flags = copy.deepcopy(model.state_dict()), [module.training for module in model.modules()]
    with random_state_untouched():
        check(model)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == flags
    assert not any(module._forward_hooks for module in model.modules())


def test_batch_norm_needs_two_images() -> None:
    check(build(PACO), images=64)
    with pytest.raises(UserInputError, match=r"each batch has one image, of which BatchNorm1d \(model.projector.bn0"):
        check(build(PACO), batch_size=1)
    with pytest.raises(UserInputError, match=r"last batch of an epoch has one image, .*drop_last=True"):
        check(build(PACO), images=65)
    check(build(PACO), images=65, drop_last=True)
    check(
        build(PACO, projector={"type": "MLPProjector", "in_channels": 64, "hidden_channels": 8, "out_channels": 32}), 65
    )
    linear = {"type": "MLPProjector", "in_channels": 64, "hidden_channels": 8, "out_channels": 32}
    check(build(PACO, projector=linear), images=65)
    check(build(GPACO), images=65)  # two views are two rows
    with pytest.raises(UserInputError, match="last batch of an epoch has one image"):
        check(build(GPACO, separate_passes=True), images=65)
    check(build(CE), images=65)  # its batch norms see many places of the image
    frozen = build(PACO)
    frozen.projector.eval()
    check(frozen, images=65)
    shared = build(PACO)
    shared.projector = nn.SyncBatchNorm.convert_sync_batchnorm(shared.projector)
    check(shared, images=65, world_size=2)
    contrast = {"type": "SupConHead", "num_classes": 10, "in_channels": 64, "loss": {"type": "SupConLoss"}}
    check(build(PACO, head=contrast, projector=linear), images=65)  # the head sees to it


def test_what_is_said_to_fail_fails() -> None:
    model = build(PACO)
    samples = [DataSample().set_gt_label(1)]
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        model.loss([torch.zeros(1, 3, 32, 32)] * 2, samples)
    both = build(GPACO)
    both.head.loss_module.class_distribution.set_counts([1] * 10)
    assert torch.isfinite(both.loss([torch.randn(1, 3, 32, 32)] * 2, samples)["loss_paco"])


def test_smallest_batch() -> None:
    for images, size, drop_last, smallest in (
        (64, 16, False, 16),
        (65, 16, False, 1),
        (65, 16, True, 16),
        (3, 8, False, 3),
    ):
        loader: DataLoader = DataLoader(list(range(images)), batch_size=size, drop_last=drop_last)  # type: ignore[arg-type]
        assert smallest_batch(loader) == smallest


def test_images_are_what_the_model_takes() -> None:
    loader: DataLoader = DataLoader([0, 1], batch_size=2)  # type: ignore[arg-type]
    for config, sample, message in (
        (CE, {"img": IMAGE}, r"the train pipeline ends without the images that a model takes \(inputs\)"),
        (
            CE,
            {"inputs": [IMAGE, IMAGE]},
            "ImageClassifier trains on one view of each image .* gives 2",
        ),
        (PACO, {"inputs": IMAGE}, "MomentumClassifier trains on two views of each image .* gives 1; put a MultiView"),
        (PACO, {"inputs": [IMAGE] * 3}, "gives 3"),
        (THREE_VIEWS, {"inputs": [IMAGE] * 2}, "TwoViewClassifier trains on three views of .* gives 2; put .* three"),
    ):
        with pytest.raises(UserInputError, match=message):
            check_part_sizes(build(config), loader, sample, 1)


def test_a_predictor_leaves_projections_as_long_as_they_are() -> None:
    labels = np.arange(64) % 4
    batches = CompanionBatchSampler(ClassBalancedSampler(labels), 16, companions=[ClassBalancedSampler(labels)])
    loader: DataLoader = DataLoader([*range(64)], batch_sampler=batches)  # type: ignore[arg-type]
    check_part_sizes(build(GLMC), loader, {"inputs": [IMAGE] * 2}, 1)
    for changes, message in (
        ({"predictor__out_channels": 7}, r"predicts projections of length 8 by vectors of length 7; set .*=8"),
        ({"predictor__in_channels": 7}, r"MLPProjector \(model.predictor\) does not take what MLPProjector"),
    ):
        with pytest.raises(UserInputError, match=message):
            check_part_sizes(build(GLMC, **changes), loader, {"inputs": [IMAGE] * 2}, 1)
    with pytest.raises(UserInputError, match=r"GLMCClassifier trains on two views of each image .* gives 1; put a Mul"):
        check_part_sizes(build(GLMC), loader, {"inputs": IMAGE}, 1)
    with pytest.raises(UserInputError, match=r"H2TClassifier trains on one view of each image .* gives 2; remove Mul"):
        check_part_sizes(build(H2T), loader, {"inputs": [IMAGE] * 2}, 1)


def test_parts_of_self_supervised_algorithms() -> None:
    loader: DataLoader = DataLoader([*range(64)], batch_size=16)  # type: ignore[arg-type]
    single: DataLoader = DataLoader([*range(17)], batch_size=16)  # type: ignore[arg-type]
    for config, views in ((BYOL, 2), (SWAV, 4)):
        check_part_sizes(build(config), loader, {"inputs": [IMAGE] * views}, 1)
    check_part_sizes(build(SWAV), single, {"inputs": [IMAGE] * 4}, 1)  # its views pass the projector together
    for config, views, data, changes, message in (
        (BYOL, 2, loader, {"algorithm__neck__in_channels": 9}, r"StepBYOL \(model.algorithm\) does not take"),
        (
            BYOL,
            2,
            loader,
            {"algorithm__head__predictor__in_channels": 9},
            r"StepBYOL \(model.algorithm\) does not take",
        ),
        (SWAV, 4, loader, {"algorithm__head__loss__feat_dim": 9}, r"SwAV \(model.algorithm\) does not take"),
        (SWAV, 4, loader, {"algorithm__head__loss__queue_size": 15}, r"loss.queue_size=15 is smaller than the batch"),
        (SWAV, 3, loader, {}, "SwAV trains on 4 views of each image and got 3 views; put a MultiView"),
        (BYOL, 1, loader, {}, "StepBYOL trains on 2 views of each image and got a single view"),
        (
            BYOL,
            2,
            single,
            {},
            r"one image, of which BatchNorm1d \(model.algorithm.neck.bn0\) cannot compute a variance",
        ),
    ):
        with pytest.raises(UserInputError, match=message):
            check_part_sizes(build(config, **changes), data, {"inputs": [IMAGE] * views}, 1)


def test_mixed_images() -> None:
    check_mixed_labels(build(CE, train_cfg=MIXUP, data_preprocessor__num_classes=10))
    for num_classes in (None, 7):
        with pytest.raises(UserInputError, match=f"data_preprocessor.num_classes={num_classes}.*num_classes=10"):
            check_mixed_labels(build(CE, train_cfg=MIXUP, data_preprocessor__num_classes=num_classes))

    def mixing(**head: Any) -> Any:
        sizes = {"num_classes": 10, "in_channels": 64}
        return build(CE, head={**sizes, **head}, train_cfg=MIXUP, data_preprocessor__num_classes=10)

    check_mixed_labels(mixing(type="CosineClsHead", loss={"type": "LDAMLoss"}))
    check_mixed_labels(mixing(type="LinearClsHead", loss={"type": "LabelAwareSmoothLoss"}))
    check_mixed_labels(mixing(type="ISDAHead"))
    for loss in ("SupConLoss", "KCLLoss", "SBCLLoss", "TSCLoss"):
        with pytest.raises(UserInputError, match=f"{loss} takes one label an image, but Mixup or CutMix mixes them"):
            check_mixed_labels(mixing(type="SupConHead", loss={"type": loss}))
    with pytest.raises(UserInputError, match="PaCoLoss takes one label an image"):
        check_mixed_labels(mixing(type="PaCoHead"))
    for config in (PACO, GPACO):
        with pytest.raises(UserInputError, match=r"compares images by their one label; remove Mixup and CutMix"):
            build(config, data_preprocessor={"batch_augments": MIXUP, "num_classes": 10})


def test_cmo_makes_one_batch_of_two_parts() -> None:
    cmo: dict[str, Any] = {
        "data_preprocessor": {"type": "ImageBatchPreprocessor", "num_classes": 10},
        "train_cfg": {"augments": {"type": "CMO"}},
    }

    def with_companions(number: int, images: int = 64) -> DataLoader:
        companions = [ClassBalancedSampler(np.arange(images) % 10, seed=1) for _ in range(number)]
        batches = CompanionBatchSampler(SequentialSampler(range(images)), 16, companions)
        return DataLoader(list(range(images)), batch_sampler=batches)  # type: ignore[arg-type]

    sample = {"inputs": IMAGE, "data_samples": DataSample()}
    check_part_sizes(build(CE, **cmo), with_companions(1), sample, 1)
    aux = {**CE, "type": "AuxLossClassifier", "aux_losses": {}, "num_environments": 2}
    check_part_sizes(build(aux, **cmo), with_companions(3), sample, 1)  # two environments, and foregrounds of each
    with pytest.raises(UserInputError, match=r"reads a batch in 2 parts, but it comes in 1.*batch_sampler 1 companion"):
        check(build(CE, **cmo))
    with pytest.raises(UserInputError, match=r"reads a batch in 2 parts, but it comes in 3"):
        check_part_sizes(build(CE, **cmo), with_companions(2), sample, 1)
    # The last batch has one background and one foreground: a single image for batch norm.
    cmo["backbone"] = {"type": "ResNet", "depth": 18, "out_indices": (3,)}
    cmo["head"] = {"type": "LinearHead", "num_classes": 10, "in_channels": 512}
    with pytest.raises(UserInputError, match="the last batch of an epoch has one image"):
        check_part_sizes(build(CE, **cmo), with_companions(1, images=65), sample, 1)


def test_no_neck_is_none() -> None:
    vit = {"type": "VisionTransformer", "arch": "deit-tiny", "img_size": 32, "patch_size": 8}
    sizes = {"projector__in_channels": 192, "head__in_channels": 192}
    for config in (PACO, GPACO):
        model = build(config, backbone=vit, neck=[], **sizes)
        images = torch.randn(2, 3, 32, 32)
        torch.testing.assert_close(model.eval().extract_feat(images)[-1], model.backbone(images)[-1])
        check(model.train())
        assert type(build(config).neck).__name__ == "GlobalAveragePooling"
