"""What every config must have: every shipped config has it, and each wrong value is one line."""

from __future__ import annotations

import copy
import time
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from lt_plugins.checks.config_check import check_config
from lt_plugins.checks.config_rules import RULES, Rule
from lt_plugins.errors import UserInputError
from lt_plugins.runs.config import load_config
from tests.tool_process import ROOT

CONFIG = str(ROOT / "configs/ce/ce_r32_digits.py")

# Overrides -> what the line says.
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"train_cfg.max_epochs": "x"}, "train_cfg.max_epochs='x' in the config must be a whole number"),
    ({"train_cfg.max_epochs": True}, "train_cfg.max_epochs=True"),
    ({"train_cfg.max_epochs": None}, "train_cfg.max_epochs=None"),
    ({"train_cfg.max_epochs": 1.5}, "train_cfg.max_epochs=1.5"),
    ({"train_cfg.val_interval": 0}, "train_cfg.val_interval=0 in the config must be a whole number of at least 1"),
    ({"train_cfg.max_epoch": 3}, "EpochBasedTrainLoop has no argument 'max_epoch'; did you mean 'max_epochs'?"),
    ({"train_cfg": None}, "has no train_cfg beside its train_dataloader"),
    ({"train_cfg.type": "Foo"}, "train_cfg.type='Foo' is not in the mmpretrain::loop registry"),
    ({"train_dataloader.batch_size": 0}, "train_dataloader.batch_size=0"),
    ({"train_dataloader.batch_size": [4]}, "train_dataloader.batch_size="),
    ({"train_dataloader.batchsize": 4}, "train_dataloader has no key 'batchsize'; did you mean 'batch_size'?"),
    ({"train_dataloader.num_workers": -1}, "train_dataloader.num_workers=-1"),
    ({"train_dataloader.num_workers": 0, "train_dataloader.persistent_workers": True}, "needs workers"),
    ({"train_dataloader": "x"}, "train_dataloader='x' in the config must be a dict"),
    ({"train_dataloader.dataset": None}, "train_dataloader.dataset=None"),
    ({"train_dataloader.dataset.type": "LongTailDatset"}, "did you mean 'LongTailDataset'?"),
    ({"train_dataloader.dataset.imbalance_factor": "x"}, "imbalance_factor='x' of LongTailDataset must be a number"),
    ({"train_dataloader.dataset.profile": "expo"}, "must be one of 'exp', 'step', 'pareto'"),
    ({"train_dataloader.dataset.imbalance": 3}, "has no argument 'imbalance'; did you mean 'imbalance_factor'?"),
    ({"train_dataloader.dataset.dataset.pipeline": "x"}, "pipeline='x' must be a list of transforms"),
    ({"train_dataloader.dataset.dataset.pipeline.0.type": "LoadImagee"}, "did you mean 'LoadImage'?"),
    (
        {"train_dataloader.dataset.dataset.metainfo": {"classes": "dog"}},
        r"give a list of names, like classes=\['dog'\]",
    ),
    ({"train_dataloader.sampler": "x"}, "train_dataloader.sampler='x'"),
    ({"train_dataloader.sampler.type": "DefaultSampeler"}, "did you mean 'DefaultSampler'?"),
    ({"val_evaluator": None}, "has no val_evaluator beside its val_dataloader"),
    ({"val_dataloader": None}, "has no val_dataloader beside its val_cfg"),
    ({"val_evaluator.0.topk": [1, 50]}, "val_evaluator.0.topk=.* exceeds the 10 classes of model.head.num_classes"),
    ({"val_evaluator.0.topk": "x"}, "topk='x' of ShotAccuracy must be a whole number or a list"),
    ({"optim_wrapper": None}, "has no optim_wrapper beside its train_dataloader"),
    ({"optim_wrapper.optimizer": None}, "optim_wrapper.optimizer=None"),
    ({"optim_wrapper.optimizer.type": "SGDD"}, "did you mean 'SGD'?"),
    ({"optim_wrapper.optimizer.lr": "x"}, "optim_wrapper.optimizer.lr='x' in the config must be a number"),
    ({"optim_wrapper.optimizer.lr": float("nan")}, "optim_wrapper.optimizer.lr=nan"),
    ({"optim_wrapper.optimizer.lr": float("inf")}, "optim_wrapper.optimizer.lr=inf"),
    ({"optim_wrapper.optimizer.momentums": 0.9}, "SGD has no argument 'momentums'; did you mean 'momentum'?"),
    ({"optim_wrapper.paramwise_cfg": {"norm_decay_mul": 0}}, "did you mean 'norm_decay_mult'?"),
    ({"param_scheduler": "x"}, "param_scheduler='x'"),
    ({"param_scheduler": [{"type": "MultiStepLR", "milestones": [3, -1]}]}, r"param_scheduler.0.milestones=\[3, -1\]"),
    ({"param_scheduler": [{"type": "MultiStepLR", "milestones": "abc"}]}, "must be a list of whole numbers"),
    ({"param_scheduler": [{"type": "MultiStepLR", "milestones": 3}]}, "must be a list of whole numbers"),
    # with a length that differs from the file's, which hooks and schedules follow
    ({"custom_hooks": [3], "train_cfg.max_epochs": 2}, r"custom_hooks=\[3\] in the config must be"),
    ({"default_hooks": 5, "train_cfg.max_epochs": 2}, "default_hooks=5 in the config must be a dict"),
    ({"optim_wrapper.optimizer.type": "SDG"}, "did you mean 'SGD'?"),
    ({"param_scheduler.0.begin": 9, "param_scheduler.0.end": 3}, "param_scheduler.0: begin=9 must be below end=3"),
    ({"custom_hooks": "x"}, "custom_hooks='x'"),
    ({"custom_hooks": [3]}, r"custom_hooks=\[3\]"),
    ({"custom_hooks": [{"interval": 3}]}, "custom_hooks="),
    ({"default_hooks.class_distribution.type": "ClassDistributionHok"}, "did you mean 'ClassDistributionHook'?"),
    ({"default_hooks.checkpoint.interval": 0}, "default_hooks.checkpoint.interval=0"),
    ({"default_hooks.checkpoint": "x"}, "default_hooks.checkpoint='x'"),
    ({"model": None}, "model=None"),
    ({"model.type": "ImageClasifier"}, "did you mean 'ImageClassifier'?"),
    ({"model.backbone.depth": "x"}, "model.backbone.depth='x' of CIFARResNet must be a whole number, like 32"),
    ({"model.head.num_classes": -3}, "model.head.num_classes=-3"),
    ({"model.head.num_class": 3}, "LinearHead has no argument 'num_class'; did you mean 'num_classes'?"),
    ({"model.head.in_channels": "x"}, "model.head.in_channels='x' of LinearHead must be a whole number"),
    ({"data_preprocessor.std": [0, 1, 1]}, "data_preprocessor.std="),
    ({"data_preprocessor.num_classes": "x"}, "data_preprocessor.num_classes='x'"),
    ({"randomness.seed": -1}, "randomness.seed=-1"),
    ({"randomness.sed": 1}, "randomness has no key 'sed'; did you mean 'seed'?"),
    ({"env_cfg.mp_cfg.mp_start_method": "x"}, "must be one of 'fork', 'spawn', 'forkserver'"),
    ({"log_level": "loud"}, "log_level='loud'"),
    ({"default_scope": "mmpretrian"}, "is not in the mmpretrian::"),
    ({"resume": "x"}, "resume='x' in the config must be True or False"),
    ({"load_from": 3}, "load_from=3"),
    ({"val_evaluator": []}, "val_evaluator is empty; name a metric"),
    ({"model.head.init_cfg": "x"}, "model.head.init_cfg='x' of LinearHead must be"),
    ({"param_scheduler": [{"type": "LinearLR", "start_factor": 0}]}, "start_factor=0 in the config must be"),
    ({"test_evaluator": None}, "has no test_evaluator beside its test_dataloader"),
]


@pytest.fixture(scope="module")
def digits() -> Config:
    """A config that passes, not to be changed."""
    return load_config(CONFIG)


@pytest.mark.parametrize(("overrides", "message"), WRONG, ids=lambda value: str(value)[:60])
def test_a_wrong_value_is_one_line(overrides: dict[str, Any], message: str, digits: Config) -> None:
    cfg = copy.deepcopy(digits)
    cfg.merge_from_dict(overrides)
    with pytest.raises(UserInputError, match=message) as caught:
        check_config(cfg)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_checking_takes_no_time(digits: Config) -> None:
    check_config(digits)
    start = time.perf_counter()
    for _ in range(5):
        check_config(digits)
    assert time.perf_counter() - start < 5 * 0.05


def test_what_a_tool_needs_must_be_there(tmp_path: Path) -> None:
    path = tmp_path / "no_test.py"
    path.write_text(f"_base_ = {CONFIG!r}\ntest_dataloader = test_cfg = test_evaluator = None\n")
    assert load_config(str(path)).test_cfg is None
    with pytest.raises(UserInputError, match="has no test_dataloader, test_cfg, test_evaluator; testing needs"):
        load_config(str(path), needs=["test"])


def test_misspelt_keys_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "misspelt.py"
    for text, message in {
        "train_dataloaders = None": "'train_dataloaders', which nothing reads; did you mean",
        "custom_hook = []": "did you mean 'custom_hooks'?",
    }.items():
        path.write_text(f"model = dict(type='ImageClassifier')\ndefault_scope = 'mmpretrain'\n{text}\n")
        with pytest.raises(UserInputError, match=message):
            load_config(str(path))
    path.write_text("model = dict(type='ResNet', depth=18)\ndefault_scope = 'mmpretrain'\ntrain_pipeline = [3]\n")
    assert load_config(str(path)).train_pipeline == [3]


def test_mixup_counts_the_classes_of_the_head(digits: Config) -> None:
    cfg = copy.deepcopy(digits)
    cfg.model.train_cfg = {"augments": {"type": "Mixup", "alpha": 0.2}}
    check_config(cfg)
    cfg.data_preprocessor.num_classes = 7
    with pytest.raises(UserInputError, match=r"data_preprocessor.num_classes=7.*model.head.num_classes=10"):
        check_config(cfg)


def test_a_builtin_component_may_be_given_by_class() -> None:
    from mmpretrain.models import ImageClassifier

    cfg = Config({"model": {"type": ImageClassifier, "backbone": {"type": "ResNet", "depth": 18}}})
    cfg.default_scope = "mmpretrain"
    check_config(cfg)
    cfg.model.bacbone = 3
    with pytest.raises(UserInputError, match="did you mean 'backbone'"):
        check_config(cfg)


def test_rules_say_what_they_accept() -> None:
    assert str(Rule("whole", low=1, choices=(-1,))) == "a whole number of at least 1 or -1"
    assert str(Rule("text", choices=("a", "b"))) == "one of 'a', 'b'"
    for rule in RULES.values():
        assert not rule.accepts(object()) or rule.kind.startswith("component")
        assert str(rule)


@pytest.mark.parametrize("path", sorted((ROOT / "configs/_base_/datasets").glob("*.py")), ids=lambda path: path.stem)
def test_data_sets_alone_are_parts(path: Path) -> None:
    assert load_config(str(path), allow_parts=True).train_dataloader
    with pytest.raises(UserInputError, match="has no model"):
        load_config(str(path))
    with pytest.raises(UserInputError, match=r"train_dataloader\.batch_size='x' in the config must be"):
        load_config(str(path), {"train_dataloader.batch_size": "x"}, allow_parts=True)
    with pytest.raises(UserInputError, match=r"'Foo' is not in the mmpretrain"):
        load_config(str(path), {"train_dataloader.sampler.type": "Foo"}, allow_parts=True)
