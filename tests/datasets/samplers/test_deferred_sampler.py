"""One sampler until an epoch, another one from it on: in a run, after a resume, and scaled with its length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lt_plugins.datasets.samplers import ClassAwareSampler, ClassBalancedSampler, DeferredSampler
from lt_plugins.errors import UserInputError
from lt_plugins.runs.config import load_config
from lt_plugins.runs.schedule import fit_schedule, shorten_training
from tests.gloo import run_gloo
from tests.small_runs import MakeRunner, make_runner  # noqa: F401 (a fixture)
from tests.tool_process import ROOT

LABELS = np.repeat([0, 1, 2], [30, 6, 1])
NATURAL = {"type": "DefaultSampler", "shuffle": True}
DRS = {"type": "DeferredSampler", "before": NATURAL, "after": {"type": "ClassBalancedSampler"}, "start": 2}


def deferred(seed: int | None = 4, start: int = 2, **after: Any) -> DeferredSampler:
    """Without any OpenMMLab: the samplers themselves."""
    return DeferredSampler(
        LABELS,
        before=ClassAwareSampler(LABELS, seed=0),
        after=ClassBalancedSampler(LABELS, seed=1, **after),
        start=start,
        seed=seed,
    )


def test_the_second_sampler_takes_over_at_its_epoch() -> None:
    sampler = deferred()
    parts = ClassAwareSampler(LABELS, seed=4), ClassBalancedSampler(LABELS, seed=4)
    names = []
    for epoch in range(4):
        names.append(sampler.set_epoch(epoch, 4))
        part = parts[epoch >= 2]
        part.set_epoch(epoch)
        assert list(sampler) == list(part)
        assert len(sampler) == len(LABELS)
    assert names == ["images from ClassAwareSampler"] * 2 + ["images from ClassBalancedSampler"] * 2


def test_it_hands_the_number_of_epochs_on() -> None:
    sampler = deferred(progressive=True)
    sampler.set_epoch(3, 4)
    sampler.set_epoch(3)
    assert list(sampler)
    assert sampler.after.max_epochs == 4


def ranks_order(epoch: int) -> list[int]:
    sampler = deferred(seed=None)
    sampler.set_epoch(epoch)
    return [sampler.seed, *sampler]


def test_two_processes_share_one_order(tmp_path: Path) -> None:
    (seed, *first), (other_seed, *second) = run_gloo(ranks_order, 2, folder=tmp_path)
    assert seed == other_seed
    assert len(first) == len(second) == 19, "37 images, rounded up"
    alone = ClassBalancedSampler(LABELS, num_samples=38, seed=seed)
    alone.set_epoch(2)
    assert [image for pair in zip(first, second, strict=True) for image in pair] == list(alone)


def test_a_run_changes_over_and_a_resumed_one_repeats_it(make_runner: MakeRunner) -> None:  # noqa: F811
    options = {"train_dataloader.sampler": {**DRS, "_delete_": True}, "log_level": "INFO", "randomness.seed": 7}
    options["default_hooks.checkpoint.max_keep_ckpts"] = 3
    runner = make_runner(**options)
    runner.train()
    sampler = runner.train_dataloader.sampler
    assert (sampler.seed, sampler.before.seed, sampler.after.seed) == (7, 7, 7)
    (log,) = Path(runner.work_dir).glob("*/*.log")
    lines = [line.partition("sampler) ")[2] for line in log.read_text().splitlines() if "DeferredSampler (" in line]
    assert lines == [
        "from epoch 1 on: images from DefaultSampler.",
        "from epoch 3 on: images from ClassBalancedSampler.",
    ]
    for done in (1, 2):
        again = make_runner(**options, resume=True, load_from=f"{runner.work_dir}/epoch_{done}.pth")
        again.train()
        assert list(again.train_dataloader.sampler) == list(sampler)
        for name, value in again.model.state_dict().items():
            assert value.equal(runner.model.state_dict()[name]), f"{name} is another one after the resume"


def test_the_start_is_scaled_with_the_training(tmp_path: Path) -> None:
    path = tmp_path / "drs.py"
    sampler = {**DRS, "start": 24, "_delete_": True}
    path.write_text(
        f"_base_ = {str(ROOT / 'configs/ce/ce_r32_digits.py')!r}\ntrain_dataloader = dict(sampler={sampler!r})\n"
    )
    for epochs, start in ((30, 24), (60, 48), (10, 8), (1, 1)):
        cfg = load_config(str(path), overrides={"train_cfg.max_epochs": epochs})
        assert cfg.train_dataloader.sampler.start == start, epochs
    cfg = load_config(str(path), overrides={"train_cfg.max_epochs": 10, "train_dataloader.sampler.start": 3})
    assert cfg.train_dataloader.sampler.start == 3
    cfg = load_config(str(path))
    shorten_training(cfg, 3)
    assert (cfg.train_cfg.max_epochs, cfg.train_dataloader.sampler.start) == (10, 8)


def test_a_start_that_never_comes_is_refused(make_runner: MakeRunner) -> None:  # noqa: F811
    runner = make_runner(**{"train_dataloader.sampler": {**DRS, "start": 3, "_delete_": True}})
    with pytest.raises(UserInputError, match=r"before train_dataloader\.sampler\.start=3 \(DeferredSampler\)"):
        fit_schedule(runner)


def test_settings_without_meaning_are_refused() -> None:
    with pytest.raises(UserInputError, match="start=0 must be 1 or more"):
        deferred(start=0)
    with pytest.raises(UserInputError, match="before gives 37 images a process and after 40; give both the same"):
        deferred(num_samples=40)
