"""What the papers and released codes train with, for every config that quotes a published number.

Written from them and not from the configs, so that a default of the host or a slip in a ``_base_`` shows up as a
difference: ``test_recipes.py`` compares these facts with what the runner builds. Epochs count from 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

Views = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Recipe:
    """One stage of training.

    Args:
        processes: Number of processes.
        batch: Images of each of them in a step.
        epochs: Length of training.
        lr: Learning rate at the first step of an epoch.
        weight_decay: Of all parameters but those in ``groups``.
        views: Transforms of each view in their order.
        constants: Dotted attributes of the built model; ``.count`` at the end is the number of rows.
        groups: Learning rate (of the base's) and weight decay of single parameters.
        deviations: Standard deviation of initial parameters, by their name.
        means: Mean of initial parameters, by their name.
        hooks: Attributes of the hooks of the method, by their type.
        sampler: Type of the sampler and its attributes, dotted for one in it.
        mixup: Parameter of mixup, None without.
        mixing: Settings of another mixing of images in place of mixup.
        companions: Configs of the samplers of companions, None for any.
        residual_scale: Initial scale of the last batch norm of residual blocks.
        nesterov: Whether the momentum is Nesterov's.
        momentum: Momentum of SGD, or of another optimiser.
        optimiser: Type of the optimiser; parameters in ``groups`` are no part of LARS.
        accumulated: Batches in a step.
        radii: Radius of SAM, and the one from epoch 320 on if it is another; none without SAM.
        sharpness: Settings of the wrapper around the optimiser, of the configs of SAM and its kin; in place of radii.
    """

    processes: int
    batch: int
    epochs: int
    lr: dict[int, float]
    weight_decay: float
    views: Views
    constants: dict[str, Any] = field(default_factory=dict)
    groups: dict[str, tuple[float, float]] = field(default_factory=dict)
    deviations: dict[str, float] = field(default_factory=dict)
    means: dict[str, float] = field(default_factory=dict)
    hooks: dict[str, dict[str, Any]] = field(default_factory=dict)
    sampler: dict[str, Any] = field(default_factory=lambda: {"type": "DefaultSampler"})
    mixup: float | None = None
    mixing: dict[str, Any] = field(default_factory=dict)
    companions: tuple[dict[str, Any], ...] | None = None
    residual_scale: float = 1.0
    nesterov: bool = False
    momentum: float = 0.9
    optimiser: str = "SGD"
    accumulated: int = 1
    radii: tuple[float, ...] = ()
    sharpness: dict[str, Any] = field(default_factory=dict)


def also(recipe: Recipe, **changes: Any) -> Recipe:
    """A recipe with other facts; dicts are merged."""
    merged: dict[str, Any] = {
        key: {**getattr(recipe, key), **value} if isinstance(value, dict) and key != "lr" else value
        for key, value in changes.items()
    }
    return replace(recipe, **merged)


CIFAR = (("crop 32 pad 4", "flip 0.5"),)
SIMCLR = ("crop 32 from 0.2-1", "flip 0.5", "0.8 of (jitter 0.4 0.4 0.4 0.1)", "gray 0.2")
PACO_CIFAR = (
    ("crop 32 pad 4", "flip 0.5", "autoaugment of 25", "cutout 16"),
    (*SIMCLR, "blur 0.1-2 0.5"),
)
CROP = ("crop 224 from 0.08-1", "flip 0.5")
JITTER = "jitter 0.4 0.4 0.4 0"
KANG = ((*CROP, JITTER),)
SIM = (*CROP, JITTER, "gray 0.2", "blur 0.1-2 0.5")
RANDCLS = (*CROP, JITTER, "randaugment n2 m10 std0.5 of 15")
RANDCLSSTACK = (*SIM, "randaugment n2 m10 std0.5 of 15")
RANDCLS_3, RANDCLSSTACK_3 = ((*view[:-1], "randaugment n3 m10 std0.5 of 15") for view in (RANDCLS, RANDCLSSTACK))
MOCO = (
    "crop 224 from 0.2-1",
    "0.8 of (jitter 0.4 0.4 0.4 0.1)",
    "gray 0.2",
    "blur 0.1-2 0.5",
    "flip 0.5",
)
CLASS_AWARE = {"type": "ClassAwareSampler", "samples_per_class": 4}
FACTORS = {100: "", 50: ":lt50", 10: ":lt10"}
"""Imbalance factors and the variants of the configs that have them."""

# Kaiming-normal by fan-in of 64, and uniform within 1 / 8.
KAIMING, TORCH = (2 / 64) ** 0.5, 1 / 8 / 3**0.5
LDAM_CLASSIFIER = {"head.fc.weight": KAIMING, "head.fc.bias": TORCH}

CE_CIFAR = Recipe(
    1, 128, 200, {0: 0.02, 4: 0.1, 159: 0.1, 160: 1e-3, 179: 1e-3, 180: 1e-5}, 2e-4, CIFAR, deviations=LDAM_CLASSIFIER
)
LDAM = replace(
    CE_CIFAR,
    constants={
        "head.scale": 30,
        "head.loss_module.max_margin": 0.5,
        "head.loss_module.scale": 30,
        "head.loss_module.class_weight": None,
        "head.loss_module.normalize_by": "weights",
    },
    deviations={"head.fc.weight": 1 / 8},  # unit vectors of 64 entries
)
LDAM_DRW = also(
    LDAM,
    constants={
        "head.loss_module.class_weight": "effective_number",
        "head.loss_module.weight_beta": 0.9999,
        "head.loss_module.reweight_from": 160,
    },
)


def vs(gamma: float, tau: float, **constants: Any) -> Recipe:
    """VS loss; DDC's README has the numbers, its script the constants."""
    loss = {"gamma": gamma, "tau": tau, "class_weight": None, "switch_from": None, "normalize_by": "weights"}
    return replace(
        CE_CIFAR, constants={f"head.loss_module.{key}": value for key, value in {**loss, **constants}.items()}
    )


def adrw_tla(power: float, late_tau: float | None, start: int) -> dict[str, Any]:
    """Constants of ADRW and TLA; ``start`` is the first epoch. Without a late tau it stays."""
    weights = {"class_weight": "inverse_power", "weight_power": power, "reweight_from": start}
    return {**weights, "switch_from": start, "late_tau": late_tau}


CE_LARGE = Recipe(8, 64, 90, {0: 0.2, 45: 0.1, 60: 0.05}, 5e-4, KANG)
CE_INAT = also(CE_LARGE, weight_decay=1e-4, views=(CROP,))
FOCAL = {
    "head.loss_module.gamma": 1,
    "head.loss_module.detach_modulator": False,
    "head.loss_module.class_weight": None,
}
FOCAL_DRW = FOCAL | {
    "head.loss_module.class_weight": "effective_number",
    "head.loss_module.weight_beta": 0.9999,
    "head.loss_module.reweight_from": 72,
    "head.loss_module.normalize_by": "weights",
}
CLASS_BALANCED = {
    "head.loss_module.class_weight": "effective_number",
    "head.loss_module.weight_beta": 0.9999,
    "head.loss_module.reweight_from": 0,
    "head.loss_module.normalize_by": "batch",
}
SIGMOID_FOCAL = CLASS_BALANCED | {"head.loss_module.gamma": 1, "head.loss_module.link": "sigmoid"}
CB_CE = also(CE_CIFAR, constants=CLASS_BALANCED)
CB_FOCAL = also(
    CE_CIFAR,
    constants=SIGMOID_FOCAL,
    groups={"head.fc.bias": (1, 0)},
    deviations={"head.fc.bias": 0.0},
    means={"head.fc.bias": -math.log(99)},
)
# 0.4 for 256 images, of which a step has four times as many.
CB_FOCAL_INAT = Recipe(
    8,
    128,
    90,
    {0: 0.0016, 5: 1.6, 29: 1.6, 30: 0.16, 60: 0.016, 80: 0.0016},
    1e-4,
    (CROP,),
    constants=SIGMOID_FOCAL | {"head.loss_module.gamma": 0.5, "head.loss_module.weight_beta": 0.999},
    groups={
        "head.fc.bias": (1, 0),
        "backbone.bn1.weight": (1, 0),
        "backbone.layer4.2.bn3.bias": (1, 0),
        "backbone.layer4.2.conv3.weight": (1, 1e-4),
    },
    deviations={"head.fc.weight": 0.01, "head.fc.bias": 0.0},
    means={"head.fc.bias": -math.log(8141)},
    residual_scale=0.0,
    nesterov=True,
)
LOGIT_ADJUSTMENT = {"head.loss_module.tau": 1, "head.loss_module.class_weight": None}

# The code steps its scheduler before each epoch. Its network on CIFAR is another one, see configs/tde/README.md.
TDE_CONSTANTS = {"head.num_heads": 2, "head.scale": 16, "head.gamma": 1 / 32, "head.momentum": 0.9}
TDE_CIFAR = Recipe(
    1,
    256,
    200,
    {0: 0.2 * 7 / 15, 1: 0.12, 3: 0.2 * 13 / 15, 4: 0.2, 118: 0.2, 119: 2e-3, 158: 2e-3, 159: 2e-5},
    5e-4,
    CIFAR,
    constants=TDE_CONSTANTS,
    deviations={"head.fc.weight": TORCH},
)
TDE_LARGE = also(CE_LARGE, constants=TDE_CONSTANTS, deviations={"head.fc.weight": 1 / 2048**0.5 / 3**0.5})
WEIGHTED = {
    "head.loss_module.class_weight": "effective_number",
    "head.loss_module.weight_beta": 0.9999,
    "head.loss_module.normalize_by": "weights",
}
CE_DRW = also(CE_CIFAR, constants={**WEIGHTED, "head.loss_module.reweight_from": 160})
CE_DRW_LARGE = also(CE_LARGE, constants={**WEIGHTED, "head.loss_module.reweight_from": 72})
CE_DRS = replace(
    CE_CIFAR,
    sampler={
        "type": "DeferredSampler",
        "start": 160,
        "before.shuffle": True,
        "after.power": 0,
        "after.rule": "power",
    },
)
# Two networks of one recipe; the second is trained on translated images while its draws are balanced.
M2M = {
    "translate_from": 160,
    "beta": 0.999,
    "lam": 0.5,
    "gamma": 0.9,
    "num_steps": 10,
    "step_size": 0.1,
    "noise_norm": 0.5,
}
# Kang et al.; on CIFAR, without official code, 10 epochs and the rate of stage 1 are decided here.
CRT = Recipe(
    1,
    128,
    10,
    {0: 0.1, 5: 0.05},
    2e-4,
    CIFAR,
    constants={"norm_eval": False, "reuse_head": False},
    deviations={"head.fc.weight": TORCH, "head.fc.bias": TORCH},
    sampler=CLASS_AWARE,
)
CRT_LARGE = also(
    CRT,
    processes=8,
    batch=64,
    lr={0: 0.2, 5: 0.1},
    weight_decay=5e-4,
    views=KANG,
    deviations=dict.fromkeys(("head.fc.weight", "head.fc.bias"), 1 / 2048**0.5 / 3**0.5),
)
SCALES = {"reuse_head": True, "head.fc.weight.requires_grad": False, "head.fc.bias.requires_grad": False}
# The published network of weight balancing; its released code has stages of 320 and 10 epochs.
DECAYED = Recipe(1, 64, 320, {0: 0.01, 160: 0.005}, 5e-3, CIFAR, constants={"backbone.depth": 34})
BALANCED_WEIGHTS = Recipe(
    1,
    64,
    10,
    {0: 0.01, 5: 0.005},
    0.1,
    CIFAR,
    constants={
        "norm_eval": False,
        "reuse_head": True,
        **WEIGHTED,
        "head.loss_module.normalize_by": "batch",
        "head.loss_module.loss_weight": 0.01,
    },
    hooks={"MaxNormHook": {"threshold": 0.1, "by_epoch": True}},
)

PACO = Recipe(
    1,
    128,
    400,
    {0: 0.005, 4: 0.025, 9: 0.05, 319: 0.05, 320: 0.005, 359: 0.005, 360: 5e-4},
    5e-4,
    PACO_CIFAR,
    constants={
        "queue.size": 1024,
        "momentum": 0.999,
        "projector.fc1.out_features": 32,
        "compare_batch": True,
        "head.loss_module.alpha": 0.01,
        "head.loss_module.beta": 1,
        "head.loss_module.gamma": 1,
        "head.loss_module.temperature": 0.05,
    },
    deviations={"head.fc.weight": TORCH, "head.fc.bias": TORCH, "projector.fc1.weight": KAIMING},
)
PACO_LARGE = also(
    PACO,
    processes=4,
    batch=32,
    lr={0: 0.002, 10: 0.02, 205: 0.01, 270: 0.005},
    views=(RANDCLS, SIM),
    constants={
        "queue.size": 8192,
        "projector.fc1.out_features": 128,
        "head.loss_module.alpha": 0.05,
        "head.loss_module.temperature": 0.2,
    },
    deviations={"head.fc.weight": 0.01, "head.fc.bias": 0.0, "projector.fc1.weight": 1 / 2048**0.5 / 3**0.5},
)
PACO_INAT = also(PACO_LARGE, weight_decay=1e-4)
PACO_X50 = also(PACO_LARGE, views=(RANDCLSSTACK, SIM), constants={"head.loss_module.temperature": 0.07})
PACO_PLACES = also(
    PACO_LARGE,
    epochs=30,
    lr={0: 0.004, 5: 0.02},
    views=(SIM, SIM),
    groups={
        "backbone.layer4.1.conv2.weight": (0, 0),
        "backbone.layer4.0.downsample.0.weight": (0, 0),
        "backbone.layer4.2.conv2.weight": (1, 5e-4),
        "backbone.layer1.0.bn1.weight": (1, 5e-4),
    },
)
# The released cosine is constant in an epoch, (1 + cos(pi (e + 1) / (E + 1))) / 2; ours goes to 0 by the step.
PROCO = Recipe(
    1,
    256,
    200,
    {0: 0.06, 4: 0.3, 159: 0.3, 160: 0.03, 179: 0.03, 180: 0.003},
    2e-4,
    (
        ("crop 32 pad 4", "flip 0.5", "autoaugment of 25 turned left", "cutout 16"),
        *[("crop 32 from 0.08-1", *SIMCLR[1:])] * 2,
    ),
    constants={
        "num_views": 3,
        "separate_passes": False,
        "queue.size": 0,
        "projector.fc0.out_features": 512,
        "projector.fc1.out_features": 128,
        "head.contrast_weight": 1,
        "head.contrast_loss_module.temperature": 0.1,
        "head.contrast_loss_module.directions.mean.T.count": 128,
        "head.loss_module.tau": 1,
        "head.prototype_projector": None,
    },
    deviations={
        **dict.fromkeys(("head.fc.weight", "head.fc.bias", "projector.fc0.weight"), TORCH),
        "projector.fc1.weight": 1 / 512**0.5 / 3**0.5,
    },
)
PROCO_LONG = replace(PROCO, epochs=400, lr={0: 0.03, 9: 0.3, 359: 0.3, 360: 0.03, 379: 0.03, 380: 0.003})
PROCO_LARGE = also(
    replace(PROCO, deviations={}),
    processes=8,
    batch=32,
    epochs=90,
    lr={0: 0.1, 45: 0.05},
    weight_decay=5e-4,
    views=(RANDCLS, *[(*CROP, *SIMCLR[2:])] * 2),
    constants={
        "projector.fc0.out_features": 2048,
        "projector.fc1.out_features": 1024,
        "head.contrast_loss_module.temperature": 0.07,
        "head.contrast_loss_module.directions.mean.T.count": 1024,
        "head.scale": 30,
    },
    deviations={
        "head.fc.weight": 1 / 2048**0.5,  # unit vectors
        **dict.fromkeys(("projector.fc0.weight", "projector.fc1.weight"), 1 / 2048**0.5 / 3**0.5),
    },
)
GPACO = Recipe(
    4,
    32,
    400,
    {10: 0.04, 205: 0.02},
    5e-4,
    (RANDCLS, RANDCLSSTACK),
    constants={
        "queue.size": 8192,
        "separate_passes": True,
        "projector.layers.4.out_features": 128,
        "head.loss_module.alpha": 0.045,
        "head.loss_module.beta": 1,
        "head.loss_module.gamma": 1,
        "head.loss_module.temperature": 0.2,
    },
)


def lpa(recipe: Recipe, num_attributes: int, interval: int) -> Recipe:
    """PaCo with pseudo-attributes; K and the interval are decided here (docs/lpa.md), alpha is the paper's order."""
    return also(
        recipe,
        constants={
            "head.alpha": 0.1,
            "head.num_attributes": num_attributes,
            "head.attribute_loss_module.temperature": recipe.constants["head.loss_module.temperature"],
        },
        hooks={"ReclusterHook": {"start": 40, "interval": interval}},
    )


SCL = Recipe(
    1,
    1024,
    1000,
    {0: 0.01, 10: 0.5, 505: (0.5 + 5e-5) / 2},
    1e-4,
    (SIMCLR, SIMCLR),
    constants={
        "queue.size": 0,
        "separate_passes": False,
        "projector.layers.0.out_features": 64,
        "projector.layers.2.out_features": 128,
        "head.loss_module.temperature": 0.1,
    },
    deviations={"projector.layers.2.weight": TORCH},
)
KCL = also(SCL, constants={"head.loss_module.num_positives": 6})
SUBCLASSES = {
    "task.min_size": 10,
    "task.max_iters": 50,
    "task.balanced": True,
    "task.rounding": "up",
    "task.start": "farthest",
}
SBCL = also(
    SCL,
    constants={
        "head.loss_module.beta": 0.25,
        "head.loss_module.base_temperature": 0.1,
        "head.warmup_loss_module.temperature": 0.1,
    },
    hooks={
        "ReclusterHook": {"start": 10, "interval": 10, **SUBCLASSES},
        "TemperatureHook": {"alpha": 10, "mode": "exp"},
    },
)
RELEASED_CLUSTERING = {
    "task.max_iters": 35,
    "task.balanced": False,
    "task.rounding": "down",
    "task.start": "random",
}
SBCL_VARIANTS = {
    "": SBCL,
    "no-warmup": also(SBCL, hooks={"ReclusterHook": {"start": 0, "interval": 10, **SUBCLASSES}}),
    "kmeans": also(
        SBCL,
        hooks={"ReclusterHook": {"start": 10, "interval": 10, **SUBCLASSES, "task.balanced": False}},
    ),
    "fixed-temperature": also(
        SBCL, constants={"head.loss_module.class_temperature": 0.27182818}, hooks={"TemperatureHook": None}
    ),
    "released": also(
        SBCL,
        constants={"head.loss_module.base_temperature": 0.07},
        hooks={
            "ReclusterHook": {"start": 10, "interval": 10, "task.min_size": 10, **RELEASED_CLUSTERING},
            "TemperatureHook": {"alpha": 10, "mode": "linear"},
        },
    ),
}
LDAM_LINEAR = Recipe(
    1,
    128,
    200,
    {0: 0.02, 4: 0.1, 139: 0.1, 140: 0.01, 179: 0.01, 180: 1e-3},
    0.0,
    CIFAR,
    constants={
        "head.loss_module.max_margin": 0.5,
        "head.loss_module.scale": 30,
        "head.loss_module.class_weight": "effective_number",
        "head.loss_module.weight_beta": 0.9999,
        "head.loss_module.reweight_from": 0,
        "norm_eval": True,
    },
)
TSC_VIEW = (*CROP, JITTER)
SCL_LARGE = Recipe(
    8,
    32,
    200,
    {0: 0.1, 100: 0.05},
    1e-4,
    (TSC_VIEW, TSC_VIEW),
    constants={
        "queue.size": 65536,
        "momentum": 0.999,
        "compare_batch": False,
        "projector.layers.2.out_features": 128,
        "head.loss_module.temperature": 0.07,
    },
)
KCL_LARGE = also(SCL_LARGE, constants={"head.loss_module.num_positives": 6})
SBCL_LARGE = also(
    SCL_LARGE,
    epochs=400,
    lr={0: 0.1, 100: 0.05, 200: 0.1, 300: 0.05},
    views=(MOCO, MOCO),
    constants={
        "head.loss_module.beta": 0.2,
        "head.loss_module.base_temperature": 0.07,
        "head.warmup_loss_module.num_positives": 6,
    },
    hooks={
        "ReclusterHook": {"start": 200, "interval": 5, **SUBCLASSES, "task.min_size": 20},
        "TemperatureHook": {"mode": "exp"},
    },
)
SBCL_LARGE_RELEASED = also(
    SBCL_LARGE,
    constants={"head.loss_module.class_temperature": 0.12},
    hooks={
        "ReclusterHook": {"start": 200, "interval": 5, "task.min_size": 20, **RELEASED_CLUSTERING},
        "TemperatureHook": None,
    },
)
PCL_LARGE = also(
    SCL_LARGE,
    lr={0: 0.03, 100: 0.015},
    views=(MOCO, MOCO),
    constants={
        "queue.size": 16384,
        "head.loss_module.temperature": 0.2,
        "head.loss_module.num_clusters": (2500, 5000, 10000),  # a tenth of those on ImageNet
        "head.loss_module.num_negatives": 1638,
        "head.loss_module.per_images": 115_846,
    },
    hooks={
        "ReclusterHook": {
            "start": 20,
            "interval": 1,
            "task.alpha": 10,
            "task.num_iters": 20,
            "task.num_restarts": 5,
        }
    },
)
TSC_LINEAR = Recipe(
    8,
    256,
    40,
    {0: 10, 19: 10, 20: 1, 29: 1, 30: 0.1},
    0.0,
    KANG,
    constants={"norm_eval": False, "reuse_head": False},
    deviations={"head.fc.weight": 0.01, "head.fc.bias": 0.0},
    sampler=CLASS_AWARE,
)
SBCL_LINEAR = also(TSC_LINEAR, lr={0: 10, 18: 10, 19: 1, 28: 1, 29: 0.1}, views=(CROP,))

TARGETS = {
    "head.loss_module.num_positives": 6,
    "head.loss_module.target_weight": 0.2,
    "head.loss_module.mean_over": "all",
    "head.loss_module.momentum": 0.9,
}
# 1000 epochs, half of which are KCL; the linear classifier has a third drop.
KCL_HALF = also(KCL, epochs=500, lr={0: 0.01, 10: 0.5, 255: (0.5 + 5e-5) / 2})
TSC = [
    KCL_HALF,
    also(KCL_HALF, constants=TARGETS),
    also(LDAM_LINEAR, lr={**LDAM_LINEAR.lr, 189: 1e-3, 190: 1e-4}),
]
TSC_LARGE = also(KCL_LARGE, constants={**TARGETS, "head.loss_module.match": "epoch"})
# SBCL states nothing of its runs of SwAV and BYOL; these are the settings of mmpretrain on ImageNet.
SWAV_COLOURS = ("0.8 of (jitter 0.8 0.8 0.8 0.2)", "gray 0.2", "blur 0.1-2 0.5", "flip 0.5")
SWAV_LARGE = Recipe(
    8,
    32,
    200,
    {0: 0.6, 100: (0.6 + 6e-4) / 2},
    1e-6,
    (("crop 224 from 0.14-1", *SWAV_COLOURS),) * 2 + (("crop 96 from 0.05-0.14", *SWAV_COLOURS),) * 6,
    constants={
        "algorithm.neck.projection_neck.0.out_features": 2048,
        "algorithm.head.loss_module.num_views": 8,
        "algorithm.head.loss_module.prototypes.weight.count": 3000,
        "algorithm.head.loss_module.prototypes.in_features": 128,
        "algorithm.head.loss_module.temperature": 0.1,
        "algorithm.head.loss_module.epsilon": 0.05,
        "algorithm.head.loss_module.iterations": 3,
        "algorithm.head.loss_module.queue_size": 3840,
        "algorithm.head.loss_module.queue_from": 15,
        "algorithm.head.loss_module.prototypes_from": 1,
    },
    residual_scale=0.0,
    optimiser="DeviceLARS",
)
BYOL_VIEWS = tuple(
    (
        *CROP,
        "0.8 of (jitter 0.4 0.4 0.2 0.1)",
        "gray 0.2",
        f"blur 0.1-2 {blur}",
        f"solarize 128 {solarize}",
    )
    for blur, solarize in (("1", "0"), ("0.1", "0.2"))
)
BYOL_MLPS = ("algorithm.neck", "algorithm.head.predictor")
BYOL_LARGE = Recipe(
    8,
    64,
    200,
    {0: 4.8e-4, 10: 4.8, 105: 2.4},
    1e-6,
    BYOL_VIEWS,
    constants={
        "algorithm.target_net.momentum": 0.01,
        "algorithm.target_net.end_momentum": 0,
        **{f"{mlp}.fc0.out_features": 4096 for mlp in BYOL_MLPS},
        **{f"{mlp}.fc1.out_features": 256 for mlp in BYOL_MLPS},
    },
    groups={
        **dict.fromkeys(
            (f"{mlp}.{name}" for mlp in BYOL_MLPS for name in ("fc0.bias", "bn0.weight", "bn0.bias")), (1, 0)
        ),
        **dict.fromkeys(("head.fc.bias", "backbone.bn1.weight", "backbone.layer4.0.downsample.1.bias"), (1, 0)),
        "backbone.layer4.0.downsample.0.weight": (1, 1e-6),
    },
    optimiser="DeviceLARS",
    accumulated=8,
)

MIXUP_CIFAR = Recipe(
    1,
    128,
    200,
    {0: 0.02, 4: 0.1, 159: 0.1, 160: 0.01, 180: 1e-3},
    2e-4,
    CIFAR,
    deviations=LDAM_CLASSIFIER,
    mixup=1.0,
)
MIXUP_LARGE = Recipe(8, 32, 180, {0: 0.1, 90: 0.05}, 5e-4, KANG, mixup=0.2)


GCL_1 = also(
    MIXUP_CIFAR,
    batch=64,
    constants={
        "head.scale": 30,
        "head.loss_module.noise_mul": 0.5,
        "head.loss_module.margin": 0,
        "head.loss_module.scale": 30,
        "head.loss_module.gamma": 0,
    },
)
GCL = [
    replace(GCL_1, deviations={"head.fc.weight": 1 / 8}),  # unit vectors of 64 entries
    Recipe(
        1,
        64,
        30,
        {0: 0.002, 10: 0.0015, 15: 0.001},
        2e-4,
        CIFAR,
        constants={
            **GCL_1.constants,
            "head.scale": 20,
            "head.loss_module.margin": 0.1,
            "head.loss_module.scale": 20,
            "head.loss_module.gamma": 1,
            "norm_eval": True,
            "reuse_head": True,
        },
        sampler={"type": "ClassBalancedSampler", "power": 0, "rule": "power", "progressive": False},
        mixup=1.0,
    ),
]

GCL_PLACES = [
    also(
        GCL[0],
        processes=8,
        epochs=90,
        lr={0: 0.04, 4: 0.2, 59: 0.2, 60: 0.02, 79: 0.02, 80: 0.002},
        weight_decay=5e-4,
        views=(CROP,),
        constants={"head.loss_module.noise_mul": 1},
        deviations={"head.fc.weight": 1 / 2048**0.5},
        mixup=0.2,
    ),
    also(
        GCL[1],
        processes=8,
        weight_decay=5e-4,
        views=(CROP,),
        constants={"head.scale": 15, "head.loss_module.scale": 15, "head.loss_module.noise_mul": 1},
    ),
]


def mislas(num_classes: int, head: float, tail: float, factor: float, decay: float, **changes: Any) -> Recipe:
    """Second stage of MiSLAS: smoothing of the most and the least frequent class, rate of the classifier."""
    recipe = Recipe(
        1,
        128,
        10,
        {0: 0.1, 5: 0.05},
        decay,
        CIFAR,
        constants={
            "head.loss_module.smooth_head": head,
            "head.loss_module.smooth_tail": tail,
            "head.num_classes": num_classes,
            "reuse_head": True,
            "norm_eval": False,
        },
        groups={"head.fc.weight": (factor, decay), "head.scale": (1, decay)},
        sampler=CLASS_AWARE,
    )
    return also(recipe, **changes)


LARGE = {"processes": 8, "batch": 32, "views": KANG}
FIXED = {"constants": {"norm_eval": True}}
MISLAS = {
    "r32_cifar10-lt.py": (MIXUP_CIFAR, mislas(10, 0.3, 0, 0.5, 2e-4, **FIXED)),
    "r32_cifar10-lt.py:lt50": (MIXUP_CIFAR, mislas(10, 0.2, 0, 0.2, 2e-4, **FIXED)),
    "r32_cifar10-lt.py:lt10": (MIXUP_CIFAR, mislas(10, 0.1, 0, 0.2, 2e-4, **FIXED)),
    "r32_cifar100-lt.py": (MIXUP_CIFAR, mislas(100, 0.4, 0.1, 0.2, 2e-4)),
    "r32_cifar100-lt.py:lt50": (MIXUP_CIFAR, mislas(100, 0.3, 0, 0.1, 2e-4)),
    "r32_cifar100-lt.py:lt10": (MIXUP_CIFAR, mislas(100, 0.2, 0, 0.1, 2e-4)),
    "r50_imagenet-lt.py": (MIXUP_LARGE, mislas(1000, 0.3, 0, 0.05, 5e-4, **LARGE)),
    "r50_inat.py": (
        also(MIXUP_LARGE, epochs=200, lr={0: 0.1, 100: 0.05}, weight_decay=1e-4),
        mislas(8142, 0.3, 0, 0.05, 1e-4, **LARGE),
    ),
    "r152_places-lt.py": (
        also(MIXUP_LARGE, epochs=90, lr={0: 0.1, 45: 0.05}),
        mislas(365, 0.4, 0.1, 0.05, 5e-4, **LARGE),
    ),
}


def lcreg(stages: tuple[Recipe, Recipe], num_latents: int, recon: float = 0.1, aug: float = 0.1) -> list[Recipe]:
    """LCReg on the recipe of MiSLAS; the weights of its losses are the paper's."""
    latents = {"head.latent_pool.latents.count": num_latents, "head.fuse": "add"}
    first = also(
        stages[0],
        constants={**latents, "head.recon_weight": recon, "head.aug_weight": aug},
        groups={"head.latent_pool.latents": (1, 0)},
    )
    return [first, also(stages[1], constants={**latents, "head.recon_weight": 0, "head.aug_weight": 0})]


AUTOAUGMENT = ("crop 32 pad 4", "flip 0.5", "autoaugment of 25 turned left", "cutout 16")


def strong(base: Recipe, decay: float, *radii: float, **constants: Any) -> list[Recipe]:
    """DDC at 400 epochs, with a warm-up to 0.1; ``radii`` of SAM are those before and from epoch 320 on."""
    rates = {0: 0.01, 4: 0.05, 9: 0.1, 10: 0.1, 319: 0.1, 320: 1e-3, 359: 1e-3, 360: 1e-5}
    loss = {f"head.loss_module.{key}": value for key, value in constants.items()}
    return [
        also(base, epochs=400, lr=rates, weight_decay=decay, views=(AUTOAUGMENT,), constants=loss, radii=radii),
    ]


STRONG = {
    "ce_r32_cifar100-lt.py": strong(CE_CIFAR, 1e-4, 0.2),
    "ce_r32_cifar100-lt.py:lt10": strong(CE_CIFAR, 1e-4, 0.1),
    "ce_r32_cifar10-lt.py": strong(CE_CIFAR, 1e-4, 0.1),
    "ce_r32_cifar10-lt.py:lt10": strong(CE_CIFAR, 1e-4, 0.1),
    "ldam-drw_r32_cifar100-lt.py": strong(LDAM_DRW, 1e-4, 0.5, reweight_from=320),
    "ldam-drw_r32_cifar100-lt.py:lt10": strong(LDAM_DRW, 5e-5, 0.3, reweight_from=320),
    "ldam-drw_r32_cifar10-lt.py": strong(LDAM_DRW, 5e-5, 0.4, reweight_from=320),
    "ldam-drw_r32_cifar10-lt.py:lt10": strong(LDAM_DRW, 1e-5, 0.4, reweight_from=320),
    "vs_r32_cifar100-lt.py": strong(vs(0.05, 1.0), 2e-4, 0.3),
    "vs_r32_cifar100-lt.py:lt10": strong(vs(0.05, 0.5), 1e-4, 0.1),
    "vs_r32_cifar10-lt.py": strong(vs(0.05, 1.0), 2e-4, 0.1),
    "vs_r32_cifar10-lt.py:lt10": strong(vs(0.0, 1.0), 1e-4, 0.1),
    "vs-adrw-tla_r32_cifar100-lt.py": strong(vs(0.05, 1.0), 2e-4, 0.2, 0.4, **adrw_tla(0.25, 0.75, 320)),
    "vs-adrw-tla_r32_cifar100-lt.py:lt10": strong(vs(0.05, 0.5), 1e-4, 0.1, 0.5, **adrw_tla(0.1, 0.75, 320)),
    "vs-adrw-tla_r32_cifar10-lt.py": strong(vs(0.05, 1.0), 2e-4, 0.1, 0.2, **adrw_tla(0.15, None, 320)),
    "vs-adrw-tla_r32_cifar10-lt.py:lt10": strong(vs(0.0, 1.0), 1e-4, 0.1, **adrw_tla(0.1, None, 320)),
}
"""Settings of the commands in DDC's script."""

RECIPES: dict[str, list[Recipe]] = {f"strong/{name}": recipe for name, recipe in STRONG.items()}
"""Stages of each config, by its path below ``configs/`` and its variants."""


def combined(spec: str, *variants: str) -> str:
    """A config with further variants."""
    file, _, names = spec.partition(":")
    return ":".join(filter(None, (file, ",".join(filter(None, (names, *variants))))))


for variant in FACTORS.values():
    for classes in (10, 100):
        RECIPES[f"ce/ce_r32_cifar{classes}-lt.py{variant}"] = [CE_CIFAR]
        RECIPES[f"mixup/mixup_r32_cifar{classes}-lt.py{variant}"] = [replace(CE_CIFAR, mixup=1.0)]
        margins = f"ldam/ldam-drw_r32_cifar{classes}-lt.py{variant}"
        RECIPES[margins] = [LDAM_DRW]
        RECIPES[combined(margins, "no-drw")] = [LDAM]
        RECIPES[f"proco/proco_r32_cifar{classes}-lt.py{variant}"] = [PROCO]
    for classes, alpha in ((10, 1), (100, 1.5)):
        direct_effect = f"tde/tde_r32_cifar{classes}-lt.py{variant}"
        RECIPES[direct_effect] = [also(TDE_CIFAR, constants={"head.alpha": alpha})]
        RECIPES[combined(direct_effect, "deconfound")] = [also(TDE_CIFAR, constants={"head.alpha": 0})]
    data = f"r32_cifar100-lt.py{variant}"
    RECIPES[f"focal/focal_{data}"] = [also(CE_CIFAR, constants=FOCAL)]
    RECIPES[f"class_balanced/cb-ce_{data}"] = [CB_CE]
    RECIPES[f"class_balanced/cb-focal_{data}"] = [CB_FOCAL]
    RECIPES[f"paco/paco_{data}"] = [PACO]
    RECIPES[f"lpa/lpa_{data}"] = [lpa(PACO, 128, 10)]
    RECIPES[f"scl/scl_{data}"] = [SCL, LDAM_LINEAR]
    RECIPES[f"kcl/kcl_{data}"] = [KCL, LDAM_LINEAR]
    RECIPES[f"tsc/tsc_{data}"] = TSC
    for name, recipe in SBCL_VARIANTS.items():
        RECIPES[combined(f"sbcl/sbcl_{data}", name)] = [recipe, LDAM_LINEAR]
    RECIPES[f"drw/ce-drw_{data}"] = [CE_DRW]
    RECIPES[f"drw/ce-drs_{data}"] = [CE_DRS]
    for variant, recipe in (("", CE_CIFAR), ("ldam", LDAM)):
        translated = also(recipe, constants=M2M, sampler=CE_DRS.sampler)
        RECIPES[combined(f"m2m/m2m_{data}", variant)] = [CE_CIFAR, translated]
    RECIPES[f"crt/crt_{data}"] = [CE_CIFAR, CRT]
    RECIPES[f"lws/lws_{data}"] = [CE_CIFAR, also(CRT, constants=SCALES)]
for variant, gamma10, tau100, power10, power100 in (("", 0.05, 1.0, 0.15, 0.25), (":lt10", 0.0, 0.5, 0.1, 0.1)):
    small, large = f"vs/vs_r32_cifar10-lt.py{variant}", f"vs/vs_r32_cifar100-lt.py{variant}"
    RECIPES[small], RECIPES[large] = [vs(gamma10, 1.0)], [vs(0.05, tau100)]
    RECIPES[combined(small, "adrw-tla")] = [vs(gamma10, 1.0, **adrw_tla(power10, None, 160))]
    RECIPES[combined(large, "adrw-tla")] = [vs(0.05, tau100, **adrw_tla(power100, 0.75, 160))]
RECIPES["drw/ce-drw_r50_imagenet-lt.py"] = [CE_DRW_LARGE]
for data, plain in (("imagenet-lt", CE_LARGE), ("inat", CE_INAT)):
    RECIPES[f"ldam/ldam-drw_r50_{data}.py"] = [
        also(
            plain,
            constants={**LDAM_DRW.constants, "head.loss_module.reweight_from": 72},
            deviations={"head.fc.weight": 1 / 2048**0.5},  # unit vectors of 2048 entries
        )
    ]
for net in ("r50", "x50"):
    RECIPES[f"crt/crt_{net}_imagenet-lt.py"] = [CE_LARGE, CRT_LARGE]
    RECIPES[f"lws/lws_{net}_imagenet-lt.py"] = [CE_LARGE, also(CRT_LARGE, epochs=5, lr={0: 0.2}, constants=SCALES)]
for variant, epochs in (("", 90), (":200e", 200)):
    inat: dict[str, Any] = {"weight_decay": 1e-4, "views": (CROP,)}
    first = also(CE_LARGE, epochs=epochs, lr={0: 0.2, epochs // 2: 0.1}, **inat)
    RECIPES[f"crt/crt_r50_inat.py{variant}"] = [first, also(CRT_LARGE, epochs=30, lr={0: 0.2, 15: 0.1}, **inat)]
    scales = also(CRT_LARGE, epochs=5, lr={0: 0.2}, constants=SCALES, **inat)
    RECIPES[f"lws/lws_r50_inat.py{variant}"] = [first, scales]
RECIPES["weight_balancing/weight-balancing_r32_cifar100-lt.py:r34"] = [DECAYED, BALANCED_WEIGHTS]
for classes, radius in ((10, 0.5), (100, 0.8)):
    sam = {"type": "SAMOptimWrapper", "rho": radius}
    RECIPES[f"sam/sam_r32_cifar{classes}-lt.py:drw"] = [also(CE_DRW, sharpness=sam)]
    RECIPES[f"sam/ldam-drw-sam_r32_cifar{classes}-lt.py"] = [also(LDAM_DRW, sharpness={**sam, "rho": 0.8})]
for data, lr, decay, views in (("r50_imagenet-lt.py", 0.2, 2e-4, KANG), ("r50_inat.py", 0.1, 1e-4, (CROP,))):
    RECIPES[f"sam/ldam-drw-sam_{data}"] = [
        Recipe(
            4,
            64,
            90,
            {0: lr, 45: lr / 2, 60: lr / 4},
            decay,
            views,
            constants={
                "head.loss_module.max_margin": 0.3,
                "head.loss_module.scale": 30,
                "head.loss_module.class_weight": "effective_number",
                "head.loss_module.weight_beta": 0.9999,
                "head.loss_module.reweight_from": 60,
            },
            sharpness={
                "type": "SAMOptimWrapper",
                "rho": 0.05,
                "phases": [{"start": 5, "rho": 0.1}, {"start": 60, "rho": 0.5}],
            },
        )
    ]
for classes, decay, settings in (
    (10, 2e-4, {"rho": 0.2, "gamma": 3.0, "scale": 0.5}),
    (100, 1e-3, {"rho": 0.3, "gamma": 3.2, "scale": 0.8}),
):
    RECIPES[f"sam/focal-sam_r32_cifar{classes}-lt.py"] = [
        Recipe(
            1,
            64,
            200,
            {0: 0.1, 100: 0.05, 150: 0.1 * (1 - 0.5**0.5) / 2},
            decay,
            CIFAR,
            constants=LOGIT_ADJUSTMENT,
            sharpness={"type": "FocalSAMOptimWrapper", **settings},
        )
    ]
for data, decay in (("r50_imagenet-lt.py", 5e-4), ("r50_inat.py", 1e-4)):
    views = KANG if "imagenet" in data else (CROP,)
    RECIPES[f"ce/ce_{data}"] = [also(CE_LARGE, weight_decay=decay, views=views)]
    linear = also(TSC_LINEAR, views=views)
    RECIPES[f"scl/scl_{data}"] = [SCL_LARGE, linear]
    RECIPES[f"kcl/kcl_{data}"] = [KCL_LARGE, linear]
    high = linear if "imagenet" in data else also(linear, lr={0: 30, 19: 30, 20: 3, 29: 3, 30: 0.3})
    RECIPES[f"tsc/tsc_{data}"] = [KCL_LARGE, TSC_LARGE, high]
    RECIPES[f"sbcl/sbcl_{data}"] = [SBCL_LARGE, SBCL_LINEAR]
    RECIPES[f"pcl/pcl_{data}"] = [PCL_LARGE, linear]
    RECIPES[f"swav/swav_{data}"] = [SWAV_LARGE, linear]
    RECIPES[f"byol/byol_{data}"] = [BYOL_LARGE, linear]
RECIPES["tsc/tsc_r50_imagenet-lt.py:released"] = [
    KCL_LARGE,
    also(TSC_LARGE, constants={"head.loss_module.match": "step"}),
    TSC_LINEAR,
]
for data, (first, second) in MISLAS.items():
    RECIPES[f"mislas/mislas_{data}"] = [first, second]
    RECIPES[combined(f"mislas/mislas_{data}", "stage1")] = [first]
    # The paper does not give the number on Places-LT.
    latents = {"cifar10": 40, "cifar100": 50, "imagenet": 100, "inat": 200, "places": 100}
    dataset = data.partition(".")[0].split("_")[1].split("-")[0]
    RECIPES[f"lcreg/lcreg_{data}"] = lcreg((first, second), latents[dataset])
for data, numbers in {
    "r32_cifar10-lt.py": (20, 30, 50, 60),
    "r32_cifar100-lt.py": (20, 30, 40, 60),
    "r50_imagenet-lt.py": (20, 60, 200),
    "r50_inat.py": (60, 100),
}.items():
    for number in numbers:  # Table 3
        RECIPES[f"lcreg/lcreg_{data}:m{number}"] = lcreg(MISLAS[data], number)
for data, number in {"r32_cifar10-lt.py": 40, "r32_cifar100-lt.py": 50, "r50_inat.py": 100}.items():
    for name, recon, aug in (("latent", 0, 0), ("aug", 0, 0.1), ("recon", 0.1, 0)):  # Table 4
        RECIPES[f"lcreg/lcreg_{data}:{name}"] = lcreg(MISLAS[data], number, recon, aug)
# Post-hoc stages train nothing: what is left of a recipe is the stage before and the transforms of its images.
for data, first in {
    "r32_cifar10-lt.py": CE_CIFAR,  # of whose numbers the schedules are another, as of those of the loss
    "r32_cifar100-lt.py": CE_CIFAR,
    "r50_imagenet-lt.py": CE_LARGE,
    "x50_imagenet-lt.py": CE_LARGE,
    "r50_inat.py": CE_INAT,
}.items():
    methods = ("logit-adjustment",) if "cifar" in data else ("tau-norm",) if "inat" in data else ("tau-norm", "ncm")
    for method in methods:
        RECIPES[f"posthoc/{method}_{data}"] = [first, replace(first, epochs=1, lr={})]
RECIPES |= {
    "focal/focal_r50_imagenet-lt.py:drw": [also(CE_LARGE, constants=FOCAL_DRW)],
    "focal/focal_r50_inat.py": [also(CE_INAT, constants=FOCAL)],
    "class_balanced/cb-focal_r50_inat.py": [CB_FOCAL_INAT],
    # The schedule is ours: the numbers are those of 1241 and 1419 epochs.
    "logit_adjustment/logit-adjustment_r32_cifar10-lt.py": [also(CE_CIFAR, constants=LOGIT_ADJUSTMENT)],
    "logit_adjustment/logit-adjustment_r32_cifar100-lt.py": [also(CE_CIFAR, constants=LOGIT_ADJUSTMENT)],
    "logit_adjustment/logit-adjustment_r50_inat.py": [also(CE_INAT, constants=LOGIT_ADJUSTMENT)],
    "gcl/gcl_r32_cifar100-lt.py": GCL,
    "gcl/gcl_r32_cifar100-lt.py:lt50": GCL,
    "gcl/gcl_r152_places-lt.py": GCL_PLACES,
    "gcl/gcl_r152_places-lt.py:stage1": GCL_PLACES[:1],
    "ce/ce_x50_imagenet-lt.py": [CE_LARGE],
    "tde/tde_x50_imagenet-lt.py": [also(TDE_LARGE, constants={"head.alpha": 3})],
    "tde/tde_x50_imagenet-lt.py:deconfound": [also(TDE_LARGE, constants={"head.alpha": 0})],
    "paco/paco_r50_imagenet-lt.py": [PACO_LARGE],
    "paco/paco_x50_imagenet-lt.py": [PACO_X50],
    "paco/paco_r50_inat.py": [PACO_INAT],
    "paco/paco_r152_places-lt.py": [PACO_PLACES],
    "paco/gpaco_r50_imagenet-lt.py": [GPACO],
    "paco/gpaco_x50_imagenet-lt.py": [
        also(
            GPACO,
            lr={10: 0.06, 205: 0.03},
            views=(RANDCLS_3, RANDCLSSTACK_3),
            constants={"head.loss_module.alpha": 0.05},
        )
    ],
    "paco/gpaco_r50_inat.py": [
        also(GPACO, weight_decay=1e-4, views=(RANDCLS, SIM), constants={"head.loss_module.alpha": 0.05})
    ],
    "proco/proco_r32_cifar100-lt.py:long": [PROCO_LONG],
    "proco/proco_r50_imagenet-lt.py": [PROCO_LARGE],
    "proco/proco_r50_imagenet-lt.py:long": [replace(PROCO_LARGE, epochs=180, lr={0: 0.1, 90: 0.05})],
    "proco/proco_r50_imagenet-lt.py:x50": [PROCO_LARGE],
    "proco/proco_r50_inat.py": [replace(PROCO_LARGE, lr={0: 0.2, 45: 0.1}, weight_decay=1e-4)],
    "lpa/lpa_x50_imagenet-lt.py": [lpa(PACO_X50, 512, 20)],
    "lpa/paco_r50_inat.py": [lpa(PACO_INAT, 512, 20)],
    "sbcl/sbcl_r50_imagenet-lt.py:released": [SBCL_LARGE_RELEASED, SBCL_LINEAR],
}

# Three experts with cosine classifiers; released schedules of SADE and BalPoE count epochs from 0, SHIKE's too.
ROTATED = (("crop 32 pad 4", "flip 0.5", "rotate 15 nearest"),)


def experts(length: int, **constants: Any) -> dict[str, Any]:
    """Constants of three experts with features of a length, whose classifiers start as unit vectors."""
    return {
        "constants": {
            "backbone.num_experts": 3,
            "head.experts.count": 3,
            "head.experts.0.scale": 30,
            "head.in_channels": length,
            "head.loss_module.class_weight": None,
            **{f"head.loss_module.{key}": value for key, value in constants.items()},
        },
        "deviations": {f"head.experts.{expert}.fc.weight": length**-0.5 for expert in range(3)},
    }


TADE_CIFAR = Recipe(
    1,
    128,
    200,
    {0: 0.02, 4: 0.1, 159: 0.1, 160: 0.01, 179: 0.01, 180: 1e-3},
    5e-4,
    ROTATED,
    nesterov=True,
    **experts(48, tau=2.0),
)
TADE_INAT = Recipe(
    4,
    128,
    100,
    {0: 0.04, 4: 0.2, 59: 0.2, 60: 0.02, 79: 0.02, 80: 2e-3},
    2e-4,
    (CROP,),
    nesterov=True,
    **experts(1536, tau=1.0),
)
TADE_PLACES = Recipe(
    4,
    32,
    30,
    {0: 0.01, 9: 0.01, 10: 1e-3, 20: 1e-4},
    4e-4,
    KANG,
    nesterov=True,
    groups={
        "backbone.conv1.weight": (0.1, 4e-4),
        "backbone.layer3.experts.2.5.conv2.weight": (0.1, 4e-4),
        "backbone.layer4.experts.0.2.bn3.weight": (0.1, 4e-4),
        "head.experts.1.fc.weight": (1, 4e-4),
    },
    **experts(2048, tau=1.0),
)
# The long recipe, of which the published numbers are.
BALPOE_CIFAR = Recipe(
    1,
    128,
    400,
    {0: 0.01, 9: 0.1, 319: 0.1, 320: 0.01, 359: 0.01, 360: 1e-3},
    5e-4,
    (AUTOAUGMENT[:-1],),
    mixup=0.4,
    nesterov=True,
    **experts(64, tau=(0, 1, 2)),
)
BALPOE_X50 = Recipe(
    2,
    32,
    400,
    {0: 0.025, 200: 0.0125},
    5e-4,
    (RANDCLS,),
    mixup=0.3,
    nesterov=True,
    **experts(2048, tau=(0, 1.25, 2.5)),
)
SHIKE = [
    Recipe(
        1,
        128,
        180,
        {0: 0.025, 1: 0.05, 4: 0.125, 5: 0.15, 40: 0.15 * (1 + math.cos(math.pi / 5)) / 2},
        5e-4,
        (AUTOAUGMENT,),
        **experts(64, negative_weight=10, mutual_weight=1, reduction="elementmean"),
    ),
    also(
        Recipe(
            1,
            128,
            20,
            {0: 0.0375, 4: 0.0875, 5: 0.1, 10: 0.075},
            5e-4,
            (AUTOAUGMENT,),
            **experts(64, tau=(1, 1, 1), loss_weight=3),
        ),
        constants={"norm_eval": False, "reuse_head": False},
    ),
]
RECIPES |= {
    "tade/tade_r32_cifar100-lt.py": [TADE_CIFAR],
    "tade/tade_x50_imagenet-lt.py": [
        Recipe(2, 32, 180, {0: 0.025, 90: 0.0125}, 5e-4, KANG, nesterov=True, **experts(1536, tau=2.0))
    ],
    "tade/tade_r50_inat.py": [TADE_INAT],
    "tade/tade_r152_places-lt.py": [TADE_PLACES],
    "balpoe/balpoe_r32_cifar100-lt.py:long": [BALPOE_CIFAR],
    "balpoe/balpoe_r32_cifar100-lt.py:long,lt50": [BALPOE_CIFAR],
    "balpoe/balpoe_r32_cifar10-lt.py:long": [also(BALPOE_CIFAR, mixup=0.8)],
    "balpoe/balpoe_x50_imagenet-lt.py:long": [BALPOE_X50],
    "balpoe/balpoe_r50_inat.py:long": [
        also(
            BALPOE_X50,
            processes=4,
            batch=128,
            lr={0: 0.2, 200: 0.1},
            weight_decay=2e-4,
            mixup=0.2,
            constants={"head.loss_module.tau": (-1, 1, 3)},
        )
    ],
    "shike/shike_r32_cifar100-lt.py": SHIKE,
}

# Two branches, whose 128 numbers one linear layer of PyTorch's initial weights reads.
BBN_CIFAR = Recipe(
    1,
    128,
    200,
    {0: 0.1 / 3, 1: 0.1 * 7 / 15, 4: 0.1 * 13 / 15, 5: 0.1, 119: 0.1, 120: 1e-3, 159: 1e-3, 160: 1e-5},
    2e-4,
    CIFAR,
    constants={"head.horizon": 1, "backbone.num_experts": 2, "num_environments": 2, "head.fc.in_features": 128},
    deviations={"head.fc.weight": 1 / 128**0.5 / 3**0.5},
)
BBN_INAT = Recipe(
    1,
    128,
    90,
    {0: 0.05, 59: 0.05, 60: 5e-3, 79: 5e-3, 80: 5e-4},
    1e-4,
    (CROP,),
    constants={"head.horizon": 10 / 9, "backbone.num_experts": 2, "head.fc.in_features": 4096},
)
RECIPES |= {f"bbn/bbn_r32_cifar{n}-lt.py{variant}": [BBN_CIFAR] for n in (10, 100) for variant in FACTORS.values()}
RECIPES |= {
    "bbn/bbn_r50_inat.py": [BBN_INAT],
    "bbn/bbn_r50_inat.py:long": [
        replace(BBN_INAT, epochs=180, lr={0: 0.05, 119: 0.05, 120: 5e-3, 159: 5e-3, 160: 5e-4}),
    ],
}

# A quarter of the channels of balanced images from natural ones; the weight decay is that of the released configs.
H2T = Recipe(
    1,
    128,
    10,
    {0: 0.02, 5: 0.01, 9: 0.01 * (1 + math.cos(0.9 * math.pi))},
    2e-4,
    CIFAR,
    constants={"rho": 0.25, "reuse_head": True, "norm_eval": False, "num_environments": 2},
    sampler={"type": "ClassBalancedSampler", "power": 0, "rule": "power", "progressive": False},
)
for factor, stage in (("", replace(H2T, weight_decay=5e-4)), (":lt50", H2T), (":lt200", H2T)):
    RECIPES[f"h2t/h2t_r32_cifar100-lt.py{factor}"] = [MIXUP_CIFAR, stage]
    RECIPES[combined(f"h2t/h2t_r32_cifar100-lt.py{factor}", "stage1")] = [MIXUP_CIFAR]


def glmc(power: float, weight: float, **changes: Any) -> list[Recipe]:
    """GLMC: the power of the class weights, the weight of the consistency."""
    recipe = Recipe(
        1,
        64,
        200,
        {0: 0.01, 100: 0.005},
        5e-3,
        2 * CIFAR,
        constants={
            "head.loss_module.class_weight": "inverse_power",
            "head.loss_module.weight_power": power,
            "head.loss_module.normalize_by": "batch",
            "head.plain_loss_module.class_weight": None,
            "consistency_weight": weight,
            "mixup_alpha": 1,
            "corrected_share": False,
            "backbone.conv1.out_channels": 64,
            "predictor.layers.0.out_features": 128,
        },
        deviations={
            "head.fc.weight": (2 / 256) ** 0.5,
            "head.plain.weight": (2 / 256) ** 0.5,
            "projector.layers.0.weight": (2 / 256) ** 0.5,
            "predictor.layers.0.weight": (2 / 128) ** 0.5,
        },
    )
    return [replace(recipe, **changes)]


GLMC_NUMBERS = {10: ((1.2, 1.0), (1.2, 1.0), (1.0, 2.0)), 100: ((1.2, 4.0), (1.2, 6.0), (1.2, 4.0))}
for classes, settings_of_factors in GLMC_NUMBERS.items():
    for variant, powers in zip(FACTORS.values(), settings_of_factors, strict=True):
        RECIPES[f"glmc/glmc_r32_cifar{classes}-lt.py{variant}"] = glmc(*powers)
[_glmc] = glmc(1.0, 10)
RECIPES["glmc/glmc_x50_imagenet-lt.py"] = [
    replace(
        also(_glmc, constants={"predictor.layers.0.out_features": 256}),
        processes=4,
        batch=30,
        epochs=135,
        lr={0: 0.01, 4: 0.05, 9: 0.1, 10: 0.05 * (1 + math.cos(math.pi / 126)), 72: 0.05},
        weight_decay=2e-4,
        views=2 * (SIM,),
        deviations={
            "head.fc.weight": 1 / 2048**0.5 / 3**0.5,
            "projector.layers.0.weight": 1 / 2048**0.5 / 3**0.5,
            "predictor.layers.0.weight": 1 / 16 / 3**0.5,
        },
    )
]

# OLTR: all but the classifiers learns ten times slower in stage 2; a 512-d feature, which on Places-LT a layer makes.
ATTENTION = [f"{layer}.{name}" for layer in ("theta", "phi", "g", "fc") for name in ("weight", "bias")] + [
    "mask.weight"
]


def oltr(first: Recipe, channels: int, feature: int, attention: str = "neck.", **changes: Any) -> list[Recipe]:
    """A first stage and the released second one; ``attention`` is its place in the model."""
    uniform = dict.fromkeys(("head.fc.weight", "head.selector.weight", "head.cosine.weight"), 1 / feature**0.5 / 3**0.5)
    second = Recipe(
        first.processes,
        128 // first.processes,
        60,
        {0: 0.1, 19: 0.1, 20: 0.01, 39: 0.01, 40: 1e-3},
        5e-4,
        first.views,
        constants={
            "head.scale": 16,
            "head.reach": 10,
            "head.centroid_loss.margin": 10,
            "head.centroid_loss.repel_weight": 0.01,
            "head.centroid_loss.hinge": "batch",
            "head.centroid_loss.weight": 0.01,
            "head.centroid_loss.centroids.shape": (first.constants["head.num_classes"], feature),
            "backbone.conv1.weight.requires_grad": True,
        },
        groups=dict.fromkeys([*(attention + name for name in ATTENTION), "head.centroid_loss.centroids"], (0.1, 5e-4)),
        deviations={
            **uniform,
            **dict.fromkeys((f"{attention}{name}.weight" for name in ("theta", "phi", "g")), (2 / channels) ** 0.5),
            f"{attention}mask.weight": 0,
        },
        hooks={"CentroidHook": {}},
        sampler=CLASS_AWARE,
    )
    return [first, also(second, **changes)]


def torch_linear(feature: int) -> dict[str, float]:
    """PyTorch's initial weights of a classifier."""
    return dict.fromkeys(("head.fc.weight", "head.fc.bias"), 1 / feature**0.5 / 3**0.5)


OLTR_RATES = {0: 0.1, 9: 0.1, 10: 0.01, 19: 0.01, 20: 1e-3}
OLTR_R10 = Recipe(
    1, 128, 30, OLTR_RATES, 5e-4, KANG, constants={"head.num_classes": 1000}, deviations=torch_linear(512)
)
OLTR_PLACES = Recipe(
    4,
    32,
    30,
    OLTR_RATES,
    5e-4,
    KANG,
    constants={"head.num_classes": 365, "backbone.depth": 152},
    groups=dict.fromkeys(("neck.1.fc.weight", "neck.1.fc.bias"), (0.01, 5e-4)),
    deviations=torch_linear(512),
)
PLACES_SLOW = [*(f"neck.0.{name}" for name in ATTENTION), "neck.1.fc.weight", "neck.1.fc.bias"]
RECIPES |= {
    "oltr/oltr_r10_imagenet-lt.py": oltr(OLTR_R10, 512, 512),
    "oltr/oltr_x50_imagenet-lt.py": oltr(also(CE_LARGE, constants={"head.num_classes": 1000}), 2048, 2048),
    "oltr/oltr_r50_inat.py": oltr(also(CE_INAT, constants={"head.num_classes": 8142}), 2048, 2048),
    "oltr/oltr_r152_places-lt.py": [
        OLTR_PLACES,
        replace(
            oltr(OLTR_PLACES, 2048, 512, "neck.0.", constants={"backbone.conv1.weight.requires_grad": False})[1],
            epochs=30,
            lr={epoch: rate / 10 for epoch, rate in OLTR_RATES.items()},
            groups={**dict.fromkeys(PLACES_SLOW, (0.01, 5e-4)), "head.centroid_loss.centroids": (1, 5e-4)},
        ),
    ],
}

# LFME before OLTR: three experts and their student, by OLTR's first stage; the curriculum of the released code.
LFME_CONSTANTS = {
    "distill.temperature": 2,
    "distill.decay_from": 0.3,
    "distill.square_temperature": False,
    "curriculum.scales": "logits",
    "curriculum.full_at": 0.5,
    "curriculum.extrapolate": True,
}
RECIPES["lfme/lfme-oltr_r152_places-lt.py"] = [
    *[OLTR_PLACES] * 3,
    also(OLTR_PLACES, constants=LFME_CONSTANTS, hooks={"LFMEHook": {}}, sampler=CLASS_AWARE),
    RECIPES["oltr/oltr_r152_places-lt.py"][1],
]

# Generalized long-tailed benchmarks: SGD without momentum, a classifier without biases, PyTorch's initial weights.
CE_GLT = Recipe(
    1,
    256,
    100,
    {0: 0.1, 25: 0.05 * (1 + math.cos(math.pi / 4)), 50: 0.05},
    5e-4,
    (("crop 112 from 0.08-1", "flip 0.5"),),
    constants={"head.fc.bias": None},
    deviations={"head.fc.weight": 1 / 2048**0.5 / 3**0.5},
    momentum=0.0,
)
FROZEN_GLT = also(
    CE_GLT, epochs=10, lr={0: 0.1, 5: 0.05}, constants={"norm_eval": False, "reuse_head": False}, sampler=CLASS_AWARE
)
MARGIN_GLT = replace(
    CE_GLT,
    lr={0: 0.1, 79: 0.1, 80: 1e-3, 89: 1e-3, 90: 1e-5},
    weight_decay=2e-4,
    constants={**LDAM_DRW.constants, "head.loss_module.reweight_from": 80},
    deviations={"head.fc.weight": 1 / 2048**0.5},
)
RANDAUGMENT_GLT = "randaugment n2 m10 std0.0 of 135"


def loss_is(name: str, **constants: Any) -> dict[str, Any]:
    """Constants of a loss."""
    return {"head.loss_module.__class__.__name__": name, **{f"head.loss_module.{k}": v for k, v in constants.items()}}


for data, num_classes, alpha in (("imagenet", 1000, 2.0), ("mscoco", 29, 1.0)):
    crop = "crop 112 from 0.08-1" if data == "imagenet" else "crop 112 from 0.5-1"
    of_ce, of_margins, frozen = (
        also(recipe, views=((crop, "flip 0.5"),), constants={"head.num_classes": num_classes})
        for recipe in (CE_GLT, MARGIN_GLT, FROZEN_GLT)
    )
    causal = {"head.num_heads": 2, "head.scale": 16, "head.gamma": 1 / 32, "head.momentum": 0.995}
    lws_parts = {"reuse_head": True, "head.fc.weight.requires_grad": False, "head.scale.requires_grad": True}
    benchmark: dict[str, list[Recipe]] = {
        "ce/ce": [also(of_ce, constants=loss_is("CrossEntropyLoss"))],
        "crt/crt": [of_ce, frozen],
        "lws/lws": [of_ce, replace(also(frozen, constants=lws_parts), deviations={})],
        "balanced_softmax/balanced-softmax": [also(of_ce, constants=loss_is("BalancedSoftmaxLoss"))],
        "ldam/ldam-drw": [of_margins],
        "mixup/mixup": [replace(of_ce, mixup=1.0)],
    }
    for variant, removed in (("", alpha), (":alt", 0.0)):
        for method, stages in benchmark.items():
            RECIPES[f"{method}_x50_{data}-glt.py{variant}"] = stages
        RECIPES[f"tde/tde_x50_{data}-glt.py{variant}"] = [also(of_ce, constants={**causal, "head.alpha": removed})]
        strong_views = ((crop, "flip 0.5", RANDAUGMENT_GLT),)
        RECIPES[combined(f"ce/ce_x50_{data}-glt.py{variant}", "randaug")] = [replace(of_ce, views=strong_views)]
    RECIPES[f"posthoc/logit-adjustment_x50_{data}-glt.py"] = [of_ce, replace(of_ce, epochs=1, lr={})]
for variant in ("", ":alt"):
    focal = loss_is("SoftmaxFocalLoss", gamma=2, detach_modulator=True, class_weight=None)
    RECIPES[f"focal/focal_x50_imagenet-glt.py{variant}"] = [also(CE_GLT, constants=focal)]
    RECIPES[f"lff/lff_x50_imagenet-glt.py{variant}"] = [also(CE_GLT, constants={"difficulty": None})]
for data, crop in (("imagenet", "crop 112 from 0.08-1"), ("mscoco", "crop 112 from 0.5-1")):
    for variant in ("", ":alt"):
        RECIPES[f"tade/tade_x50_{data}-glt.py{variant}"] = [
            Recipe(1, 256, 100, CE_GLT.lr, 5e-4, ((crop, "flip 0.5"),), momentum=0.0, **experts(1536, tau=2.0))
        ]

RIDE_LOSS = {
    "max_margin": 0.5,
    "scale": 30,
    "diversity_weight": 0.2,
    "temperature_spread": 0.02,
    "class_weight": "effective_number",
    "weight_beta": 0.9999,
    "reweight_from": 80,
    "normalize_by": "weights",
}
RIDE_CIFAR = Recipe(
    1,
    128,
    200,
    {0: 0.02, 4: 0.1, 159: 0.1, 160: 1e-3, 179: 1e-3, 180: 1e-5},
    5e-4,
    ROTATED,
    nesterov=True,
    **experts(48, **{**RIDE_LOSS, "diversity_weight": 0.45, "temperature_spread": 0.05, "reweight_from": 160}),
)
RIDE_LARGE = Recipe(
    8,
    32,
    100,
    {0: 0.02, 4: 0.1, 59: 0.1, 60: 0.01, 79: 0.01, 80: 1e-3},
    2e-4,
    KANG,
    nesterov=True,
    **experts(1536, **RIDE_LOSS),
)
RIDE_INAT = also(
    RIDE_LARGE,
    batch=64,
    lr={0: 0.04, 4: 0.2, 59: 0.2, 60: 0.02, 79: 0.02, 80: 2e-3},
    views=(CROP,),
    constants={"head.loss_module.temperature_spread": 0.015},
)
RECIPES["ride/ride_r32_cifar100-lt.py"] = [RIDE_CIFAR]
RECIPES["ride/ride_x50_imagenet-lt.py"] = [RIDE_LARGE]
RECIPES["ride/ride_r50_inat.py"] = [RIDE_INAT]
for data, recipe in (("imagenet-lt", RIDE_LARGE), ("inat", RIDE_INAT)):
    two = {"backbone.num_experts": 2, "head.experts.count": 2}
    single = {f"head.experts.{expert}.fc.weight": 1536**-0.5 for expert in range(2)}
    RECIPES[f"ride/ride_r50_{data}.py:experts2"] = [
        replace(recipe, constants={**recipe.constants, **two}, deviations=single)
    ]

REMIX = {"type": "Remix", "alpha": 1.0, "kappa": 3.0, "tau": 0.5}
for variant in ("", ":lt10"):
    for classes in (10, 100):
        RECIPES[f"remix/remix-drw_r32_cifar{classes}-lt.py{variant}"] = [replace(CE_DRW, mixing=REMIX)]
RECIPES["remix/remix-drw_r50_inat.py"] = [
    also(CE_INAT, constants={**WEIGHTED, "head.loss_module.reweight_from": 72}, mixing=REMIX)
]


def cmo(recipe: Recipe, **changes: Any) -> list[Recipe]:
    """CMO as released: class-uniform foregrounds, but in the first four and last three epochs; ``also`` other facts."""
    mixing = {"type": "CMO", "alpha": 1.0, "prob": 0.5, "mix_from": 4, "mix_until": recipe.epochs - 3}
    recipe = also(recipe, **changes)
    if recipe.constants.get("head.loss_module.class_weight"):
        recipe = also(recipe, constants={"head.loss_module.normalize_by": "labels"})
    return [replace(recipe, mixing=mixing, companions=({"type": "ClassBalancedSampler"},))]


CMO_STEPS = Recipe(8, 32, 100, {0: 0.02, 4: 0.1, 59: 0.1, 60: 0.01, 79: 0.01, 80: 1e-3}, 2e-4, KANG)
CMO_LONG = Recipe(
    4,
    32,
    400,
    {0: 0.002, 10: 0.02, 205: 0.01, 270: 0.005},
    5e-4,
    ((f"({', '.join(RANDCLS)}) | ({', '.join(SIM)})",),),
)
RECIPES |= {
    **{f"cmo/cmo-ride_r32_cifar100-lt.py{variant}": cmo(RIDE_CIFAR) for variant in FACTORS.values()},
    "cmo/cmo-ride_r50_imagenet-lt.py": cmo(RIDE_LARGE),
    "cmo/cmo-ride_r50_inat.py": cmo(RIDE_INAT),
    "cmo/cmo_r32_cifar100-lt.py": cmo(CE_DRW),
    "cmo/cmo_r32_cifar100-lt.py:ldam-drw": cmo(LDAM_DRW),
    "cmo/cmo_r50_imagenet-lt.py": cmo(CMO_STEPS),
    "cmo/cmo_r50_inat.py": cmo(
        CMO_STEPS,
        lr={0: 0.02, 4: 0.1, 74: 0.1, 75: 0.01, 99: 0.01},
        views=(CROP,),
        constants={**WEIGHTED, "head.loss_module.reweight_from": 80},
    ),
    "cmo/cmo-long_r50_imagenet-lt.py": cmo(CMO_LONG),
    "cmo/cmo-long_r50_inat.py": cmo(CMO_LONG, weight_decay=1e-4),
}

RIDE_GLT = replace(
    RIDE_LARGE,
    processes=1,
    batch=256,
    lr={0: 0.1, 59: 0.1, 60: 0.01, 79: 0.01, 80: 1e-3},
    momentum=0.0,
    nesterov=False,
    views=(("crop 112 from 0.08-1", "flip 0.5"),),
    constants={**RIDE_LARGE.constants, "head.loss_module.reweight_from": 81},
)
PLAIN_EXPERTS = {f"head.loss_module.{key}": value for key, value in (("max_margin", 0), ("diversity_weight", 0))}
for variant in ("", ":alt"):
    imagenet = f"ride/ride_x50_imagenet-glt.py{variant}"
    RECIPES[imagenet] = [RIDE_GLT]
    RECIPES[combined(imagenet, "ce")] = [
        also(
            RIDE_GLT,
            constants={**PLAIN_EXPERTS, "head.loss_module.class_weight": None, "head.loss_module.reweight_from": 0},
        )
    ]
    RECIPES[f"ride/ride_x50_mscoco-glt.py{variant}"] = [replace(RIDE_GLT, views=(("crop 112 from 0.5-1", "flip 0.5"),))]

# Six experts teach four or three, whose losses count once for each expert.
TEACHER = {"backbone.num_experts": 6, "head.experts.count": 6}


def students(number: int) -> dict[str, Any]:
    """Constants of a distilled network with so many experts."""
    sizes = {"backbone.num_experts": number, "head.experts.count": number}
    return {**sizes, "distill.temperature": 1.5, "distill.loss_weight": number, "head.loss_module.loss_weight": number}


LATE = {0: 0.005, 19: 0.1, 159: 0.1, 160: 1e-3, 179: 1e-3, 180: 1e-5}
for variant, number in (("", 4), (":students3", 3)):
    RECIPES[f"ride/ride-distill_r32_cifar100-lt.py{variant}"] = [
        also(RIDE_CIFAR, constants=TEACHER),
        also(RIDE_CIFAR, lr=LATE, constants=students(number)),
    ]
for data, recipe in (("x50_imagenet-lt", RIDE_LARGE), ("r50_inat", RIDE_INAT)):
    RECIPES[f"ride/ride-distill_{data}.py"] = [also(recipe, constants=TEACHER), also(recipe, constants=students(4))]
ROUTER = Recipe(
    1,
    512,
    5,
    {0: 0.01, 1: 0.005 * (1 + math.cos(math.pi / 5)), 4: 0.005 * (1 + math.cos(4 * math.pi / 5))},
    5e-4,
    ROTATED,
    constants={"router.num_top": 30, "router.positive_weight": 100, "router.hidden.count": 2, "norm_eval": True},
    sampler={"type": "ClassBalancedSampler", "power": 0, "rule": "power"},
    nesterov=True,
)
RECIPES["ride/ride-router_r32_cifar100-lt.py"] = [RIDE_CIFAR, ROUTER]
RECIPES["ride/ride-router_x50_imagenet-lt.py"] = [
    RIDE_LARGE,
    also(ROUTER, views=KANG, constants={"router.num_top": 50}),
]

# SSD: ssd_stage_{i,ii,iii}.py of the released code, a cosine by the epoch.
SSD = Recipe(8, 32, 135, {0: 0.1, 45: 0.075, 90: 0.025}, 5e-4, KANG, deviations={"head.fc.weight": TORCH / 2**2.5})
SSD_CONTRAST = also(
    SSD,
    views=(*KANG, MOCO),
    constants={
        "queue.size": 115712,
        "momentum": 0.999,
        "compare_batch": False,
        "projector.layers.0.out_features": 2048,
        "projector.layers.2.out_features": 128,
        "head.contrast_weight": 1,
        "head.contrast_loss_module.temperature": 0.2,
        "head.contrast_loss_module.skip_same_class": True,
    },
    deviations={"projector.layers.0.weight": TORCH / 2**2.5},
)
SSD_SCALES = also(
    CRT_LARGE, epochs=5, lr={0: 0.2}, constants=SCALES, sampler={"type": "ClassAwareSampler", "samples_per_class": 2}
)
for variant, predicts in (("", "soft"), (":hard", "hard")):
    distilled = {"distill.temperature": 2, "distill.square_temperature": True, "distill.loss_weight": 1}
    student = also(
        SSD,
        constants={**distilled, "head.predict_by": predicts, "teacher_cfgs.count": 1},
        deviations={"head.hard.weight": TORCH / 2**2.5},
    )
    RECIPES[f"ssd/ssd_x50_imagenet-lt.py{variant}"] = [SSD_CONTRAST, SSD_SCALES, student]

BBN_GLT = Recipe(
    1,
    256,
    100,
    {0: 0.1, 59: 0.1, 60: 0.01, 79: 0.01, 80: 1e-3},
    5e-4,
    (("crop 112 from 0.08-1", "flip 0.5"),),
    momentum=0.0,
    constants={"head.fc.bias": None, "head.horizon": 1, "head.fc.in_features": 4096},
)
for variant in ("", ":alt"):
    RECIPES[f"bbn/bbn_r50_imagenet-glt.py{variant}"] = [BBN_GLT]
    RECIPES[f"bbn/bbn_r50_mscoco-glt.py{variant}"] = [replace(BBN_GLT, views=(("crop 112 from 0.5-1", "flip 0.5"),))]

# IFL: 128 images of each of two environments in a step, drawn with replacement; centre loss from epoch 60 on.
IFL_GLT = also(
    CE_GLT,
    batch=128,
    constants={
        "num_environments": 2,
        "aux_losses.center.steps": [(60, 0.001), (80, 0.005)],
        "aux_losses.center.distance": "squared",
        "aux_losses.center.update": "batch",
        "aux_losses.center.lr": 0.5,
        "aux_losses.center.moves_at_zero": False,
        "aux_losses.environments.temperature": 1,
    },
    hooks={
        "EnvironmentHook": {
            "milestones": {60, 80},
            "ratios": (4.0,),
            "options": {"gamma_range": (1.0, 10.0), "unseen": "zero", "balance_classes": True},
        }
    },
    sampler={"type": "EnvironmentSampler", "environment": 0},
)
CENTERS_GLT = replace(
    IFL_GLT,
    batch=256,
    constants={
        "num_environments": 1,
        **{key: value for key, value in IFL_GLT.constants.items() if ".center." in key},
    },
    hooks={},
)
IRM_GLT = replace(
    IFL_GLT,
    constants={
        "num_environments": 2,
        "aux_losses.irm.form": "class_scale",
        "aux_losses.irm.steps": [(0, 0.001), (31, 0.01), (61, 0.1), (91, 1.0)],
    },
    hooks={"EnvironmentHook": {"milestones": None, "interval": 1, "ratios": (4.0,)}},
)
for data, num_classes in (("imagenet", 1000), ("mscoco", 29)):
    crop = "crop 112 from 0.08-1" if data == "imagenet" else "crop 112 from 0.5-1"
    ifl, of_ce, frozen = (
        also(recipe, views=((crop, "flip 0.5"),), constants={"head.num_classes": num_classes})
        for recipe in (IFL_GLT, CE_GLT, FROZEN_GLT)
    )
    lws_parts = {"reuse_head": True, "head.fc.weight.requires_grad": False, "head.scale.requires_grad": True}
    benchmark = {
        "ifl": [also(ifl, constants=loss_is("CrossEntropyLoss"))],
        "ifl-crt": [ifl, frozen],
        "ifl-lws": [ifl, replace(also(frozen, constants=lws_parts), deviations={})],
        "ifl-balanced-softmax": [also(ifl, constants=loss_is("BalancedSoftmaxLoss"))],
        "ifl-logit-adjustment": [ifl, replace(of_ce, batch=128, epochs=1, lr={}, deviations={})],
        "ifl-mixup": [replace(ifl, mixup=1.0)],
    }
    for variant in ("", ":alt"):
        for method, stages in benchmark.items():
            RECIPES[f"ifl/{method}_x50_{data}-glt.py{variant}"] = stages
        strong_views = ((crop, "flip 0.5", RANDAUGMENT_GLT),)
        RECIPES[combined(f"ifl/ifl_x50_{data}-glt.py{variant}", "randaug")] = [replace(ifl, views=strong_views)]
for variant in ("", ":alt"):
    own = f"ifl/ifl_x50_imagenet-glt.py{variant}"
    RECIPES[combined(own, "one")] = [CENTERS_GLT]
    RECIPES[combined(own, "irm")] = [IRM_GLT]
    three = {"EnvironmentHook": {"milestones": {60, 80}, "ratios": (2.0, 4.0)}}
    RECIPES[combined(own, "three")] = [also(IFL_GLT, batch=86, constants={"num_environments": 3}, hooks=three)]
IFL_PARTS = {
    "batch": 128,
    "constants": {key: value for key, value in IFL_GLT.constants.items() if not key.startswith("head.")},
    "hooks": IFL_GLT.hooks,
    "sampler": IFL_GLT.sampler,
}
IFL_RIDE = also(
    also(RIDE_GLT, weight_decay=5e-4, **IFL_PARTS),
    constants={"aux_losses.center.distance": "cosine", "head.experts.0.scale": 30},
)
for variant in ("", ":alt"):
    own = f"ifl/ifl-ride_x50_imagenet-glt.py{variant}"
    strong_views = (("crop 112 from 0.08-1", "flip 0.5", RANDAUGMENT_GLT),)
    untilted = {**PLAIN_EXPERTS, "head.loss_module.class_weight": None, "head.loss_module.reweight_from": 0}
    RECIPES[own] = [IFL_RIDE]
    RECIPES[combined(own, "ce")] = [also(IFL_RIDE, constants=untilted)]
    RECIPES[combined(own, "mixup")] = [replace(IFL_RIDE, mixup=1.0)]
    RECIPES[combined(own, "randaug")] = [replace(IFL_RIDE, views=strong_views)]
    RECIPES[f"ifl/ifl-ride_x50_mscoco-glt.py{variant}"] = [
        replace(IFL_RIDE, views=(("crop 112 from 0.5-1", "flip 0.5"),))
    ]
    for data in ("imagenet", "mscoco"):
        [recipe] = RECIPES[f"tade/tade_x50_{data}-glt.py{variant}"]
        RECIPES[f"ifl/ifl-tade_x50_{data}-glt.py{variant}"] = [also(recipe, **IFL_PARTS)]

# MetaSAug's released code with LDAM; its classes count epochs from 1, so that the rate falls as the 160th begins.
METASAUG_CIFAR = Recipe(
    1,
    100,
    200,
    {0: 0.1, 158: 0.1, 159: 1e-3, 178: 1e-3, 179: 1e-5},
    5e-4,
    CIFAR,
    constants={
        "head.loss_module.switch_from": 160,
        "head.loss_module.gamma": 0.1,
        "head.loss_module.lambda_0": 0.75,
        "head.loss_module.class_weight": "effective_number",
        "head.loss_module.weight_beta": 0.9999,
        "head.loss_module.normalize_by": "weights",
    },
    sampler={"type": "PartSampler", "part": 0, "sampler.shuffle": True},
    nesterov=True,
)
METASAUG_LARGE = Recipe(
    4,
    64,
    20,
    {0: 3e-4, 19: 3e-4},
    5e-4,
    KANG,
    constants={
        "norm_eval": True,
        "reuse_head": True,
        "head.loss_module.lambda_0": 0.25,
        "head.loss_module.gamma": 0.1,
        "head.loss_module.switch_from": 0,
        "head.loss_module.class_weight": "effective_number",
    },
    sampler={"type": "PartSampler", "part": 0, "sampler.shuffle": True},
    nesterov=True,
)
INAT_200 = replace(CE_LARGE, epochs=200, lr={0: 0.2, 100: 0.1}, weight_decay=1e-4, views=(CROP,))
# BALMS' released code; its epochs are steps of 512 images of imbalance factor 200.
BALMS = Recipe(
    1,
    512,
    112,
    {0: 0.1, 56: 0.05},
    5e-4,
    (AUTOAUGMENT,),
    constants={"norm_eval": False, "reuse_head": False, "head.sampling.lr": 0.01, "head.sampling.init_power": 0},
    sampler={"type": "MetaSampler"},
)
BALMS_CIFAR = {
    100: [Recipe(1, 512, 685, {0: 0.05, 43: 0.1, 364: 0.05}, 5e-4, (AUTOAUGMENT,)), BALMS],
    10: [
        Recipe(1, 512, 591, {0: 0.05, 37: 0.1, 314: 0.05}, 5e-4, (AUTOAUGMENT,)),
        replace(BALMS, epochs=96, lr={0: 0.1, 48: 0.05}),
    ],
}
BALMS_LARGE = also(
    BALMS,
    processes=8,
    batch=64,
    epochs=20,
    lr={0: 0.5, 10: 0.25},
    views=KANG,
    constants={"head.sampling.lr": 1e-3, "head.sampling.init_power": 0.1, "head.num_parts": 3},
    sampler={"type": "PartSampler", "part": 0},
)
RECIPES |= {
    **{
        f"metasaug/metasaug_r32_cifar{n}-lt.py{variant}": [METASAUG_CIFAR]
        for n in (10, 100)
        for variant in FACTORS.values()
    },
    "metasaug/metasaug_r50_imagenet-lt.py": [CE_LARGE, METASAUG_LARGE],
    "metasaug/metasaug_r50_inat.py:200e": [INAT_200, replace(METASAUG_LARGE, views=(CROP,))],
    **{f"balms/balms_r32_cifar{n}-lt.py:lt200": BALMS_CIFAR[n] for n in (10, 100)},
    "balms/balms_r10_imagenet-lt.py": [CE_LARGE, BALMS_LARGE],
}

# Places-LT: first stage of Kang et al. from ImageNet weights, whose features learn at 0.01. OLTR quotes range loss and
# FSLwF without a recipe: episodes and optimiser of the second stage as in Gidaris' code.
PLACES = Recipe(
    4,
    64,
    90,
    {0: 0.1, 45: 0.05},
    5e-4,
    KANG,
    constants={"head.num_classes": 365, "backbone.depth": 152},
    groups=dict.fromkeys(("backbone.conv1.weight", "backbone.layer4.2.conv3.weight"), (0.1, 5e-4)),
)
RECIPES |= {
    "balms/balms_r152_places-lt.py": [
        PLACES,
        also(
            BALMS_LARGE,
            processes=4,
            epochs=10,
            lr={0: 0.02, 5: 0.01},
            constants={"head.sampling.init_power": 0.3},
        ),
    ],
    "range_loss/range-loss_r152_places-lt.py": [also(PLACES, constants={"aux_losses.range.k": 2}, sampler=CLASS_AWARE)],
    "fslwf/fslwf_r152_places-lt.py": [
        also(PLACES, constants={"head.scale": 10, "head.fc.scale.requires_grad": True}),
        Recipe(
            4,
            55,
            10,
            {0: 0.1, 5: 0.05},
            5e-4,
            KANG,
            constants={"norm_eval": True, "reuse_head": True, "head.scale": 10, "head.fc.scale.requires_grad": True},
            hooks={"FewShotWeightHook": {}},
            sampler={
                "type": "EpisodicSampler",
                "num_novel": 5,
                "num_exemplars": 5,
                "novel_queries": 3,
                "base_queries": 15,
            },
            nesterov=True,
        ),
    ],
}

# BCL: released code on large sets, whose cosine falls by the epoch, (e + 1) / (E + 1), in place of the step. On CIFAR
# the port of CUDA and the paper, with the views of ProCo's code.
BCL = Recipe(
    1,
    256,
    200,
    {0: 0.03, 4: 0.15, 159: 0.15, 160: 0.015, 179: 0.015, 180: 0.0015},
    5e-4,
    (
        ("crop 32 pad 4", "flip 0.5", "autoaugment of 25 turned left", "cutout 16"),
        *2 * (("crop 32 from 0.08-1", *SIMCLR[1:]),),
    ),
    constants={
        "num_views": 3,
        "separate_passes": False,
        "queue.size": 0,
        "projector.fc0.out_features": 512,
        "projector.fc1.out_features": 128,
        "head.prototype_projector.fc0.out_features": 512,
        "head.prototype_projector.fc1.out_features": 128,
        "head.loss_module.tau": 1,
        "head.loss_module.loss_weight": 2,
        "head.contrast_weight": 0.6,
        "head.contrast_loss_module.temperature": 0.1,
    },
    deviations={
        "head.fc.weight": TORCH,
        "head.fc.bias": TORCH,
        "head.prototype_projector.fc0.weight": TORCH,
        "projector.fc0.weight": TORCH,
    },
)
BCL_SIM = (*CROP, SIMCLR[2], "gray 0.2")
BCL_RAND = (*BCL_SIM, RANDCLS[-1])
BCL_LARGE = also(
    BCL,
    processes=4,
    batch=64,
    epochs=90,
    lr={0: 0.1, 45: 0.05},
    views=(RANDCLS, BCL_SIM, BCL_SIM),
    constants={
        "projector.fc0.out_features": 2048,
        "projector.fc1.out_features": 1024,
        "head.prototype_projector.fc0.out_features": 2048,
        "head.prototype_projector.fc1.out_features": 1024,
        "head.scale": 30,
        "head.loss_module.loss_weight": 1,
        "head.contrast_weight": 0.35,
        "head.contrast_loss_module.temperature": 0.07,
    },
)
BCL_LARGE = replace(
    BCL_LARGE,
    deviations={
        "head.fc.weight": 1 / 2048**0.5,
        "head.prototype_projector.fc0.weight": 1 / 2048**0.5 / 3**0.5,
        "projector.fc0.weight": 1 / 2048**0.5 / 3**0.5,
    },
)
RECIPES |= {
    **{f"bcl/bcl_r32_cifar{n}-lt.py{factor}": [BCL] for n in (10, 100) for factor in FACTORS.values()},
    "bcl/bcl_r32_cifar100-lt.py:proco": [
        replace(BCL, lr={0: 0.06, 4: 0.3, 159: 0.3, 160: 0.03, 179: 0.03, 180: 0.003}, weight_decay=2e-4)
    ],
    "bcl/bcl_r50_imagenet-lt.py": [BCL_LARGE],
    "bcl/bcl_x50_imagenet-lt.py": [also(BCL_LARGE, constants={"backbone.groups": 32})],
    "bcl/bcl_x50_imagenet-lt.py:sim-rand": [replace(BCL_LARGE, views=(RANDCLS, BCL_RAND, BCL_SIM))],
    "bcl/bcl_x50_imagenet-lt.py:rand-rand": [replace(BCL_LARGE, views=(RANDCLS, BCL_RAND, BCL_RAND))],
    "bcl/bcl_r50_inat.py": [
        also(BCL_LARGE, epochs=100, lr={0: 0.2, 50: 0.1}, weight_decay=1e-4, constants={"head.num_classes": 8142})
    ],
}
