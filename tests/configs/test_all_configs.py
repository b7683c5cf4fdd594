"""Every config takes a training step, is tested on a miniature of its data, and is what its name says."""

from __future__ import annotations

import copy
import functools
import math
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain.registry import MODELS

from lt_plugins.checks.config_check import check_config
from lt_plugins.runs.stages import check_stages, find_stages
from tests.miniatures import config_nodes, miniature_cfg
from tools.dev import readme_tables

ROOT = Path(__file__).resolve().parents[2]
# Those of detectors are mmdet's kind and have tests of their own, tests/detection/test_configs.py.
ELSEWHERE = {"_base_", "detection"}
CONFIGS = sorted(path for path in (ROOT / "configs").rglob("*.py") if not ELSEWHERE & {*path.parts})
DATASETS = {
    "cifar10": ("cifar10", 10),
    "cifar100": ("cifar100", 100),
    "imagenet": ("imagenet", 1000),
    "places": ("places", 365),
    "inat": ("inat", 8142),
    "tiny-imagenet": ("tiny-imagenet", 200),
    "digits": (None, 10),
}
STEPPED: dict[str, Path] = {}
"""Configs that have taken their step, by what they say apart from the imbalance factor, which a miniature replaces."""
NAME = re.compile(
    r"(?P<method>[a-z0-9-]+)_(?P<backbone>[rx]\d+)_(?P<dataset>[a-z0-9-]+?)(-lt(?P<factor>\d*))?"
    r"(_(?P<layout>folder|256))?(_(?P<epochs>\d+)e)?(_(?P<stage>stage1|crt))?"
)


@functools.cache
def read(path: Path) -> Config:
    """A config, not to be changed."""
    return Config.fromfile(path)


def _tiny_cfg(path: Path, root: Path, work_dir: Path) -> Config:
    """The config with one step of four miniature images, at a size that a CPU can take, and without downloads."""
    cfg = miniature_cfg(path, root)
    for node in config_nodes([cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader]):
        for key in ("scale", "crop_size"):
            if node.get(key) in (224, 256):
                node[key] = {224: 64, 256: 72}[node[key]]
        if node.get("type") == "DigitsDataset" and node["split"] == "test":
            node["indices"] = 20
    train = cfg.train_dataloader
    train.dataset = {"type": "IndexedDataset", "dataset": train.dataset, "indices": [0, 1, 2, 3]}
    train.sampler.pop("full_length", None)  # an epoch is one step
    if cfg.model.backbone.get("init_cfg"):
        cfg.model.backbone.init_cfg = None
    shrink(cfg.model.head)
    for hook in cfg.custom_hooks:
        if hook["type"] == "ReclusterHook":
            hook.update(start=0, num_workers=0)
    if cfg.model.get("queue_size"):
        cfg.model.queue_size = 16
    if cfg.get("previous_stage"):
        cfg.load_from = _previous_weights(path, work_dir)
    cfg.train_cfg.update(max_epochs=1, val_interval=1)
    cfg.default_hooks.checkpoint.update(interval=-1, save_last=False)
    cfg.default_hooks.checkpoint.pop("save_best", None)
    cfg.default_hooks.logger.interval = 1
    cfg.work_dir, cfg.experiment_name = str(work_dir), str(path.relative_to(ROOT).with_suffix(""))
    cfg.log_level = "ERROR"
    return cfg


def shrink(head: dict) -> None:
    """Give a head small tables, the same in both stages of a method."""
    for key in ("num_attributes", "num_latents"):
        if key in head:
            head[key] = 8


def _previous_weights(path: Path, work_dir: Path) -> str:
    """Weights of the stage that this one starts from, as they are before training."""
    cfg = Config.fromfile(path)
    cfg.work_dir = str(work_dir)
    stages = find_stages(cfg)
    check_stages(stages)
    model = stages[-2].cfg.model
    shrink(model.head)
    file = work_dir / "previous.pth"
    torch.save({"state_dict": MODELS.build(model).state_dict()}, file)
    return str(file)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("miniatures")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(ROOT / "configs")))
def test_one_step_and_test(path: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_config(read(path), needs=["train", "val", "test"])
    cfg = copy.deepcopy(read(path)).to_dict()
    cfg.pop("previous_stage", None)
    shrink(cfg["model"]["head"])
    for node in config_nodes(cfg):
        node.pop("imbalance_factor", None)
    if STEPPED.setdefault(repr(cfg), path) != path:
        return  # on miniature data it is the same config as another one
    monkeypatch.setattr(Config, "pretty_text", "")  # the runner formats it several times, for seconds if it is long
    runner = Runner.from_cfg(_tiny_cfg(path, data, tmp_path))
    before = {
        name: parameter.detach().clone()
        for name, parameter in runner.model.head.named_parameters()
        if parameter.requires_grad
    }
    runner.train()
    assert runner.iter == 1
    assert math.isfinite(runner.message_hub.get_scalar("train/loss").current())
    after = dict(runner.model.head.named_parameters())
    changed = [name for name, parameter in before.items() if not after[name].equal(parameter)]
    assert changed == list(before), "the step changes every parameter of the head that is trained"
    if hasattr(runner.model.head, "has_attributes"):
        assert runner.model.head.has_attributes
    if hasattr(runner.model.head.loss_module, "is_ready"):
        assert runner.model.head.loss_module.is_ready
    metrics = runner.test()
    for key in ("shot/accuracy_top1", "calibration/ece"):
        assert 0 <= metrics[key] <= 100
    assert list(tmp_path.rglob("per_class.csv")), "testing writes the table of classes"


@pytest.mark.parametrize("folder", sorted({p.parent for p in CONFIGS if p.parent.name != "demo"}), ids=lambda p: p.name)
def test_folder_is_described(folder: Path) -> None:
    assert (folder / "metafile.yml").is_file(), "each method states its configs and published numbers"
    assert (folder / "README.md").is_file(), "each method has a page"


def test_tables_are_those_of_metafiles_and_results() -> None:
    """Also: the metafiles follow the schema, name every config, and name every file of results/."""
    readme_tables.main(["--check"])


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(ROOT / "configs")))
def test_is_what_its_name_says(path: Path) -> None:
    """``{method}_{backbone}_{dataset}[_{variation}].py``, see docs/architecture.md."""
    name = NAME.fullmatch(path.stem)
    assert name, f"{path.name} does not follow the naming rule of docs/architecture.md"
    cfg = read(path)
    backbone = cfg.model.backbone
    kinds = {"CIFARResNet": "r", "ResNet": "r", "LastBlockResNet": "r", "ResNeXt": "x"}
    assert name["backbone"] == f"{kinds[backbone.type]}{backbone.depth}"

    root, num_classes = DATASETS[name["dataset"]]
    datasets = [node for node in config_nodes(cfg.train_dataloader) if "data_root" in node]
    assert [Path(node["data_root"]).name for node in datasets] == ([root] if root else [])
    assert cfg.model.head.num_classes == num_classes
    factor = next(
        (node["imbalance_factor"] for node in config_nodes(cfg.train_dataloader) if "imbalance_factor" in node), None
    )
    if name["dataset"] != "digits":
        assert factor == (int(name["factor"]) if name["factor"] else None)
    if name["layout"] == "folder":
        assert datasets[0]["type"] == "FolderDataset"
    previous = cfg.get("previous_stage")
    if name["epochs"]:  # the name counts those of the first stage
        first = read(path.parent / previous.config) if previous else cfg
        assert first.train_cfg.max_epochs == int(name["epochs"])
    if previous:
        expected = path.stem.removesuffix("_crt")
        if previous.get("cfg_options"):  # values of one first stage vary: lcreg-m20 stands on lcreg
            expected = re.sub(r"-[a-z0-9]+", "", expected, count=1)
        assert previous.config == f"./{expected}_stage1.py"
        assert_same_images_and_model(cfg, read(path.parent / previous.config))


def assert_same_images_and_model(cfg: Config, first: Config) -> None:
    """Both stages of a method."""
    keys = ("type", "data_root", "ann_file", "data_prefix", "split", "imbalance_factor", "max_count")
    images = [
        [
            {key: node.get(key) for key in keys}
            for node in config_nodes(one.train_dataloader.dataset)
            if "data_root" in node or "imbalance_factor" in node
        ]
        for one in (cfg, first)
    ]
    assert images[0] == images[1]
    backbones = [{**one.model.backbone, "init_cfg": None} for one in (cfg, first)]  # only the first is initialised
    assert backbones[0] == backbones[1]
    assert cfg.model.head.num_classes == first.model.head.num_classes
