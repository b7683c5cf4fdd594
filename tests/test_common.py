"""The common battery: what must hold for every class that the package registers. Its table is in battery.py."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
import pkgutil
import re
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import mmpretrain.registry
import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmpretrain.structures import DataSample
from torch import Tensor, nn

import lt_plugins
from lt_plugins.datasets.labels import get_class_counts, get_labels
from lt_plugins.models.memory_format import convert_convolutions
from lt_plugins.models.structures import LabelBatch
from tests import battery

for _info in pkgutil.walk_packages(lt_plugins.__path__, "lt_plugins."):
    if not _info.name.endswith("__main__"):
        importlib.import_module(_info.name)

FULL = torch.tensor([0, 1, 2, 3, 0, 1])
ALL = [(registry, name) for registry in battery.registry_names() for name in sorted(battery.registered(registry))]


def _names(registry: str) -> list[str]:
    """Registered names that have an entry; ``test_has_an_entry`` fails for the others."""
    return sorted(set(battery.registered(registry)) & set(battery.TABLES[registry]))


def _module(name: str, seed: int = 0) -> nn.Module:
    entry = battery.MODULES[name]
    torch.manual_seed(seed)
    module = mmpretrain.registry.MODELS.build({"type": name, **copy.deepcopy({**entry.required, **entry.small})})
    if hasattr(module, "init_weights"):
        module.init_weights()
    entry.prepare(module)
    return module.train()


def _step(name: str, module: nn.Module, labels: Tensor) -> battery.Fed:
    torch.manual_seed(1)  # a loss may draw
    return battery.MODULES[name].step(module, labels)


def _check_gradients(module: nn.Module, fed: battery.Fed) -> None:
    """Backward, and every parameter and leaf has a finite gradient."""
    assert fed.loss.ndim == 0
    assert torch.isfinite(fed.loss), fed.loss
    if fed.loss.requires_grad:
        fed.loss.backward()
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, f"{name} gets no gradient"
            assert torch.isfinite(parameter.grad).all(), f"the gradient of {name} is not finite"
    for leaf in fed.leaves:
        assert leaf.grad is not None
        assert torch.isfinite(leaf.grad).all()


def _other(name: str, folder: Path, kind: str) -> Any:
    """Build anything but a module."""
    entry = battery.TABLES[kind][name]
    args = {**entry.required(folder), **entry.small(folder)}
    return getattr(mmpretrain.registry, kind).build({"type": name, **copy.deepcopy(args)})


@pytest.mark.parametrize(("registry", "name"), ALL)
def test_has_an_entry(registry: str, name: str) -> None:
    assert registry in battery.TABLES, f"tests/battery.py has no table for {registry}; add one with an entry for {name}"
    assert name in battery.TABLES[registry], (
        f"{name} is registered in {registry} but the common battery does not know it: "
        f"add an entry to the table of {registry} in tests/battery.py (its required arguments and how to feed it)"
    )


@pytest.mark.parametrize("registry", sorted(battery.TABLES))
def test_no_entry_is_left_over(registry: str) -> None:
    assert set(battery.TABLES[registry]) <= set(battery.registered(registry)), "remove the entries of removed classes"


@pytest.mark.parametrize(("registry", "name"), ALL)
def test_entry_gives_exactly_the_required_arguments(registry: str, name: str, tmp_path: Path) -> None:
    cls = battery.registered(registry)[name]
    if not inspect.isclass(cls):
        return
    required = battery.TABLES[registry][name].required
    given = required(tmp_path) if callable(required) else required
    parameters = inspect.signature(cls).parameters.values()
    needed = {p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD}
    assert set(given) == needed, "all other arguments must have defaults that work"


# ---------------------------------------------------------------------------------------------------------- modules


@pytest.mark.parametrize("name", _names("MODELS"))
def test_default_build(name: str) -> None:
    entry = battery.MODULES[name]
    mmpretrain.registry.MODELS.build({"type": name, **copy.deepcopy(entry.required)})


@pytest.mark.parametrize("name", _names("MODELS"))
def test_takes_the_labels_of_a_batch_as_a_whole(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same loss as of a list of samples, and no sample is built on the way."""
    expected = _step(name, _module(name), FULL).loss
    samples = battery.samples
    monkeypatch.setattr(battery, "samples", lambda labels: LabelBatch.from_samples(samples(labels)))
    monkeypatch.setattr(LabelBatch, "_build", lambda *_: pytest.fail("a sample was built"))
    assert torch.equal(_step(name, _module(name), FULL).loss, expected)


@pytest.mark.parametrize("name", _names("MODELS"))
def test_finite_gradient_for_each_parameter(name: str) -> None:
    module = _module(name)
    _check_gradients(module, _step(name, module, FULL))


@pytest.mark.parametrize("labels", [[2], [0, 0, 0], [3, 3, 0, 0]], ids=["batch of one", "one class", "absent classes"])
@pytest.mark.parametrize("name", _names("MODELS"))
def test_poor_batches(name: str, labels: list[int]) -> None:
    module = _module(name)
    _check_gradients(module, _step(name, module, torch.tensor(labels)))


@pytest.mark.parametrize("name", _names("MODELS"))
def test_state_dict_round_trip(name: str) -> None:
    module, other = _module(name, seed=1), _module(name, seed=2)
    assert all(torch.is_tensor(value) for value in module.state_dict().values()), (
        "state must be tensors, so that weights_only=True loads it"
    )
    other.load_state_dict(module.state_dict(), strict=True)
    for key, value in other.state_dict().items():
        assert torch.equal(value, module.state_dict()[key]), key
    assert torch.equal(_step(name, other, FULL).loss, _step(name, module, FULL).loss)


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("name", _names("MODELS"))
def test_copies_work_alone(name: str, clone: Callable[[nn.Module], nn.Module]) -> None:
    module = _module(name)
    twin = clone(module)
    assert torch.equal(_step(name, twin, FULL).loss, _step(name, module, FULL).loss)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    with torch.no_grad():
        for value in (*twin.parameters(), *twin.buffers()):
            value.zero_()
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items()), "they share tensors"


@pytest.mark.parametrize("name", _names("MODELS"))
def test_bf16_autocast(name: str) -> None:
    module = _module(name)
    types = {key: value.dtype for key, value in module.state_dict().items()}
    with torch.autocast("cpu", torch.bfloat16):
        fed = _step(name, module, FULL)
    assert fed.loss.dtype == torch.float32, "losses are summed in float32"
    _check_gradients(module, fed)
    exact = _step(name, _module(name), FULL).loss
    assert torch.allclose(fed.loss, exact, rtol=0.1, atol=0.05), (fed.loss, exact)
    assert {key: value.dtype for key, value in module.state_dict().items()} == types, "queues and buffers stay exact"
    assert not {torch.bfloat16, torch.float16} & {*types.values()}


@pytest.fixture
def _float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("_float64")
@pytest.mark.parametrize("name", _names("MODELS"))
def test_channels_last(name: str) -> None:
    """The other order in memory changes losses and gradients by rounding only, and nothing of the state."""
    plain, module = _module(name), _module(name)
    convert_convolutions(module, torch.channels_last)
    losses = []
    for one in (plain, module):
        fed = _step(name, one, FULL)
        if fed.loss.requires_grad:
            fed.loss.backward()
        losses.append(fed.loss.detach())
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-6, atol=1e-9)
    for (key, parameter), other in zip(plain.named_parameters(), module.parameters(), strict=True):
        if parameter.grad is not None:
            scale = float(parameter.grad.abs().max())
            torch.testing.assert_close(other.grad, parameter.grad, rtol=1e-6, atol=1e-6 * scale + 1e-12, msg=key)
    for (key, value), (name_of_other, other) in zip(
        plain.state_dict().items(), module.state_dict().items(), strict=True
    ):
        assert key == name_of_other
        torch.testing.assert_close(other, value, rtol=1e-6, atol=1e-9)


# ------------------------------------------------------------------------------- datasets, transforms, metrics, hooks


@pytest.mark.parametrize("name", _names("DATASETS"))
def test_dataset(name: str, tmp_path: Path) -> None:
    _check_dataset(_other(name, tmp_path, "DATASETS"))


def test_dataset_of_a_list(tmp_path: Path) -> None:
    """The other source of ``ImageListDataset``, whose entry reads class folders."""
    folder = battery.image_folder(tmp_path)
    args = {"ann_file": str(folder / "list.txt"), "num_classes": 3, "data_prefix": str(folder / "images")}
    _check_dataset(mmpretrain.registry.DATASETS.build({"type": "ImageListDataset", **args}))


def _check_dataset(dataset: Any) -> None:
    dataset.full_init()
    assert isinstance(dataset.metainfo, dict)
    labels = get_labels(dataset)
    assert labels.dtype == np.int64
    assert labels.shape == (len(dataset),)
    counts = get_class_counts(dataset, int(labels.max()) + 2)  # with a class that is absent
    assert counts.tolist() == np.bincount(labels, minlength=int(labels.max()) + 2).tolist()
    for index in (0, len(dataset) - 1):
        assert dataset[index]["gt_label"] == labels[index]
        assert dataset[index]["sample_idx"] == index
    for twin in (copy.deepcopy(dataset), pickle.loads(pickle.dumps(dataset))):  # workers get a pickled one
        assert get_labels(twin).tolist() == labels.tolist()
        assert twin[len(twin) - 1]["sample_idx"] == len(dataset) - 1


@pytest.mark.parametrize("name", _names("DATA_SAMPLERS"))
def test_sampler(name: str, tmp_path: Path) -> None:
    """The order follows from seed and epoch, whatever drew random numbers before."""
    sampler = _other(name, tmp_path, "DATA_SAMPLERS")
    orders = []
    for epoch in (0, 5, 5):
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
        assert len(orders[-1]) == len(sampler)
        images = orders[-1] if isinstance(orders[-1][0], int) else chain(*orders[-1])  # a batch sampler's lists
        assert set(images) <= set(range(len(sampler.dataset)))
        torch.rand(3)
        np.random.rand(3)  # noqa: NPY002
    assert orders[0] != orders[1] == orders[2]
    other = pickle.loads(pickle.dumps(sampler))
    assert list(other) == orders[1]
    other.seed += 1  # what EpochSeedHook does on resuming
    assert list(other) != orders[1]


@pytest.mark.parametrize("name", _names("TRANSFORMS"))
def test_transform(name: str, tmp_path: Path) -> None:
    transform = _other(name, tmp_path, "TRANSFORMS")
    image = np.arange(8 * 6 * 3, dtype=np.uint8).reshape(8, 6, 3)
    for twin in (transform, copy.deepcopy(transform), pickle.loads(pickle.dumps(transform))):
        given = image.copy()
        results = twin({"img": given, "img_shape": (8, 6), "gt_label": 1, "sample_idx": 5})
        assert results["img"].dtype == np.uint8
        assert results["img"].ndim == 3
        assert results["sample_idx"] == 5
        assert np.array_equal(given, image), "a transform must not write into the dataset's image"


@pytest.mark.parametrize("name", _names("BATCH_AUGMENTS"))
def test_batch_augment(name: str, tmp_path: Path) -> None:
    """Images of at most two classes come out, in copies the same by the same seed; nothing is overwritten."""
    augment = _other(name, tmp_path, "BATCH_AUGMENTS")
    battery.set_counts(augment)
    images, scores = battery.noise(6, 3, 8, 10), torch.nn.functional.one_hot(FULL, battery.NUM_CLASSES)
    given, results = images.clone(), []
    for twin in (augment, copy.deepcopy(augment), pickle.loads(pickle.dumps(augment))):
        twin.set_seed(1)
        torch.manual_seed(1)
        mixed, shares = twin(images, scores)
        assert len(mixed) == len(shares) == 6 // getattr(augment, "num_parts", 1)
        assert not torch.equal(mixed, images[: len(mixed)])
        assert shares.dtype == torch.float32
        torch.testing.assert_close(shares.sum(dim=1), torch.ones(len(shares)))
        assert (shares >= 0).all()
        assert int((shares > 0).sum(dim=1).max()) <= 2
        assert torch.equal(images, given)
        results.append((mixed, shares))
    for mixed, shares in results[1:]:
        assert torch.equal(mixed, results[0][0])
        assert torch.equal(shares, results[0][1])


@pytest.mark.parametrize("labels", [[2], [0, 0, 0], [0, 1, 2, 3, 3]], ids=["one sample", "one class", "all classes"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", _names("METRICS"))
def test_metric(name: str, dtype: torch.dtype, labels: list[int], tmp_path: Path) -> None:
    metric = _other(name, tmp_path, "METRICS")
    of_images = np.arange(len(labels)) % 2
    glt: dict[str, Any] = {"subset": of_images, "attribute": of_images, "class_group": np.array([0, 0, 1, 2])}
    names = tuple(f"test-{part}" for part in ("cbl", "gbl")[: 1 + of_images.max()])
    glt |= {"subset_names": names, "attribute_names": ("day", "night")}
    metric.dataset_meta = {"classes": tuple("abcd"), "glt": glt}
    if hasattr(metric, "set_class_counts"):
        metric.set_class_counts(torch.tensor([150, 30, 5, 0]))
    scores = battery.noise(len(labels), 4).softmax(1).to(dtype)
    predictions = [
        DataSample(metainfo={"sample_idx": i}).set_gt_label(label).set_pred_score(score).to_dict()
        | {"num_experts": 1 + i % 2}
        for i, (label, score) in enumerate(zip(labels, scores, strict=True))
    ]
    values = []
    for twin in (metric, copy.deepcopy(metric), pickle.loads(pickle.dumps(metric))):
        twin.process({}, predictions)
        values.append(twin.evaluate(len(labels)))
    assert values[0], "a metric gives numbers"
    for key, value in values[0].items():
        assert isinstance(value, float), f"{key} must be a scalar, to drive save_best and to appear in the log"
        assert not np.isinf(value), key
    for other in values[1:]:
        np.testing.assert_equal(other, values[0])  # NaN equals NaN here


@pytest.mark.parametrize("name", _names("HOOKS"))
def test_hook(name: str, tmp_path: Path) -> None:
    hook = _other(name, tmp_path, "HOOKS")
    assert isinstance(hook, Hook)
    for twin in (copy.deepcopy(hook), pickle.loads(pickle.dumps(hook))):
        assert type(twin) is type(hook)
        assert set(vars(twin)) == set(vars(hook))


# ------------------------------------------------------------------------------------------------------- docstrings


def _public() -> dict[str, Any]:
    """Registered classes and everything that the package's ``__all__`` name, by qualified name."""
    found = {value for registry, name in ALL for value in [battery.registered(registry)[name]]}
    for module_info in pkgutil.walk_packages(lt_plugins.__path__, "lt_plugins."):
        if module_info.name.endswith("__main__"):
            continue
        module = importlib.import_module(module_info.name)
        found |= {
            value
            for value in (getattr(module, name) for name in getattr(module, "__all__", []))
            if inspect.isclass(value) or inspect.isfunction(value)
        }
    return {f"{value.__module__}.{value.__qualname__}": value for value in found}


PUBLIC = _public()


def _documented_arguments(doc: str | None) -> list[str] | None:
    """Names in the ``Args:`` section of a Google docstring; None without a section."""
    match = re.search(r"^Args:\n((?:[ ]{4}.*\n?|\n)+)", inspect.cleandoc(doc or ""), re.MULTILINE)
    return re.findall(r"^ {4}(\*{0,2}\w+)(?: \(.*?\))?:", match[1], re.MULTILINE) if match else None


def _arguments(function: Callable) -> list[str]:
    stars = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}
    parameters = inspect.signature(function).parameters.values()
    return [stars.get(p.kind.name, "") + p.name for p in parameters if p.name not in ("self", "cls")]


def _public_methods(cls: type) -> Iterator[tuple[str, Callable]]:
    for name, value in vars(cls).items():
        function = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
        if inspect.isfunction(function) and not name.startswith("_"):
            yield name, function


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_docstring_arguments_equal_the_signature(name: str) -> None:
    value = PUBLIC[name]
    assert value.__doc__, "public things have a docstring"
    own_init = not inspect.isclass(value) or "__init__" in vars(value)
    if own_init and not (inspect.isclass(value) and issubclass(value, BaseException)):
        arguments = _arguments(value)
        assert (_documented_arguments(value.__doc__) or []) == arguments
    if inspect.isclass(value):
        for method_name, method in _public_methods(value):
            documented = _documented_arguments(method.__doc__)
            assert method.__doc__, f"{method_name} has no docstring"
            assert documented in (None, _arguments(method)), method_name
