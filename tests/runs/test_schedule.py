"""A training of another length has a schedule of the same shape, or a line says what would never happen."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import PARAM_SCHEDULERS

from lt_plugins.errors import UserInputError
from lt_plugins.models.batch_augments import CMO
from lt_plugins.runs.config import load_config, load_stages, read_config
from lt_plugins.runs.quiet_runner import QuietRunner
from lt_plugins.runs.schedule import fit_schedule, follow_overrides, is_short, shorten_training, training_length
from tests.tool_process import ROOT

CE = "configs/ce/ce_r32_digits.py"


class Logger:
    """Keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    info = warning = lambda self, line: self.lines.append(line)


def fitted(cfg: Config, steps: int = 7) -> Any:
    """A runner of this config, whose epochs have so many steps, after its schedule was fitted."""
    dumps: list[str] = []
    runner = SimpleNamespace(
        cfg=cfg,
        train_dataloader=range(steps),
        logger=Logger(),
        param_schedulers=cfg.param_scheduler,
        dumps=dumps,
        dump_config=lambda: dumps.append(cfg.param_scheduler),
    )
    fit_schedule(runner)
    return runner


def load(config: str | Path = CE, overrides: dict[str, Any] | None = None) -> Config:
    """A config with overrides; of a schedule alone what ``load_config`` does with the length."""
    if "schedule" not in str(config):
        return load_config(str(ROOT / config), overrides)
    cfg = read_config(ROOT / config)
    length = training_length(cfg)
    cfg.merge_from_dict(overrides or {})
    follow_overrides(cfg, length, overrides or {})
    return cfg


def written(tmp_path: Path, text: str, overrides: dict[str, Any] | None = None) -> Config:
    """A config that says this in place of its base."""
    path = tmp_path / "config.py"
    path.write_text(f"_base_ = {str(ROOT / CE)!r}\n{text}\n")
    return load(path, overrides)


def rates(runner: Any, steps: int = 7) -> list[float]:
    """Learning rate of every step, by mmengine's own schedulers."""
    optimiser = OptimWrapper(torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0))
    epochs = runner.cfg.train_cfg.get("max_epochs")
    total = runner.cfg.train_cfg.get("max_iters") or epochs * steps
    built = []
    for item in runner.param_schedulers:
        item = {"end": epochs if item.get("by_epoch", True) else total, **item}
        built.append(PARAM_SCHEDULERS.build(item, default_args={"optimizer": optimiser, "epoch_length": steps}))
    found = []
    for step in range(total):
        found.append(optimiser.param_groups[0]["lr"])
        for scheduler in built:
            if not scheduler.by_epoch or (step + 1) % steps == 0:
                scheduler.step()
    return found


@pytest.mark.parametrize("epochs", [1, 2, 4, 7, 60, 300])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_a_cosine_ends_with_the_training(epochs: int, steps: int) -> None:
    full = rates(fitted(load(), steps), steps)
    found = rates(fitted(load(CE, {"train_cfg.max_epochs": epochs}), steps), steps)
    assert len(full) == 30 * steps
    assert max(found) == pytest.approx(1)
    if len(found) > 4:
        assert found[-1] == pytest.approx(0, abs=(4 / len(found)) ** 2)
        middle = found[round(0.55 * len(found))]
        assert middle == pytest.approx(0.5, abs=4 / len(found))
    warm_up = round(0.1 * epochs * steps)
    if warm_up >= 2:
        assert found[0] == pytest.approx(0.1)
        assert found[warm_up] == pytest.approx(1)


def test_without_an_override_nothing_changes() -> None:
    cfg = load(CE, {"randomness.seed": 3})
    before = cfg.to_dict()
    runner = fitted(cfg)
    assert cfg.to_dict() == before
    assert runner.dumps == runner.logger.lines == []


SHORT = "configs/_base_/schedules"


@pytest.mark.parametrize("path", sorted((ROOT / SHORT).glob("*.py")), ids=lambda path: path.stem)
def test_written_schedules_are_as_long_as_their_training(path: Path) -> None:
    runner = fitted(load(str(path)))
    assert runner.dumps == runner.logger.lines == []


# Epochs (or steps) at which the rate falls, of 200 epochs with drops at 160 and 180 and a warm-up over 5.
@pytest.mark.parametrize(("epochs", "drops"), [(100, [560, 630]), (4, [22, 25]), (1, [6]), (400, [2240, 2520])])
def test_drops_come_in_proportion(epochs: int, drops: list[int]) -> None:
    runner = fitted(load("configs/_base_/schedules/cifar_200e.py", {"train_cfg.max_epochs": epochs}))
    found = rates(runner)
    assert [k for k in range(1, len(found)) if found[k] < 0.99 * found[k - 1]] == drops
    assert found[-1] == pytest.approx(1e-4)
    assert f"written for 200 epochs and scaled to {epochs}" in runner.logger.lines[0]
    assert "scale_schedule=False" in runner.logger.lines[0]


def test_the_dump_shows_both_schedules() -> None:
    runner = fitted(load(CE, {"train_cfg.max_epochs": 60}))
    assert runner.dumps == [runner.cfg.param_scheduler]
    assert [item["end"] for item in runner.cfg.param_scheduler] == [6, 60]
    assert runner.cfg.param_scheduler[1]["T_max"] == 54
    assert [item["end"] for item in runner.cfg.written_schedule.param_scheduler] == [3, 30]
    again = fitted(Config(runner.cfg.to_dict()))
    assert again.dumps == [], "a dump that is trained again is taken as it is"


@pytest.mark.parametrize(
    ("item", "factor"),
    [
        (dict(type="ExponentialLR", gamma=0.9), 0.9**29),
        (dict(type="StepLR", step_size=10, gamma=0.1), 0.01),
        (dict(type="PolyLR", power=1.0, eta_min=0.0, end=30), 0.0),
        (dict(type="CosineRestartLR", periods=[15, 15], restart_weights=[1, 1], eta_min=0), 0.01),
        (dict(type="OneCycleLR", eta_max=1.0, total_steps=210, by_epoch=False), 0.0),
        (dict(type="CosineAnnealingLR", by_epoch=False, T_max=210), 0.0),
    ],
)
def test_other_kinds(item: dict, factor: float, tmp_path: Path) -> None:
    text = f"param_scheduler = [{item}]"
    full = rates(fitted(written(tmp_path, text)))
    found = rates(fitted(written(tmp_path, text, {"train_cfg.max_epochs": 10})))
    assert full[-1] == pytest.approx(factor, abs=0.02)
    assert found[-1] == pytest.approx(full[-1], abs=0.1)
    assert len(found) == 70


def test_a_child_config_that_changes_the_length_counts_too(tmp_path: Path) -> None:
    found = rates(fitted(written(tmp_path, "train_cfg = dict(max_epochs=5)")))
    assert found[-1] < 0.01
    found = rates(fitted(written(tmp_path, "train_cfg = dict(max_epochs=5)\nscale_schedule = False")))
    assert found[-1] > 0.9


def test_iterations_too(tmp_path: Path) -> None:
    schedule = str(ROOT / "configs/detection/_base_/schedule_24k.py")
    runner = fitted(load(schedule, {"train_cfg.max_iters": 240}))
    assert [item["end"] for item in runner.param_schedulers] == [240]
    assert runner.param_schedulers[0]["milestones"] == [180, 220]
    assert "LinearLR is left out" in runner.logger.lines[0]
    runner = fitted(load(schedule, {"train_cfg.max_iters": 48000}))
    assert runner.param_schedulers[0]["end"] == 200
    assert runner.param_schedulers[1]["milestones"] == [36000, 44000]


# ------------------------------------------------------------------------------------------------------------- hooks


def test_hooks_start_in_proportion() -> None:
    """PaCo with LPA clusters from the sixth of 30 epochs on."""
    lpa = "configs/lpa/lpa_r32_digits.py"
    for epochs, start in ((30, 5), (60, 10), (12, 2), (2, 1), (1, 1)):
        cfg = load(lpa, {"train_cfg.max_epochs": epochs})
        assert cfg.custom_hooks[0].start == start
        assert cfg.custom_hooks[0].interval == 5
    runner = fitted(load(lpa, {"train_cfg.max_epochs": 12}))
    assert "custom_hooks.0.start 5 -> 2" in runner.logger.lines[0]
    runner = fitted(load(lpa, {"train_cfg.max_epochs": 1}))
    assert "custom_hooks.0.start never comes" in runner.logger.lines[0]


def test_class_weights_start_in_proportion(tmp_path: Path) -> None:
    """DRW from 24 of 30 epochs on, in a loss below any key of the model."""
    loss = "loss=dict(_delete_=True, type='LDAMLoss', class_weight='effective_number', reweight_from=24)"
    text = f"model = dict(head=dict({loss}))"
    for epochs, start in ((30, 24), (60, 48), (10, 8), (2, 1), (1, 1)):
        cfg = written(tmp_path, text, {"train_cfg.max_epochs": epochs})
        assert cfg.model.head.loss.reweight_from == start, epochs
    runner = fitted(written(tmp_path, text, {"train_cfg.max_epochs": 10}))
    assert "model.head.loss.reweight_from 24 -> 8" in runner.logger.lines[0]
    cfg = written(tmp_path, text, {"train_cfg.max_epochs": 10, "model.head.loss.reweight_from": 3})
    assert cfg.model.head.loss.reweight_from == 3
    fitted(written(tmp_path, text, {"train_cfg.max_epochs": 1}))


def test_mixing_begins_and_ends_in_proportion(tmp_path: Path) -> None:
    text = "model = dict(train_cfg=dict(augments=dict(type='CMO', mix_from=4, mix_until=27)))"
    for epochs, mixed in ((30, (4, 27)), (60, (8, 54)), (10, (1, 9)), (3, (1, 2)), (2, (1, 1)), (1, (1, 1))):
        augments = written(tmp_path, text, {"train_cfg.max_epochs": epochs}).model.train_cfg.augments
        assert (augments.mix_from, augments.mix_until) == mixed, epochs
        CMO(mix_from=augments.mix_from, mix_until=augments.mix_until)  # also where no epoch is left to mix in
    with pytest.raises(UserInputError, match=r"before model.train_cfg.augments.mix_until=30 \(CMO\)"):
        fitted(written(tmp_path, text.replace("27", "30"), {}))


def test_the_second_phase_of_a_loss_starts_in_proportion(tmp_path: Path) -> None:
    """With or without class weights that start with it."""
    for settings in ("switch_from=24", "switch_from=24, class_weight='inverse_power', reweight_from=24"):
        text = f"model = dict(head=dict(loss=dict(_delete_=True, type='VectorScalingLoss', {settings})))"
        loss = written(tmp_path, text, {"train_cfg.max_epochs": 10}).model.head.loss
        assert loss.switch_from == 8
        assert loss.get("reweight_from", 8) == 8
    runner = fitted(written(tmp_path, text, {"train_cfg.max_epochs": 10}))
    assert "model.head.loss.switch_from 24 -> 8" in runner.logger.lines[0]
    with pytest.raises(UserInputError, match=r"before model.head.loss.switch_from=30 \(VectorScalingLoss\)"):
        fitted(written(tmp_path, text.replace("switch_from=24", "switch_from=30")))


def test_lists_of_epochs_of_a_hook_in_proportion(tmp_path: Path) -> None:
    """Environments after epochs 18 and 24 of 30."""
    text = "custom_hooks = [dict(type='EnvironmentHook', milestones=[0, 18, 24])]"
    for epochs, milestones in ((30, [0, 18, 24]), (60, [0, 36, 48]), (10, [0, 6, 8]), (2, [0, 1, 1])):
        cfg = written(tmp_path, text, {"train_cfg.max_epochs": epochs})
        assert list(cfg.custom_hooks[0].milestones) == milestones, epochs
    runner = fitted(written(tmp_path, text, {"train_cfg.max_epochs": 10}))
    assert "custom_hooks.0.milestones [0, 18, 24] -> [0, 6, 8]" in runner.logger.lines[0]
    cfg = written(tmp_path, text, {"train_cfg.max_epochs": 10, "custom_hooks.0.milestones": [7]})
    assert list(cfg.custom_hooks[0].milestones) == [7]


@pytest.mark.parametrize(
    "overrides",
    [{"custom_hooks.0.start": 3}, {"custom_hooks": {"0": {"start": 3}}}],
)
def test_what_is_overridden_stays(overrides: dict) -> None:
    nested = {"train_cfg": {"max_epochs": 12}} | overrides
    cfg = load("configs/lpa/lpa_r32_digits.py", nested)
    assert cfg.custom_hooks[0].start == 3


def test_a_schedule_that_is_overridden_stays() -> None:
    overrides = {"train_cfg.max_epochs": 4, "param_scheduler": [dict(type="CosineAnnealingLR", T_max=4)]}
    runner = fitted(load(CE, overrides))
    assert runner.param_schedulers == overrides["param_scheduler"]
    nothing: list | None
    for nothing in ([], None):
        overrides = {"train_cfg.max_epochs": 4, "param_scheduler": nothing}
        runner = fitted(load(CE, overrides))
        assert (runner.cfg.param_scheduler, runner.logger.lines) == (nothing, [])
    runner = fitted(load(CE, {"param_scheduler.1.end": 20, "param_scheduler.1.T_max": 17}))
    assert (runner.param_schedulers[1]["end"], runner.logger.lines) == (20, [])
    with pytest.raises(UserInputError, match=r"before param_scheduler.1.begin=3 \(CosineAnnealingLR\)"):
        fitted(load(CE, {"train_cfg.max_epochs": 2, "param_scheduler.1.T_max": 1}))
    with pytest.raises(UserInputError, match="scale_schedule='maybe' must be True or False"):
        load(CE, {"scale_schedule": "maybe"})


LATE = {
    "milestones": ("param_scheduler = [dict(type='MultiStepLR', milestones=[160, 180])]", r"0.milestones=\[160, 180\]"),
    "begin": ("param_scheduler = [dict(type='ExponentialLR', gamma=0.5, begin=30)]", r"param_scheduler.0.begin=30"),
    "hook": (
        "custom_hooks = [dict(type='ReclusterHook', task=dict(type='SubclassClustering'), start=60)]",
        r"custom_hooks.0.start=60 \(ReclusterHook\); set values below 30",
    ),
    "milestones of a hook": (
        "custom_hooks = [dict(type='EnvironmentHook', milestones=[20, 30])]",
        r"custom_hooks.0.milestones=\[20, 30\] \(EnvironmentHook\); set values below 30",
    ),
    "class weights": (
        "model = dict(head=dict(loss=dict(type='LDAMLoss', class_weight='inverse', reweight_from=30)))",
        r"model.head.loss.reweight_from=30 \(LDAMLoss\)",
    ),
    "average": (
        "custom_hooks = [*_base_.custom_hooks, dict(type='EMAHook', begin_epoch=31)]",
        r"custom_hooks.0.begin_epoch=31 \(EMAHook\)",
    ),
}


@pytest.mark.parametrize("name", LATE)
def test_what_never_comes_is_named(name: str, tmp_path: Path) -> None:
    text, message = LATE[name]
    with pytest.raises(UserInputError, match=f"training ends after 30 epochs, before .*{message}"):
        fitted(written(tmp_path, text))
    runner = fitted(written(tmp_path, text, {"scale_schedule": False}))
    assert "before" in runner.logger.lines[0]


def test_a_runner_trains_with_it(tmp_path: Path) -> None:
    """The schedulers that mmengine builds are the fitted ones."""
    cfg = load(CE, {"train_cfg.max_epochs": 2, "work_dir": str(tmp_path), "experiment_name": tmp_path.name})
    cfg.log_level = "ERROR"
    runner = QuietRunner.from_cfg(cfg)
    fit_schedule(runner)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    assert all(not item["by_epoch"] for item in runner.param_schedulers)
    last = runner.build_param_scheduler(runner.param_schedulers)[-1]
    assert last.end == last.begin + last.T_max == 2 * len(runner.train_dataloader)
    assert "by_epoch=False" in (tmp_path / "ce_r32_digits.py").read_text()


# ------------------------------------------------------------------------------------------------------- --shorten


def shortened(spec: str, divisor: int, overrides: dict[str, Any] | None = None, steps: int = 7) -> list[Any]:
    """Runners of all stages of a config, fitted."""
    return [fitted(cfg, steps) for cfg in load_stages(f"{ROOT}/configs/{spec}", overrides, shorten=divisor)]


def falls(runner: Any, steps: int = 7) -> list[int]:
    """Steps at which the learning rate falls."""
    found = rates(runner, steps)
    return [k for k in range(1, len(found)) if found[k] < 0.99 * found[k - 1]]


ATTRIBUTES = {"type": "AttributeClustering"}


def test_shortened_lpa() -> None:
    """400 epochs, warm-up 10, drops at 320 and 360; clusters before epoch 40 and every 10 after it."""
    [runner] = shortened("lpa/lpa_r32_cifar100-lt.py", 20)
    assert runner.cfg.train_cfg == {"by_epoch": True, "max_epochs": 20, "val_interval": 10}
    assert runner.cfg.custom_hooks == [{"type": "ReclusterHook", "task": ATTRIBUTES, "start": 2, "interval": 1}]
    warm_up, drops = runner.param_schedulers
    assert (warm_up["by_epoch"], warm_up["end"]) == (False, 4), "half an epoch of 7 steps, rounded to an even number"
    assert (drops["by_epoch"], drops["milestones"]) == (True, [16, 18])
    assert falls(runner) == [16 * 7, 18 * 7]
    assert runner.cfg.written_schedule.length == 400 and is_short(runner.cfg)
    assert "custom_hooks.0.start 40 -> 2, custom_hooks.0.interval 10 -> 1" in runner.logger.lines[0]
    [runner] = shortened("lpa/lpa_r32_cifar100-lt.py", 4)
    assert runner.cfg.custom_hooks == [{"type": "ReclusterHook", "task": ATTRIBUTES, "start": 10, "interval": 2}]
    assert (runner.param_schedulers[1]["milestones"], runner.cfg.train_cfg.max_epochs) == ([80, 90], 100)


def test_shortened_sbcl() -> None:
    """1000 epochs, warm-up 10, cosine to 1000, clustered every 10 from epoch 10 on; then 200 with drops at 140, 180."""
    first, second = shortened("sbcl/sbcl_r32_cifar100-lt.py", 10)
    assert (first.cfg.train_cfg.max_epochs, first.cfg.train_cfg.val_interval) == (100, 10)
    assert [(hook["type"], hook.get("start"), hook.get("interval")) for hook in first.cfg.custom_hooks] == [
        ("ReclusterHook", 1, 1),
        ("TemperatureHook", None, None),
    ]
    assert [(item["end"], item.get("begin")) for item in first.param_schedulers] == [(1, 0), (100, 1)]
    assert first.param_schedulers[1]["T_max"] == 99
    assert second.cfg.train_cfg.max_epochs == 20
    assert second.param_schedulers[1]["milestones"] == [14, 18]
    assert falls(second) == [14 * 7, 18 * 7]
    first, second = shortened("sbcl/sbcl_r32_cifar100-lt.py", 100)
    assert (first.cfg.train_cfg.max_epochs, second.cfg.train_cfg.max_epochs) == (10, 10)
    assert first.cfg.train_cfg.val_interval == second.cfg.train_cfg.val_interval == 5
    assert second.param_schedulers[1]["milestones"] == [7, 9]


def test_shortened_mislas() -> None:
    """200 epochs, warm-up 5, drops at 160 and 180; then 10, which stay."""
    first, second = shortened("mislas/mislas_r32_cifar100-lt.py", 20)
    assert (first.cfg.train_cfg.max_epochs, second.cfg.train_cfg.max_epochs) == (10, 10)
    assert first.param_schedulers[1]["milestones"] == [8, 9]
    assert is_short(first.cfg) and not is_short(second.cfg)
    assert second.param_schedulers == [{"type": "CosineAnnealingLR", "by_epoch": True, "T_max": 10}]
    assert second.logger.lines == [] and "written_schedule" not in second.cfg


@pytest.mark.parametrize(
    ("overrides", "epochs", "milestones"),
    [
        ({"train_cfg.max_epochs": 100}, 10, [8, 9]),
        ({"train_cfg.max_epochs": 12}, 10, [8, 9]),
        ({"train_cfg.max_epochs": 8}, 8, [6, 7]),
        ({"param_scheduler": [dict(type="MultiStepLR", milestones=[100], end=200)]}, 20, [10]),
        ({"param_scheduler.1.milestones": [100, 150]}, 20, [10, 15]),
    ],
)
def test_what_is_overridden_is_shortened_too(overrides: dict, epochs: int, milestones: list[int]) -> None:
    [runner] = shortened("ce/ce_r32_cifar100-lt.py", 10, overrides)
    assert runner.cfg.train_cfg.max_epochs == epochs
    last = runner.param_schedulers[-1]
    scale = 1 if last.get("by_epoch", True) else 7
    assert last["milestones"] == pytest.approx([one * scale for one in milestones], abs=scale / 2 + 0.5)


def test_an_interval_that_is_not_given_is_shortened_too(tmp_path: Path) -> None:
    path = tmp_path / "c.py"
    path.write_text(
        f"_base_ = {str(ROOT / 'configs/lpa/lpa_r32_cifar100-lt.py')!r}\n"
        "custom_hooks = [dict(_base_.custom_hooks[0])]\n"
        "custom_hooks[0].pop('interval')\n"
    )
    [cfg] = load_stages(str(path), shorten=4)
    hook = cfg.custom_hooks[0]
    assert (hook.start, hook.interval) == (10, 2)
    assert cfg.written_schedule.hooks["custom_hooks.0.interval"] == 10


def test_shorten_mistakes() -> None:
    for divisor, overrides, message in (
        (0, {}, "--shorten 0 must be 1 or more"),
        (-3, {}, "--shorten -3 must be 1 or more"),
        (2, {"scale_schedule": False}, "scale_schedule=False keeps it as written; drop one"),
    ):
        with pytest.raises(UserInputError, match=message):
            shortened("ce/ce_r32_digits.py", divisor, overrides)
    with pytest.raises(UserInputError, match="train_cfg has neither max_epochs nor max_iters"):
        shorten_training(Config({"train_cfg": {"type": "MyLoop"}}), 2)


def test_deferred_class_weights_follow_too() -> None:
    loss = {"type": "L", "reweight_from": 160}
    cfg = Config(
        {
            "train_cfg": {"max_epochs": 20},
            "model": {"head": {"losses": [{"type": "M"}, loss]}, "loss": {"type": "N", "reweight_from": 0}},
        }
    )
    follow_overrides(cfg, 200, {"train_cfg.max_epochs"})
    assert cfg.model.head.losses[1].reweight_from == 16
    assert cfg.written_schedule.hooks == {"model.head.losses.1.reweight_from": 160}
    cfg.train_cfg.max_epochs = 16
    cfg.param_scheduler = []
    cfg.written_schedule = {}
    with pytest.raises(UserInputError, match=r"before model\.head\.losses\.1\.reweight_from=16 \(L\)"):
        fitted(cfg)
