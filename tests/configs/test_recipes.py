"""Every config that quotes a published number builds what the paper or the released code trains with."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpretrain.registry import DATA_SAMPLERS, HOOKS, MODELS, TRANSFORMS
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.configs.catalogue import ROOT, models_of, stages_of
from tests.configs.recipes import RECIPES, Recipe

STEPS = 4
"""Steps an epoch: schedules by the step are the same curve at any number."""
STAGES = [(name, number) for name, stages in RECIPES.items() for number in range(len(stages))]


def published() -> Iterator[str]:
    """Configs of classifiers with a published number; detectors have tests/detection/test_configs.py."""
    for metafile in (ROOT / "configs").rglob("metafile.yml"):
        for model in models_of(metafile):
            if any("Published" in result for result in model["Results"]) and metafile.parent.name != "detection":
                yield model["Config"].removeprefix("configs/")


def test_every_published_config_has_a_recipe() -> None:
    missing = set(published()) - set(RECIPES)
    assert not missing, "state what they train with in tests/configs/recipes.py"
    assert all((ROOT / "configs" / name.partition(":")[0]).is_file() for name in RECIPES)


def case(name: str, number: int) -> tuple[Config, Recipe]:
    init_default_scope("mmpretrain")
    return stages_of(name)[number], RECIPES[name][number]


@functools.cache
def skeleton(model: str) -> nn.Module:
    """A model without its weights, which takes neither time nor memory whatever its size."""
    with pytest.MonkeyPatch.context() as patch:
        for layer in (nn.Linear, nn.modules.conv._ConvNd):
            patch.setattr(layer, "reset_parameters", lambda _: None)
        return MODELS.build(json.loads(model)).to("meta")


@functools.cache
def initialised(part: str) -> nn.Module:
    """A backbone, projector or head as training starts with it."""
    torch.manual_seed(0)
    module = MODELS.build(json.loads(part))
    module.init_weights() if hasattr(module, "init_weights") else None
    return module


def as_key(node: Any) -> str:
    return json.dumps(node, sort_keys=True)


def model_of(cfg: Config) -> nn.Module:
    return skeleton(as_key(Config(dict(model=cfg.model)).to_dict()["model"]))


@functools.cache
def learning_rates(optim_wrapper: str, param_scheduler: str, epochs: int, work_dir: str) -> list[float]:
    """Learning rate of the first step of each epoch, by the runner's own optimiser and schedulers."""
    model = nn.Linear(1, 1)
    runner = Runner(
        model=model,
        work_dir=work_dir,
        experiment_name=f"rates_{abs(hash((optim_wrapper, param_scheduler, epochs)))}",
        train_dataloader=DataLoader(TensorDataset(torch.zeros(STEPS))),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=json.loads(optim_wrapper),
        param_scheduler=json.loads(param_scheduler),
        log_level="ERROR",
    )
    wrapper = runner.build_optim_wrapper(json.loads(optim_wrapper))
    runner.optim_wrapper = wrapper
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    schedulers = runner.build_param_scheduler(json.loads(param_scheduler))
    rates = []
    for _ in range(epochs):
        rates.append(wrapper.get_lr()["lr"][0])
        for _ in range(STEPS):
            wrapper.step()
            for scheduler in schedulers:
                if not scheduler.by_epoch:
                    scheduler.step()
        for scheduler in schedulers:
            if scheduler.by_epoch:
                scheduler.step()
    return rates


@pytest.fixture(scope="module")
def work_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One for all, so that equal schedules are stepped once."""
    return str(tmp_path_factory.mktemp("rates"))


@pytest.mark.parametrize(("name", "number"), STAGES)
def test_steps_and_learning_rates(name: str, number: int, work_dir: str) -> None:
    cfg, recipe = case(name, number)
    assert (cfg.num_processes, cfg.train_dataloader.batch_size) == (recipe.processes, recipe.batch)
    accumulated = cfg.optim_wrapper.get("accumulative_counts", 1)
    assert accumulated == recipe.accumulated
    assert cfg.auto_scale_lr.base_batch_size == recipe.processes * recipe.batch * accumulated
    assert cfg.train_cfg.max_epochs == recipe.epochs
    # Rates of groups have a test of their own, and those of LARS are the schedule's.
    plain = {"optimizer": {**cfg.optim_wrapper.to_dict()["optimizer"], "type": "SGD"}}
    schedulers = as_key([dict(scheduler) for scheduler in cfg.param_scheduler])
    rates = learning_rates(as_key(plain), schedulers, recipe.epochs, work_dir)
    assert {epoch: rates[epoch] for epoch in recipe.lr} == pytest.approx(recipe.lr, rel=1e-6)


@pytest.mark.parametrize(("name", "number"), STAGES)
def test_optimiser(name: str, number: int) -> None:
    """Its momentum; every parameter that is trained has the base's rate and the recipe's decay, or its own."""
    cfg, recipe = case(name, number)
    model = model_of(cfg)
    optimiser = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    assert type(optimiser).__name__ == recipe.optimiser
    around = {
        key: value for key, value in cfg.optim_wrapper.to_dict().items() if key not in ("optimizer", "paramwise_cfg")
    }
    if recipe.sharpness:
        assert around == recipe.sharpness
    else:
        late = [phase["rho"] for phase in around.get("phases") or () if phase["start"] == 320]
        assert ((around["rho"], *late) if around.get("type") == "SAMOptimWrapper" else ()) == recipe.radii
    of = {id(parameter): group for group in optimiser.param_groups for parameter in group["params"]}
    parameters = dict(model.named_parameters())
    assert set(recipe.groups) <= set(parameters)
    base = cfg.optim_wrapper.optimizer.lr
    for key, parameter in parameters.items():
        if not parameter.requires_grad:
            continue
        group = of[id(parameter)]
        assert (group["momentum"], group["nesterov"], group["dampening"]) == (recipe.momentum, recipe.nesterov, 0)
        if recipe.optimiser == "DeviceLARS":
            in_group = recipe.groups.get(key) == (1, 0)
            assert bool(group.get("lars_exclude")) == in_group or (recipe.groups and key.startswith("backbone"))
        if key in recipe.groups:
            assert (group["lr"] / base, group["weight_decay"]) == pytest.approx(recipe.groups[key])
        elif not recipe.groups or not key.startswith("backbone"):  # the frozen ones are not all listed
            assert (group["lr"], group["weight_decay"]) == pytest.approx(
                (base * recipe.groups.get("head.fc.weight", (1,))[0] if key == "head.fc.bias" else base,
                 recipe.weight_decay)
            ), key  # fmt: skip


@pytest.mark.parametrize(("name", "number"), STAGES)
def test_augmentations(name: str, number: int) -> None:
    cfg, recipe = case(name, number)
    dataset = cfg.train_dataloader.dataset
    dataset = dataset.datasets[0] if dataset.type == "ConcatDataset" else dataset  # beside a meta set
    pipeline = (dataset.get("dataset") or dataset).pipeline
    assert describe_views(as_key([dict(step) for step in pipeline])) == recipe.views
    augments = (cfg.model.get("train_cfg") or {}).get("augments")
    mixup = {} if recipe.mixup is None else {"type": "Mixup", "alpha": recipe.mixup}
    assert dict(augments or {}) == (recipe.mixing or mixup)
    batches = cfg.train_dataloader.get("batch_sampler")
    assert recipe.companions is None or batches.companions == list(recipe.companions)
    sampler = cfg.train_dataloader.sampler
    assert sampler.type == recipe.sampler["type"]
    if sampler.type != "DefaultSampler":
        labels = [0] * 65 + [label for label in range(1, 6) for _ in range(20)]  # three of the episodes of FSLwF
        built = DATA_SAMPLERS.build({**sampler, "dataset": _Labels(labels), "seed": 0})
        paths = [path for path in recipe.sampler if path != "type"]
        attributes = {path: functools.reduce(getattr, path.split("."), built) for path in paths}
        assert {"type": sampler.type, **attributes} == recipe.sampler
        assert len(built) == len(labels), "an epoch of as many images as the dataset has"


@pytest.mark.parametrize(("name", "number"), STAGES)
def test_constants_and_hooks(name: str, number: int) -> None:
    cfg, recipe = case(name, number)
    model = model_of(cfg)
    for path, value in recipe.constants.items():
        found: Any = functools.reduce(getattr, path.removesuffix(".count").split("."), model)
        if path.endswith(".count"):
            found = len(found)
        assert found == (pytest.approx(value) if isinstance(value, float) else value), path
    hooks = {hook["type"]: HOOKS.build(dict(hook)) for hook in cfg.custom_hooks}
    method = {
        *("CentroidHook", "EnvironmentHook", "FewShotWeightHook", "LFMEHook", "MaxNormHook", "ReclusterHook"),
        "TemperatureHook",
    }
    assert method & set(hooks) == {key for key, value in recipe.hooks.items() if value is not None}
    for key, attributes in recipe.hooks.items():
        for attribute, value in (attributes or {}).items():
            found = functools.reduce(getattr, attribute.split("."), hooks[key])
            assert found == value, (key, attribute)


@pytest.mark.parametrize(("name", "number"), STAGES)
def test_initial_weights(name: str, number: int) -> None:
    """Stages that start from other weights keep none of the backbone's, so that the first stage is looked at."""
    cfg, recipe = case(name, number)
    model = Config(dict(model=cfg.model)).to_dict()["model"]
    for key, deviation in recipe.deviations.items():
        part, _, parameter = key.partition(".")
        values = initialised(as_key(model[part])).get_parameter(parameter).detach()
        # Three deviations of the estimate, which is coarse for the ten biases of CIFAR-10.
        assert float(values.std()) == pytest.approx(deviation, rel=3 / (2 * values.numel()) ** 0.5, abs=1e-5), key
    for key, mean in recipe.means.items():
        part, _, parameter = key.partition(".")
        values = initialised(as_key(model[part])).get_parameter(parameter)
        assert values.mean().item() == pytest.approx(mean, rel=1e-5), key
    backbone = model["backbone"]
    if backbone["type"] == "CIFARResNet":
        built = initialised(as_key(backbone))
        first = built.get_parameter("conv1.weight").detach()
        assert float(first.std()) == pytest.approx((2 / 27) ** 0.5, rel=0.15), "Kaiming-normal by fan-in"
    elif number == 0 and not (backbone.get("init_cfg") or {}).get("checkpoint"):
        built = initialised(as_key(backbone))
        last = "bn2.weight" if backbone["depth"] < 50 else "bn3.weight"
        scales = [value.detach() for key, value in built.named_parameters() if key.endswith(last)]
        assert scales
        assert all(bool((value == recipe.residual_scale).all()) for value in scales)


@pytest.mark.parametrize("method", ["scl", "kcl", "sbcl", "tsc"])
def test_an_epoch_of_class_balanced_sampling_on_cifar_is_that_of_the_released_code(method: str) -> None:
    """50,000 images, 391 steps of 128."""
    init_default_scope("mmpretrain")
    cfg = stages_of(f"{method}/{method}_r32_cifar100-lt.py:crt")[-1]
    counts = [int(500 * 0.01 ** (label / 99)) for label in range(100)]
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    sampler = DATA_SAMPLERS.build({**cfg.train_dataloader.sampler, "dataset": _Labels(labels), "seed": 0})
    assert len(labels) == 10_847
    assert len(sampler) == 50_000
    assert sampler.samples_per_class == 4


class _Labels:
    """A dataset of labels alone."""

    def __init__(self, labels: list[int]) -> None:
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def get_gt_labels(self) -> list[int]:
        return self.labels


@functools.cache
def describe_views(pipeline: str) -> tuple[tuple[str, ...], ...]:
    """The built transforms between loading and packing, of each view in their order."""
    load, *steps, pack = json.loads(pipeline)
    assert (load["type"], pack["type"]) == ("LoadImage", "PackInputs")
    if steps[0]["type"] != "MultiView":
        return (tuple(_describe(TRANSFORMS.build(step)) for step in steps),)
    (views,) = [TRANSFORMS.build(step) for step in steps]
    return tuple(tuple(map(_describe, view.transforms)) for view in views.transforms)


def _describe(transform: Any) -> str:
    """A transform with the values that make it, read from the built object."""
    one = transform
    match type(transform).__name__:
        case "RandomCrop":
            assert (one.padding_mode, one.pad_val) == ("constant", 0)
            return f"crop {_square(one.crop_size)} pad {one.padding}"
        case "RandomResizedCrop":
            low, high = one.crop_ratio_range
            assert one.aspect_ratio_range == (3 / 4, 4 / 3)
            return f"crop {_square(one.scale)} from {low:g}-{high:g}"
        case "RandomFlip":
            assert one.direction == "horizontal"
            return f"flip {one.prob:g}"
        case "ColorJitter":
            ranges = (one.brightness, one.contrast, one.saturation)
            assert all(low + high == pytest.approx(2) for low, high in ranges)
            return f"jitter {' '.join(f'{high - 1:g}' for _, high in ranges)} {(one.hue or (0, 0))[1]:g}"
        case "RandomApply":
            return f"{one.prob:g} of ({', '.join(map(_describe, one.transforms.transforms))})"
        case "RandomGrayscale":
            return f"gray {one.prob:g}"
        case "GaussianBlur":
            assert one.magnitude_std == "inf", "uniform"
            return f"blur {one.magnitude_range[0]:g}-{one.magnitude_range[1]:g} {one.prob:g}"
        case "Solarize":
            return f"solarize {one.thr} {one.prob:g}"
        case "Rotate":
            assert (one.magnitude_std, one.prob, one.random_negative_prob) == ("inf", 1, 0.5), "uniform to both sides"
            assert (one.magnitude_range[0], one.pad_val) == (0, 0)
            return f"rotate {one.magnitude_range[1]:g} {one.interpolation}"
        case "AutoAugment":
            turns = [step for policy in one.transforms for step in policy.transforms if type(step).__name__ == "Rotate"]
            assert [step.pad_val for step in turns] == [(128, 128, 128)], "gray"
            turned_left = turns[0].angle < 0 and not turns[0].random_negative_prob
            return f"autoaugment of {len(one.policies)}{' turned left' if turned_left else ''}"
        case "RandomChoice":
            assert one.prob is None, "all alike"
            return " | ".join(f"({', '.join(map(_describe, steps.transforms))})" for steps in one.transforms)
        case "ClippedCutout":
            assert (one.pad_val, one.prob) == (0, 1)
            return f"cutout {one.size}"
        case "RandAugment":
            turns = [step for step in one.transforms if type(step).__name__ == "Rotate"]
            assert all(len(step.pad_val) == 3 for step in turns), "a number would fill one channel"
            return (
                f"randaugment n{one.num_policies} m{one.magnitude_level} std{one.magnitude_std} of {len(one.policies)}"
            )
        case other:
            raise AssertionError(f"{other} is in no recipe")


def _square(size: tuple[int, int]) -> int:
    assert size[0] == size[1]
    return size[0]
