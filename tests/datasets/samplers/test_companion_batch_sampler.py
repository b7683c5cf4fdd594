"""Other data in the same step: parts of a batch, their orders in a run, after a resume, and over processes."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import DataLoader, RandomSampler, SequentialSampler

from lt_plugins.checks.part_sizes import smallest_batch
from lt_plugins.datasets.loader_order import all_samplers
from lt_plugins.datasets.samplers import (
    ClassAwareSampler,
    ClassBalancedSampler,
    CompanionBatchSampler,
    EnvironmentSampler,
)
from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import LabelBatch
from lt_plugins.runs.config import load_config
from lt_plugins.runs.schedule import fit_schedule, shorten_training
from tests.gloo import run_gloo
from tests.small_runs import MakeRunner, make_runner  # noqa: F401 (a fixture)
from tests.tool_process import ROOT

LABELS = np.repeat([0, 1, 2], [30, 6, 1])
NATURAL = {"type": "DefaultSampler", "shuffle": True}
REVERSED = {"type": "ClassBalancedSampler", "power": -1.0}
DRS = {"type": "DeferredSampler", "before": NATURAL, "after": {"type": "ClassBalancedSampler"}, "start": 2}


def companions(*given: Any, seed: int | None = 4, **settings: Any) -> CompanionBatchSampler:
    return CompanionBatchSampler(ClassAwareSampler(LABELS, seed=seed), 8, given or (REVERSED,), **settings)


def split(batches: list[list[int]], parts: int = 2) -> list[list[int]]:
    """All images of each part."""
    return [[*chain(*part)] for part in zip(*(np.split(np.array(batch), parts) for batch in batches), strict=True)]


def test_a_batch_is_the_ordinary_images_and_those_of_each_companion() -> None:
    sampler = companions(REVERSED, {"type": "EnvironmentSampler"})
    sampler.set_epoch(3, 9)
    batches = list(sampler)
    assert len(batches) == len(sampler) == 5
    assert [len(batch) for batch in batches] == [24] * 4 + [15], "the last one of 37 images has 5 of each part"
    alone = ClassAwareSampler(LABELS, seed=4), ClassBalancedSampler(LABELS, -1.0), EnvironmentSampler(LABELS)
    for place, (part, found) in enumerate(zip(alone, split(batches, 3), strict=True)):
        if place:
            part.seed = int(np.random.SeedSequence([4, place, 0]).generate_state(1)[0])
        part.set_epoch(3)
        assert found == list(part)


def test_two_companions_of_one_kind_have_orders_of_their_own() -> None:
    sampler = companions({"type": "EnvironmentSampler"}, {"type": "EnvironmentSampler"})
    _, first, second = split(list(sampler), 3)
    assert first != second
    sampler.seed = 5
    assert split(list(sampler), 3)[1] != first
    sampler.seed = 4
    assert split(list(sampler), 3)[1] == first, "whatever was drawn before"


def test_drop_last() -> None:
    sampler = companions(drop_last=True)
    assert [len(batch) for batch in sampler] == [16] * len(sampler) == [16] * 4


def test_a_short_companion_begins_again_in_another_order() -> None:
    sampler = companions({"type": "ClassBalancedSampler", "num_samples": 10})
    drawn = split(list(sampler))[1]
    turns = [drawn[start : start + 10] for start in range(0, 37, 10)]
    for turn, found in enumerate(turns):
        alone = ClassBalancedSampler(
            LABELS, num_samples=10, seed=int(np.random.SeedSequence([4, 1, turn]).generate_state(1)[0])
        )
        assert found == list(alone)[: len(found)]
    assert turns[0] != turns[1] != turns[2]
    assert split(list(sampler))[1] == drawn, "the same epoch once more"


def test_a_deferred_companion_changes_over() -> None:
    sampler = companions({**DRS, "before": {"type": "ClassAwareSampler"}})
    said = []
    for epoch in range(3):
        said.append(sampler.set_epoch(epoch, 3))
        alone = ClassAwareSampler(LABELS) if epoch < 2 else ClassBalancedSampler(LABELS)
        alone.seed = int(np.random.SeedSequence([4, 1, 0]).generate_state(1)[0])
        alone.set_epoch(epoch)
        assert split(list(sampler))[1] == list(alone)
    assert said == ["images from ClassAwareSampler"] * 2 + ["images from ClassBalancedSampler"]


def test_companions_follow_an_epoch_that_the_ordinary_sampler_alone_was_told() -> None:
    told, whole = companions(), companions()
    told.sampler.set_epoch(2)  # what mmengine's DistSamplerSeedHook does
    whole.set_epoch(2, 5)
    assert list(told) == list(whole)


def test_samplers_of_torch_do() -> None:
    sampler = CompanionBatchSampler(RandomSampler(range(9)), 4, [RandomSampler(range(5))])
    ordinary, other = split(list(sampler))
    assert sorted(ordinary) == [*range(9)]
    assert sorted(other[:5]) == [*range(5)]


def test_settings_without_meaning_are_refused() -> None:
    with pytest.raises(UserInputError, match=r"companions=\[\] of CompanionBatchSampler: name a sampler"):
        CompanionBatchSampler(ClassAwareSampler(LABELS), 8, [])
    with pytest.raises(UserInputError, match="batch_size=0 must be positive"):
        CompanionBatchSampler(ClassAwareSampler(LABELS), 0, [REVERSED])
    with pytest.raises(UserInputError, match=r"companions\.0 \(SequentialSampler\) gives no image"):
        list(companions(SequentialSampler([])))


def ranks_batches() -> list[list[int]]:
    return [[companions(seed=None).seed], *companions()]


def test_two_processes_share_one_order(tmp_path: Path) -> None:
    (seed, *first), (other_seed, *second) = run_gloo(ranks_batches, folder=tmp_path)
    assert seed == other_seed
    parts = zip(split(first), split(second), strict=True)
    together = [[image for pair in zip(*ranks, strict=True) for image in pair] for ranks in parts]
    alone = CompanionBatchSampler(
        ClassAwareSampler(LABELS, num_samples=38, seed=4), 8, [{**REVERSED, "num_samples": 38}]
    )
    assert together == split(list(alone))


def test_the_smallest_batch_counts_all_parts() -> None:
    batches = CompanionBatchSampler(ClassAwareSampler(LABELS), 9, [REVERSED])
    loader: DataLoader = DataLoader([*range(37)], batch_sampler=batches)  # type: ignore[arg-type]
    assert smallest_batch(loader) == 2, "one of the 37, and its companion"


def positions(batch: dict[str, Any]) -> Tensor:
    """Which images a preprocessed batch is of."""
    found = LabelBatch.from_samples(batch["data_samples"]).sample_idx
    assert found is not None
    return found


class Recorder(Hook):
    """Notes the images of each step."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        batch = runner.model.data_preprocessor(data_batch, training=False)
        self.batches.append(positions(batch).tolist())


OPTIONS: dict[str, Any] = {
    "model.type": "AuxLossClassifier",
    "model.aux_losses": {},
    "model.num_environments": 2,
    "train_dataloader.batch_sampler": {"type": "CompanionBatchSampler", "companions": [DRS]},
    "train_dataloader.batch_size": 8,
    "randomness.seed": 7,
    "log_level": "INFO",
    "default_hooks.checkpoint.max_keep_ckpts": 3,
}


def record(runner: Runner) -> list[list[int]]:
    recorder = Recorder()
    runner.register_hook(recorder)
    runner.train()
    return recorder.batches


@pytest.mark.parametrize("resident", [True, False])
def test_a_run_takes_them_and_a_resumed_one_repeats_it(make_runner: MakeRunner, resident: bool) -> None:  # noqa: F811
    runner = make_runner(**OPTIONS, resident=resident)
    batches = record(runner)
    order = runner.train_dataloader.batch_sampler
    assert order.seed == order.sampler.seed == 7
    expected = []
    for epoch in range(3):
        order.set_epoch(epoch, 3)
        expected += list(order)
    assert batches == expected
    assert runner.iter == 3 * len(order) == 3 * len(runner.train_dataloader)
    images = len(runner.train_dataloader.dataset)
    assert int(runner.model.class_distribution.counts.sum()) == images, "the companions add none"
    (log,) = Path(runner.work_dir).glob("*/*.log")
    text = log.read_text()
    assert f"3 epochs of {len(order)} steps, batch 8 x 2 (with its companions) = 16" in text
    assert "CompanionBatchSampler (train_dataloader.batch_sampler) from epoch 3 on: images from ClassBalanced" in text
    resumed = make_runner(**OPTIONS, resident=resident, resume=True, load_from=f"{runner.work_dir}/epoch_2.pth")
    assert record(resumed) == expected[2 * len(order) :]
    for name, value in resumed.model.state_dict().items():
        assert value.equal(runner.model.state_dict()[name]), f"{name} is another one after the resume"


def test_a_repeated_image_of_a_batch_looks_different(make_runner: MakeRunner) -> None:  # noqa: F811
    """Its second occurrence, in the companion, is augmented by numbers of its own."""
    runner = make_runner(
        **{**OPTIONS, "train_dataloader.batch_sampler.companions": [NATURAL], "train_dataloader.batch_size": 100},
        resident=True,
    )
    (batch,) = runner.train_dataloader
    images = runner.model.data_preprocessor(batch, training=True)
    order = positions(images)
    first, second = (part.argsort() for part in order.chunk(2))
    ordinary, companion = images["inputs"].chunk(2)
    same = (ordinary[first] == companion[second]).flatten(1).all(dim=1)
    assert len(same) == len(runner.train_dataloader.dataset)
    assert same.double().mean() < 0.5


def test_a_model_that_knows_of_no_companions_is_refused(make_runner: MakeRunner) -> None:  # noqa: F811
    """It would train on them as if they were ordinary images."""
    runner = make_runner(**{"train_dataloader.batch_sampler": OPTIONS["train_dataloader.batch_sampler"]})
    message = (
        r"ImageClassifier reads a batch in 1 part, but it comes in 2, 1 and the number of companions; set model\.type="
        r"'AuxLossClassifier' and model\.num_environments=2, or leave train_dataloader\.batch_sampler out"
    )
    with pytest.raises(UserInputError, match=message):
        runner.train()


def test_parts_of_a_concatenated_dataset(make_runner: MakeRunner, tmp_path: Path) -> None:  # noqa: F811
    """Ordinary images of the first part, companions of the second; counts of the first alone."""
    runner = make_runner()
    first = dict(runner.cfg.train_dataloader.dataset)
    second = {**first, "imbalance_factor": 1, "max_count": 3}
    for resident in (True, False):
        runner = make_runner(
            **{
                "train_dataloader.dataset": {
                    "_delete_": True,
                    "type": "IndexedDataset",
                    "dataset": {"type": "ConcatDataset", "datasets": [first, second]},
                },
                "train_dataloader.sampler": {"_delete_": True, "type": "PartSampler", "sampler": NATURAL},
                "train_dataloader.batch_sampler": {
                    "type": "CompanionBatchSampler",
                    "companions": [{"type": "ClassBalancedSampler", "part": 1}, {"type": "ClassBalancedSampler"}],
                },
                "train_cfg.max_epochs": 1,
                "model.type": "AuxLossClassifier",
                "model.aux_losses": {},
                "model.num_environments": 3,
                "work_dir": str(tmp_path / str(resident)),
            },
            resident=resident,
        )
        ordinary, meta, same = split(record(runner), 3)
        images = len(ordinary)
        counts = runner.model.class_distribution.counts
        assert (images, int(counts.sum()), len(counts)) == (int(counts.sum()), images, 10)
        assert sorted(ordinary) == [*range(images)]
        assert {index < images for index in same} == {True}
        assert {images <= index < images + 30 for index in meta} == {True}
        samplers = [type(sampler).__name__ for sampler in all_samplers(runner.train_dataloader)]
        assert samplers == ["PartSampler"] * 3 + ["DefaultSampler"] + ["ClassBalancedSampler"] * 2


def test_the_start_of_a_companion_is_scaled_with_the_training(tmp_path: Path) -> None:
    path = tmp_path / "bbn.py"
    batch_sampler = {"type": "CompanionBatchSampler", "companions": [{**DRS, "start": 24}]}
    base = f"_base_ = {str(ROOT / 'configs/ce/ce_r32_digits.py')!r}\n"
    path.write_text(f"{base}train_dataloader = dict(batch_sampler={batch_sampler!r})\n")
    cfg = load_config(str(path), overrides={"train_cfg.max_epochs": 60})
    assert cfg.train_dataloader.batch_sampler.companions[0].start == 48
    cfg = load_config(str(path))
    shorten_training(cfg, 3)
    assert cfg.train_dataloader.batch_sampler.companions[0].start == 8


def test_a_start_that_never_comes_is_refused(make_runner: MakeRunner) -> None:  # noqa: F811
    runner = make_runner(**{**OPTIONS, "train_dataloader.batch_sampler.companions": [{**DRS, "start": 3}]})
    with pytest.raises(UserInputError, match=r"before train_dataloader\.batch_sampler\.companions\.0\.start=3"):
        fit_schedule(runner)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"drop_last": True}, r"drop_last=True may not stand beside a batch_sampler.*batch_sampler\.drop_last=True"),
        ({"batch_sampler.companions": [{"type": "ClassBalancedSampler", "pwer": 1.0}]}, "no argument 'pwer'"),
        ({"batch_sampler.companions": [{"type": "ClassBalanced"}]}, r"companions\.0\.type='ClassBalanced' is not in"),
    ],
)
def test_a_config_that_cannot_work_is_refused(overrides: dict[str, Any], message: str) -> None:
    given = {"train_dataloader.batch_sampler": OPTIONS["train_dataloader.batch_sampler"]}
    given |= {f"train_dataloader.{key}": value for key, value in overrides.items()}
    with pytest.raises(UserInputError, match=message):
        load_config(str(ROOT / "configs/ce/ce_r32_digits.py"), given)
