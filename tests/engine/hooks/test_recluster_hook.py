"""The hook that clusters: against loops over all local features, on any number of processes, leaving no trace."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mmengine.runner import Runner
from torch import Tensor, nn

from lt_plugins.checkpoints.checkpoint import load_checkpoint
from lt_plugins.clustering import KMeansResult, kmeans, match_prototypes
from lt_plugins.datasets.labels import get_labels
from lt_plugins.datasets.pipelines import replace_pipeline
from lt_plugins.engine.clusterings import (
    AttributeClustering,
    ClusteringTask,
    FeaturePass,
    SubclassClustering,
    attribute_clustering,
)
from lt_plugins.engine.hooks import ReclusterHook
from lt_plugins.errors import UserInputError
from lt_plugins.models.heads import LPAHead
from lt_plugins.registry import TASK_UTILS
from lt_plugins.runs.config import load_config
from lt_plugins.runs.quiet_runner import QuietRunner
from tests.clustering.test_local_attributes import slow_balanced_sample
from tests.gloo import run_gloo
from tests.random_state import random_state_untouched
from tests.tool_process import ROOT

ATTRIBUTES = {"type": "AttributeClustering"}
CE = "ce/ce_r32_digits.py"
NUM_ATTRIBUTES = 12
# 12 attributes of 20 features, 6 an image: 40 of the 78 images are sampled.
SAMPLING = {"task.samples_per_attribute": 20, "task.features_per_image": 6}


def make_runner(work_dir: Path, config: str = "lpa/lpa_r32_digits.py", **overrides: Any) -> Runner:
    """A run on 78 digits (20 to 2 a class) with a ResNet of depth 20."""
    cfg = load_config(str(ROOT / "configs" / config))
    cfg.merge_from_dict(
        {
            "work_dir": str(work_dir),
            "experiment_name": f"{work_dir.name}_{id(cfg)}",
            "log_level": "ERROR",
            "model.backbone.depth": 20,
            "train_dataloader.dataset.max_count": 20,
            "train_dataloader.dataset.imbalance_factor": 10,
            "train_dataloader.batch_size": 16,
            "train_cfg.val_begin": 99,
            "default_hooks.checkpoint.max_keep_ckpts": -1,
            **overrides,
        }
    )
    return QuietRunner.from_cfg(cfg)


def make_lpa_runner(work_dir: Path, hook: dict[str, Any] | None = None, **overrides: Any) -> Runner:
    """The same with few attributes and with its hook's arguments."""
    settings = {
        f"custom_hooks.0.{name}": value for name, value in (SAMPLING | {"num_workers": 0} | (hook or {})).items()
    }
    lpa = {"model.queue_size": 32, "model.head.num_attributes": NUM_ATTRIBUTES, "model.head.attributes_per_class": 3}
    return make_runner(work_dir, **{**lpa, **settings, **overrides})


def the_hook(runner: Runner) -> ReclusterHook:
    (hook,) = (hook for hook in runner.hooks if isinstance(hook, ReclusterHook))
    return hook


def recluster_once(work_dir: Path, hook: dict[str, Any] | None = None, epochs: tuple[int, ...] = (0,)) -> Runner:
    """Cluster with the weights a run starts with."""
    runner = make_lpa_runner(work_dir, hook)
    runner.model.init_weights()
    for epoch in epochs:
        runner.train_loop._epoch = epoch
        the_hook(runner).recluster(runner)
    return runner


def tables(runner: Runner) -> dict[str, Tensor]:
    head = runner.model.head
    names = ("prototypes", "class_attributes", "attribute_labels")
    return {name: getattr(head, name).clone() for name in names}


def assert_same_tables(actual: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    """Equal but for the last digits, which depend on how many images a convolution sees at once."""
    assert torch.equal(actual["attribute_labels"], wanted["attribute_labels"])
    for name in ("prototypes", "class_attributes"):
        torch.testing.assert_close(actual[name], wanted[name], rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def reference_run(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    return recluster_once(tmp_path_factory.mktemp("reference"))


@pytest.fixture(scope="module")
def local_features(reference_run: Runner) -> Tensor:
    """All local features of all training images at once, image by image, ``(64, 64, D)``."""
    model = reference_run.model.eval()
    dataset = replace_pipeline(
        reference_run.train_dataloader.dataset, reference_run.cfg.test_dataloader.dataset.pipeline
    )
    rows = []
    with torch.no_grad():
        for sample in dataset:
            data = model.data_preprocessor({"inputs": [sample["inputs"]], "data_samples": [sample["data_samples"]]})
            fmap = model.key_encoder["backbone"](data["inputs"])[-1][0]
            rows.append(torch.stack([fmap[:, y, x] for y in range(fmap.shape[1]) for x in range(fmap.shape[2])]))
    return torch.stack(rows)


def labels_of(runner: Runner) -> list[int]:
    return [int(label) for label in runner.train_dataloader.dataset.get_gt_labels()]


def test_prototypes_are_the_clusters_of_a_class_balanced_sample(reference_run: Runner, local_features: Tensor) -> None:
    sampled = []
    for i in slow_balanced_sample(labels_of(reference_run), 40, seed=0):
        places = torch.randperm(64, generator=torch.Generator().manual_seed(i))[:6]
        sampled += [local_features[i, int(place)] for place in places]
    assert len(sampled) == 240
    wanted = kmeans(torch.stack(sampled), NUM_ATTRIBUTES, seed=0)
    torch.testing.assert_close(reference_run.model.head.prototypes, wanted.centroids, rtol=0, atol=1e-5)
    logged = reference_run.message_hub.get_scalar("train/attribute_cosine").current()
    assert logged == pytest.approx(wanted.mean_cosine, abs=1e-5)


def slow_class_attributes(local: Tensor, labels: list[int], prototypes: Tensor, pool: str) -> list[list[float]]:
    """Mean score of the images of a class, minus the mean over the classes; one local feature after the other."""
    centroids = [row.tolist() for row in prototypes.double()]
    by_class: dict[int, list[list[float]]] = {c: [] for c in range(10)}
    for image, label in zip(local.double(), labels, strict=True):
        scores = []
        for feature in image.tolist():
            length = math.sqrt(math.fsum(v * v for v in feature))
            weights = [
                math.exp(math.fsum(a * b for a, b in zip(feature, row, strict=True)) / length / 0.1)
                for row in centroids
            ]
            scores.append([w / math.fsum(weights) for w in weights])
        pooled = [max(column) if pool == "max" else math.fsum(column) / 64 for column in zip(*scores, strict=True)]
        by_class[label].append(pooled)
    means = [[math.fsum(column) / len(rows) for column in zip(*rows, strict=True)] for rows in by_class.values()]
    common = [math.fsum(column) / 10 for column in zip(*means, strict=True)]
    return [[value - usual for value, usual in zip(row, common, strict=True)] for row in means]


@pytest.mark.parametrize("pool", ["mean", "max"])
def test_classes_are_described_as_by_loops_over_all_local_features(
    pool: str, reference_run: Runner, local_features: Tensor, tmp_path: Path
) -> None:
    runner = reference_run if pool == "mean" else recluster_once(tmp_path, {"task.pool": "max"})
    head = runner.model.head
    wanted = slow_class_attributes(local_features, labels_of(runner), head.prototypes, pool)
    torch.testing.assert_close(head.class_attributes, torch.tensor(wanted), rtol=0, atol=1e-5)
    strongest = [set(sorted(range(NUM_ATTRIBUTES), key=row.__getitem__)[-3:]) for row in wanted]
    assert [set(row.nonzero().flatten().tolist()) for row in head.attribute_labels] == strongest


@pytest.mark.parametrize("hook", [{"batch_size": 7}, {"batch_size": 5, "num_workers": 2}])
def test_batches_and_workers_do_not_matter(hook: dict[str, Any], reference_run: Runner, tmp_path: Path) -> None:
    assert_same_tables(tables(recluster_once(tmp_path, hook)), tables(reference_run))


def tables_on_one_rank(work_dir: Path) -> dict[str, Tensor]:
    # Odd batches, so that the ranks hold 39 images in 6 batches each.
    return tables(recluster_once(work_dir, {"batch_size": 7}))


def test_two_processes_find_what_one_finds(reference_run: Runner, tmp_path: Path) -> None:
    first, second = run_gloo(tables_on_one_rank, tmp_path / "run", folder=tmp_path)
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
    assert_same_tables(first, tables(reference_run))


def test_pass_leaves_mode_weights_and_random_state_alone(tmp_path: Path) -> None:
    runner = make_lpa_runner(tmp_path)
    runner.model.init_weights()
    runner.model.train()
    touched = {f"head.{name}" for name in tables(runner)}
    before = {name: value.clone() for name, value in runner.model.state_dict().items()}
    dataset = runner.train_loop.dataloader.dataset
    pipeline = dataset.dataset.pipeline
    with random_state_untouched():
        the_hook(runner).recluster(runner)
    assert all(module.training for module in runner.model.modules())
    assert dataset.dataset.pipeline is pipeline
    changed = {name for name, value in runner.model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == touched


def test_attributes_keep_their_numbers_when_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = recluster_once(tmp_path)
    old = tables(runner)["prototypes"]
    found: list[KMeansResult] = []

    def recorded(*args: Any) -> KMeansResult:
        found.append(kmeans(*args))
        return found[-1]

    monkeypatch.setattr(attribute_clustering, "kmeans", recorded)
    runner.train_loop._epoch = 5
    the_hook(runner).recluster(runner)
    new = runner.model.head.prototypes
    in_order = list(range(NUM_ATTRIBUTES))
    assert match_prototypes(new, old).tolist() == in_order
    # The clustering itself had numbered them otherwise, and found others: its seed and sample are new.
    assert match_prototypes(found[0].centroids, old).tolist() != in_order
    assert not torch.allclose(new, old, atol=1e-3)
    assert {tuple(row) for row in new.tolist()} == {tuple(row) for row in found[0].centroids.tolist()}


def recorded_epochs(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Epochs before which the runner will have clustered."""
    epochs: list[int] = []
    recluster = ReclusterHook.recluster

    def recorded(hook: ReclusterHook, runner: Runner) -> None:
        epochs.append(runner.epoch)
        recluster(hook, runner)

    monkeypatch.setattr(ReclusterHook, "recluster", recorded)
    return epochs


def test_clusters_when_due_and_when_a_resumed_run_has_no_attributes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = make_lpa_runner(tmp_path, {"start": 1, "interval": 2}, **{"train_cfg.max_epochs": 4})
    epochs = recorded_epochs(runner, monkeypatch)
    runner.train()
    assert epochs == [1, 3]
    assert runner.message_hub.get_scalar("train/loss_attribute").current() > 0

    def resume(name: str, start: int, interval: int) -> Runner:
        epochs.clear()
        resumed = make_lpa_runner(
            tmp_path,
            {"start": start, "interval": interval},
            resume=True,
            load_from=f"{tmp_path}/{name}",
            **{"train_cfg.max_epochs": int(load_checkpoint(tmp_path / name)["meta"]["epoch"]) + 1},
        )
        resumed.train()
        return resumed

    # The tables travel in the checkpoint, so a resumed run keeps to the schedule ...
    saved = load_checkpoint(tmp_path / "epoch_2.pth")["state_dict"]
    resumed = resume("epoch_2.pth", start=0, interval=3)
    assert epochs == []
    assert torch.equal(resumed.model.head.prototypes, saved["head.prototypes"])
    # ... unless there are none yet, as in a run that was plain PaCo so far.
    saved = load_checkpoint(tmp_path / "epoch_1.pth")["state_dict"]
    assert not saved["head.attribute_labels"].any()
    resume("epoch_1.pth", start=0, interval=3)
    assert epochs == [1]


def test_paco_with_attribute_positives_is_lpa_bit_for_bit(tmp_path: Path) -> None:
    """Attributes, momenta, weights and queue of a run that clusters twice, without attributes in its first epoch."""
    epochs = {"train_cfg.max_epochs": 4}
    lpa = make_lpa_runner(tmp_path / "lpa", {"start": 1, "interval": 2}, **epochs)
    lpa.train()
    task = {**ATTRIBUTES, "samples_per_attribute": 20, "features_per_image": 6}
    positives = {"type": "AttributePositives", "num_attributes": NUM_ATTRIBUTES, "attributes_per_class": 3}
    paco = make_runner(
        tmp_path / "paco",
        "paco/paco_r32_digits.py",
        **{
            "model.queue_size": 32,
            "model.aux_losses": {"attribute": {**positives, "temperature": 0.05}},
            "custom_hooks": [{"type": "ReclusterHook", "task": task, "start": 1, "interval": 2, "num_workers": 0}],
            **epochs,
        },
    )
    paco.train()
    assert lpa.message_hub.get_scalar("train/loss_attribute").current() > 0
    expected = {
        name.replace("head.", "aux_losses.attribute.") if name.removeprefix("head.") in tables(lpa) else name: value
        for name, value in lpa.model.state_dict().items()
    }
    found = paco.model.state_dict()
    assert {*found} == {*expected}
    assert [name for name, value in expected.items() if not torch.equal(value, found[name])] == []
    momenta = [
        [state["momentum_buffer"] for state in runner.optim_wrapper.optimizer.state.values()] for runner in (lpa, paco)
    ]
    assert all(map(torch.equal, *momenta))


@pytest.mark.parametrize(
    ("start", "interval", "has_attributes", "due"),
    [
        (0, 10, False, [0, 1, 2, 3, 4]),
        (0, 2, True, [0, 2, 4]),
        (2, 10, False, [2, 3, 4]),
        (2, 10, True, [2]),
        (3, 1, True, [3, 4]),
        (9, 1, False, []),
    ],
)
def test_schedule(start: int, interval: int, has_attributes: bool, due: list[int]) -> None:
    model = nn.Module()
    model.head = LPAHead(num_classes=3, in_channels=2, num_attributes=4, attributes_per_class=1)
    if has_attributes:
        model.head.set_attributes(F.normalize(torch.rand(4, 2), dim=1), torch.rand(3, 4))
    hook = ReclusterHook(ATTRIBUTES, start=start, interval=interval)
    assert [epoch for epoch in range(5) if hook.is_due(epoch, model)] == due


@TASK_UTILS.register_module()
class MeanFeatureTask(ClusteringTask):
    """A task from outside of the package: the mean feature of each class, in a buffer of the classifier.

    Args:
        scale (float): Multiplies the means.
    """

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def check(self, model: Any, dataset: Any) -> None:
        if not hasattr(model, "class_means"):
            raise UserInputError("MeanFeatureTask fills class_means, which this model has not; register the buffer.")

    def is_done(self, model: Any) -> bool:
        return bool(model.class_means.any())

    def run(self, runner: Runner, feature_pass: FeaturePass) -> str:
        model = runner.model

        def extract(batch: dict[str, Any]) -> Tensor:
            return model.extract_feat(model.data_preprocessor(batch, training=False)["inputs"])[-1]

        features = feature_pass.gather(extract, "means")
        labels = torch.from_numpy(get_labels(feature_pass.dataset))
        for c in range(10):
            model.class_means[c] = self.scale * features[labels == c].mean(dim=0)
        return f"means of {len(labels)} features"


def test_a_task_from_outside_is_run_as_the_config_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = {"type": "ReclusterHook", "task": {"type": "MeanFeatureTask", "scale": 2.0}, "start": 1, "num_workers": 0}
    runner = make_runner(tmp_path, CE, **{"train_cfg.max_epochs": 2})
    runner.register_custom_hooks([hook])
    with pytest.raises(UserInputError, match="MeanFeatureTask fills class_means, which this model has not"):
        runner.train()
    runner = make_runner(tmp_path, CE, **{"train_cfg.max_epochs": 2, "experiment_name": "with means"})
    runner.model.register_buffer("class_means", torch.zeros(10, 64))
    runner.register_custom_hooks([hook])
    epochs = recorded_epochs(runner, monkeypatch)
    runner.train()
    assert epochs == [1]
    saved = load_checkpoint(tmp_path / "epoch_2.pth")["state_dict"]["class_means"]
    assert torch.equal(saved, runner.model.class_means)

    # The pass saw the weights from the end of the first epoch, without augmentation.
    before = make_runner(tmp_path, CE, experiment_name="again")
    before.model.register_buffer("class_means", torch.zeros(10, 64))
    before.model.load_state_dict(load_checkpoint(tmp_path / "epoch_1.pth")["state_dict"], strict=False)
    model = before.model.eval()
    dataset = replace_pipeline(before.train_dataloader.dataset, before.cfg.test_dataloader.dataset.pipeline)
    sums: dict[int, list[Tensor]] = {c: [] for c in range(10)}
    with torch.no_grad():
        for sample in dataset:
            data = model.data_preprocessor({"inputs": [sample["inputs"]], "data_samples": [sample["data_samples"]]})
            sums[int(sample["data_samples"].gt_label)].append(model.extract_feat(data["inputs"])[-1][0])
    expected = torch.stack([2 * torch.stack(rows).mean(dim=0) for rows in sums.values()])
    torch.testing.assert_close(saved, expected, rtol=1e-4, atol=1e-5)


@TASK_UTILS.register_module()
class OtherUtility:
    """Something else of that registry."""


def test_a_task_that_is_none_is_refused() -> None:
    with pytest.raises(UserInputError, match=r"task.type='OtherUtility' of ReclusterHook is no ClusteringTask; give"):
        ReclusterHook(dict(type="OtherUtility"))


@pytest.mark.parametrize(
    ("task", "config", "message"),
    [
        ("AttributeClustering", CE, "ImageClassifier with LinearHead, has no pseudo-attributes; add model.aux_losses"),
        ("SubclassClustering", CE, "the loss of the model is CrossEntropyLoss; set model.head.loss.type='SBCLLoss'"),
        ("SubclassClustering", "lpa/lpa_r32_digits.py", "the loss of the model is PaCoLoss"),
    ],
)
def test_a_task_for_another_model_is_refused_before_training(
    task: str, config: str, message: str, tmp_path: Path
) -> None:
    runner = make_runner(tmp_path, config)
    runner.register_hook(ReclusterHook(dict(type=task)))
    with pytest.raises(UserInputError, match=message):
        runner.train()


def test_what_clustering_needs_is_checked_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = make_lpa_runner(tmp_path)
    hook = the_hook(runner)
    hook.before_train(runner)
    monkeypatch.setitem(sys.modules, "faiss", None)
    hook.before_train(runner)
    task = hook.task
    assert isinstance(task, AttributeClustering)
    task.backend = "faiss"
    with pytest.raises(UserInputError, match="pip install faiss-cpu"):
        hook.before_train(runner)
    task.backend = "torch"
    num_sampled = 6 * len(runner.train_dataloader.dataset)
    runner.model.head.num_attributes = num_sampled
    hook.before_train(runner)
    runner.model.head.num_attributes = num_sampled + 1
    with pytest.raises(UserInputError, match=rf"num_attributes={num_sampled + 1} .* gives {num_sampled} \(6 an"):
        hook.before_train(runner)
    runner.model.head.num_attributes = NUM_ATTRIBUTES
    runner.cfg.test_dataloader = None
    hook.before_train(runner)  # the validation data has a pipeline, too
    runner.cfg.val_dataloader = None
    with pytest.raises(UserInputError, match="set the hook's pipeline"):
        hook.before_train(runner)
    hook.pipeline = [dict(type="PackInputs")]
    hook.before_train(runner)


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        (functools.partial(ReclusterHook, ATTRIBUTES), dict(start=-1)),
        (functools.partial(ReclusterHook, ATTRIBUTES), dict(interval=0)),
        (functools.partial(ReclusterHook, ATTRIBUTES), dict(batch_size=0)),
        (AttributeClustering, dict(samples_per_attribute=0)),
        (AttributeClustering, dict(features_per_image=0)),
        (AttributeClustering, dict(num_iters=0)),
        (AttributeClustering, dict(pool="sum")),
        (SubclassClustering, dict(min_size=0)),
        (SubclassClustering, dict(max_iters=0)),
    ],
)
def test_settings_without_meaning_are_refused(kind: Callable[..., Any], bad: dict[str, Any]) -> None:
    ((name, value),) = bad.items()
    with pytest.raises(UserInputError, match=f"{name}={value!r}"):
        kind(**bad)
