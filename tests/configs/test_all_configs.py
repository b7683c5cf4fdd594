"""Every method takes a step in each of its stages and is tested on a miniature of its data; every config predicts and
is what its name says; every variant of it is a config too."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from lt_plugins.checks.global_batch import check_global_batch
from lt_plugins.datasets.batched_forms import pipeline_form
from lt_plugins.errors import UserInputError
from lt_plugins.models.build import build_model
from lt_plugins.runs.config import load_stages
from lt_plugins.runs.teachers import list_teachers
from tests.configs.catalogue import (
    CONFIGS,
    ROOT,
    file_of,
    is_for_own_data,
    models_of,
    name_of,
    needs_missing_timm,
    stages_of,
)
from tests.configs.stepped import stepped
from tests.miniatures import config_nodes, make_miniature, point_at_miniatures
from tools.dev import readme_tables

DATASETS = {
    "cifar10": ("cifar10", 10),
    "cifar100": ("cifar100", 100),
    "imagenet": ("imagenet", 1000),
    "places": ("places", 365),
    "inat": ("inat", 8142),
    "tiny-imagenet": ("tiny-imagenet", 200),
    "digits": (None, 10),
    "cifar100-glt": ("cifar100", 100),
    "imagenet-glt": ("imagenet", 1000),
    "mscoco-glt": ("mscoco-glt", 29),
    "tiny-imagenet-glt": ("tiny-imagenet", 200),
}
NAME = re.compile(r"(?P<method>[a-z0-9]+(-[a-z0-9]+)*)_(?P<backbone>[rx]\d+)_(?P<dataset>[a-z0-9-]+?)(-lt)?")
FACTOR = re.compile(r"lt(\d+)")
LARGER_MINIATURES = {"DigitsDataset", "MiniatureCIFAR10", "MiniatureCIFAR100"}


def specs() -> list[str]:
    """Each variant of each config, and the combinations that a metafile names."""
    single = {f"{name_of(path)}:{variant}" for path in CONFIGS for variant in file_of(str(path)).get("variants", {})}
    folders = {path.parent for path in CONFIGS}
    named = {
        model["Config"].removeprefix("configs/") for folder in folders for model in models_of(folder / "metafile.yml")
    }
    return sorted(single | named | set(map(name_of, CONFIGS)))


def _tiny_cfg(path: Path, stage: int, root: Path, work_dir: Path) -> Config:
    """The config with one step of four miniature images, at a size that a CPU can take, and without downloads."""
    cfg = copy.deepcopy(stages_of(path)[stage])
    point_at_miniatures(cfg, root)
    for node in config_nodes([cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader]):
        for key in ("scale", "crop_size"):
            if node.get(key) in (96, 224, 256):
                node[key] = {96: 32, 224: 64, 256: 72}[node[key]]
        if node.get("type") in LARGER_MINIATURES and node["split"] == "test":
            node["indices"] = 20
    train = cfg.train_dataloader
    parts = train.dataset.get("datasets") or [train.dataset] * (2 if train.sampler.type == "PartSampler" else 1)
    parts = [{"type": "IndexedDataset", "dataset": part, "indices": [0, 1, 2, 3]} for part in parts]
    train.dataset = parts[0] if len(parts) == 1 else {"type": "ConcatDataset", "datasets": parts}
    train.sampler.pop("full_length", None)  # an epoch is one step
    if train.sampler.type == "EpisodicSampler":
        train.dataset["indices"] = [0, 1, 2, 3] * 2
        train.sampler.update(num_novel=1, num_exemplars=1, novel_queries=1, base_queries=2, few_threshold=2)
        train.batch_size = 8  # two episodes
    if cfg.model.backbone.get("init_cfg"):
        cfg.model.backbone.init_cfg = None
    for key in ("num_attributes", "num_latents"):
        if key in cfg.model.head:
            cfg.model.head[key] = 8
    for node in config_nodes(cfg.model.get("neck")):
        if node.get("map_size") == 7:
            node["map_size"] = 2
    for hook in cfg.custom_hooks:
        if hook["type"] == "CentroidHook":
            hook["num_workers"] = 0
            # Running statistics of one step: the means are 10^8, and no features that others may be pulled to.
            cfg.model.head.centroid_loss.weights = 0.0
        if hook["type"] in ("ClassMeanHook", "FeatureCacheHook"):
            hook["num_workers"] = 0
        if hook["type"] == "FeatureCacheHook":
            hook["folder"] = str(work_dir / "features")
        if hook["type"] == "ReclusterHook":
            hook.update(start=0, num_workers=0)
    if cfg.model.get("queue_size"):
        cfg.model.queue_size = 16
    cfg.train_cfg.update(max_epochs=1, val_interval=1)
    cfg.default_hooks.checkpoint.update(interval=-1, save_last=False)
    cfg.default_hooks.checkpoint.pop("save_best", None)
    cfg.default_hooks.logger.interval = 1
    cfg.work_dir, cfg.experiment_name = str(work_dir), f"{name_of(path)} {stage}"
    cfg.log_level = "ERROR"
    return cfg


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("miniatures")


@pytest.mark.parametrize("spec", specs())
def test_resolves(spec: str, data: Path) -> None:
    """What its name combines is a config of a run, in all its stages."""
    file, _, names = spec.partition(":")
    photos: Path | None = None
    if is_for_own_data(Path(file)):
        photos = data / "photos"
        make_miniature("data/photos", photos)
    stages = load_stages(
        str(ROOT / "configs" / spec), needs=["train", "val", "test"], data=None if photos is None else str(photos)
    )
    plain = (
        stages_of(ROOT / "configs" / file)
        if photos is None
        else load_stages(f"{ROOT}/configs/{file}", data=str(photos))
    )
    if "stage1" in names.split(","):
        assert len(stages) == 1 < len(plain)
    if names:
        assert [stage.to_dict() for stage in stages] != [stage.to_dict() for stage in plain], "it changes something"
    for variant in filter(None, names.split(",")):
        if factor := FACTOR.fullmatch(variant):
            nodes = [node for stage in stages for node in config_nodes(stage.train_dataloader)]
            found = [node.imbalance_factor for node in nodes if "imbalance_factor" in node]
            assert found == [int(factor[1])] * len(stages)


@pytest.mark.parametrize("path", sorted(stepped()), ids=name_of)
def test_one_step_and_test(path: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each stage from the weights of the one before; first stages that are the same in several files are taken once."""
    monkeypatch.setattr(Config, "pretty_text", "")  # the runner formats it several times, for seconds if it is long
    stages = stages_of(path)
    checkpoint: Path | None = None
    for number, stage in enumerate(stages):
        saved = tmp_path / f"stage{number + 1}.pth"
        if number == 0 < len(stages) - 1:
            text = json.dumps(stage.to_dict(), sort_keys=True, default=str)
            saved = data / f"{hashlib.sha256(text.encode()).hexdigest()}.pth"
        if not saved.exists():
            cfg = _tiny_cfg(path, number, data, tmp_path / f"stage{number + 1}")
            if checkpoint is not None:
                cfg.load_from = None if cfg.get("from_scratch") else str(checkpoint)
                for _, teacher in list_teachers(cfg):
                    teacher["checkpoint"] = str(checkpoint)
            elif is_for_own_data(path):
                cfg.load_from = str(untrained_checkpoint(cfg, tmp_path))
            runner = Runner.from_cfg(cfg)
            check = check_adjusted_and_test if cfg.train_cfg.get("type") == "PosthocLoop" else check_one_step_and_test
            check(runner, Path(cfg.work_dir))
            if number < len(stages) - 1:
                torch.save({"state_dict": runner.model.state_dict()}, saved)
        checkpoint = saved


def untrained_checkpoint(cfg: Config, folder: Path) -> Path:
    """Stands in for the pretrained weights of a recipe."""
    path = folder / "untrained.pth"
    torch.save({"state_dict": build_model(cfg).state_dict()}, path)
    return path


def check_one_step_and_test(runner: Runner, work_dir: Path) -> None:
    """Train for a step and test."""
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
    check_test(runner, work_dir)


def check_adjusted_and_test(runner: Runner, work_dir: Path) -> None:
    """Adjust the classifier without a step, and test."""
    assert runner.model.head.adjusted is None
    runner.train()
    assert (runner.epoch, runner.iter) == (1, 0)
    assert runner.model.head.adjusted is not None
    check_test(runner, work_dir)


def check_test(runner: Runner, work_dir: Path) -> None:
    """Test, and look at what it writes."""
    metrics = runner.test()
    is_glt = runner.cfg.test_evaluator == {"type": "GLTMetric"}
    for key in ("clt/accuracy", "glt/precision") if is_glt else ("shot/accuracy_top1", "calibration/ece"):
        assert 0 <= metrics[key] <= 100
    name = "glt_cells.csv" if is_glt else "per_class.csv"
    assert list(work_dir.rglob(name)), "testing writes the table of classes"


@pytest.mark.parametrize("path", CONFIGS, ids=name_of)
def test_small_images_are_in_memory(path: Path) -> None:
    """Their random transforms have batched forms, in every stage."""
    small = {"cifar10", "cifar100", "cifar100-glt", "tiny-imagenet", "tiny-imagenet-glt", "digits"}
    match = NAME.fullmatch(path.stem)
    assert match or is_for_own_data(path)
    for cfg in stages_of(path):
        assert bool(cfg.get("resident")) is (match is not None and match["dataset"] in small)
        for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
            pipeline, *others = [node["pipeline"] for node in config_nodes(loader) if "pipeline" in node]
            assert not others or cfg.train_dataloader.dataset.type == "ConcatDataset", "of a meta set"
            if cfg.get("resident"):
                with DefaultScope.overwrite_default_scope("mmpretrain"):
                    form = pipeline_form(Compose(pipeline).transforms)
                assert bool(form.views) is (loader is cfg.train_dataloader)


@pytest.mark.parametrize("path", CONFIGS, ids=name_of)
def test_batch_and_processes_agree(path: Path) -> None:
    """In each stage that states its processes."""
    for cfg in stages_of(path):
        if not cfg.get("num_processes"):
            continue
        check_global_batch(cfg, cfg.num_processes)
        batch = cfg.train_dataloader.batch_size * cfg.optim_wrapper.get("accumulative_counts", 1)
        assert cfg.num_processes * batch == cfg.auto_scale_lr.base_batch_size
        with pytest.raises(UserInputError, match="is meant for"):
            check_global_batch(cfg, cfg.num_processes + 1)


@pytest.mark.parametrize("folder", sorted({p.parent for p in CONFIGS if p.parent.name != "demo"}), ids=lambda p: p.name)
def test_folder_is_described(folder: Path) -> None:
    assert (folder / "metafile.yml").is_file(), "each method states its configs and published numbers"
    assert (folder / "README.md").is_file(), "each method has a page"


def test_tables_are_those_of_metafiles_and_results() -> None:
    """Also: the metafiles follow the schema and name every config, and every file of results/ belongs to one."""
    readme_tables.main(["--check"])


@pytest.mark.parametrize("path", [path for path in CONFIGS if not needs_missing_timm(path)], ids=name_of)
def test_the_metafile_states_epochs_and_network(path: Path) -> None:
    """Those of the file, and of a variant that stands for a method in docs/methods.md."""
    models = models_of(path.with_name("metafile.yml"))
    specs = {model["Config"]: model["Metadata"] for model in models if "Metadata" in model}
    own = {spec: stated for spec, stated in specs.items() if spec.partition(":")[0] == f"configs/{name_of(path)}"}
    assert f"configs/{name_of(path)}" in own
    for spec, stated in own.items():
        assert stated == readme_tables.measure(spec), "delete the line, then: make results-table"


@pytest.mark.parametrize("path", [path for path in CONFIGS if is_for_own_data(path)], ids=name_of)
def test_recipe_for_own_data(path: Path) -> None:
    """It says what its weights have seen, and all its images are the user's."""
    for cfg in stages_of(path):
        assert cfg.pretrained_on
        loaders = (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader)
        assert {loader.dataset.type for loader in loaders} == {"OwnImages"}
    assert_same_images_and_model(stages_of(path))
    with pytest.raises(UserInputError, match="no images of its own; give yours with --data DIR"):
        load_stages(str(path), needs=["train"])


@pytest.mark.parametrize("path", [path for path in CONFIGS if not is_for_own_data(path)], ids=name_of)
def test_is_what_its_name_says(path: Path) -> None:
    """``{method}_{backbone}_{dataset}.py``, see docs/architecture.md."""
    name = NAME.fullmatch(path.stem)
    assert name, f"{path.name} does not follow the naming rule of docs/architecture.md"
    kinds = {"CIFARResNet": "r", "ResNet": "r", "LastBlockResNet": "r", "ResNeXt": "x"}
    kinds |= {"MultiExpertResNet": "r", "MultiExpertResNeXt": "x", "SHIKEResNet": "r", "ResNet10": "r"}
    root, num_classes = DATASETS[name["dataset"]]
    for cfg in stages_of(path):
        backbone = cfg.model.backbone
        assert name["backbone"] == f"{kinds[backbone.type]}{backbone.depth}"
        datasets = [node for node in config_nodes(cfg.train_dataloader) if "data_root" in node]
        assert {Path(node["data_root"]).name for node in datasets} == ({root} if root else set())
        assert cfg.model.head.num_classes == cfg.data_preprocessor.num_classes == num_classes
    assert_same_images_and_model(stages_of(path))


def assert_same_images_and_model(stages: list[Config]) -> None:
    """All stages of a method."""
    keys = ("type", "data_root", "ann_file", "data_prefix", "split", "imbalance_factor", "max_count")
    images = []
    for cfg in stages:
        dataset = cfg.train_dataloader.dataset  # the first part is that of the training, another one a meta set
        nodes = config_nodes(dataset.datasets[0] if dataset.type == "ConcatDataset" else dataset)
        images.append(
            [
                {key: node.get(key) for key in keys}
                for node in nodes
                if "data_root" in node or "imbalance_factor" in node
            ]
        )
    assert all(one == images[0] for one in images)
    # Only the first is initialised, and one that starts from scratch may be another.
    backbones = [{**cfg.model.backbone, "init_cfg": None} for cfg in stages if not cfg.get("from_scratch")]
    assert all(one == backbones[0] for one in backbones)
