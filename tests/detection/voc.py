"""PASCAL VOC in miniature: the layout and the annotations of the original, a few tiny images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from PIL import Image

from lt_plugins.checkpoints.backbone import set_backbone
from tests.miniatures import config_nodes

WIDTH, HEIGHT = 96, 64
# Of each image: class, box (left, top, right, bottom, counted from 1), whether it is difficult.
OBJECTS: list[list[tuple[str, tuple[int, int, int, int], int]]] = [
    [("cat", (5, 5, 60, 50), 0), ("dog", (40, 20, 90, 60), 1)],
    [("person", (1, 1, 96, 64), 0)],
    [("tvmonitor", (30, 8, 70, 48), 0), ("chair", (10, 30, 34, 62), 0)],
]


def write_annotation(path: Path, objects: Sequence[tuple[str, tuple[int, int, int, int], int]]) -> None:
    """Write the XML file of an image."""
    parts = "".join(
        f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>"
        f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for name, (x1, y1, x2, y2), difficult in objects
    )
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"<annotation>{size}{parts}</annotation>")


def make_voc(root: Path) -> Path:
    """Write VOCdevkit with VOC2007 and VOC2012, three images each, which are trainval and test at once."""
    for year in ("VOC2007", "VOC2012"):
        folder = root / "VOCdevkit" / year
        names = [f"{year[3:]}_{number:06d}" for number in range(len(OBJECTS))]
        for seed, (name, objects) in enumerate(zip(names, OBJECTS, strict=True)):
            pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
            for index, (_, (x1, y1, x2, y2), _) in enumerate(objects):
                pixels[y1 - 1 : y2, x1 - 1 : x2] = 80 * index  # something to find
            image = folder / "JPEGImages" / f"{name}.jpg"
            image.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(image)
            write_annotation(folder / "Annotations" / f"{name}.xml", objects)
        for split in ("trainval", "test"):
            path = folder / "ImageSets" / "Main" / f"{split}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{name}\n" for name in names))
    return root / "VOCdevkit"


def write_classifier(path: Path, depth: int, seed: int = 0) -> Path:
    """A checkpoint of a plain classifier with its own running statistics, as after training."""
    torch.manual_seed(seed)
    classifier = build_classifier(depth)
    with torch.no_grad():
        for module in classifier.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                for name, low in (("running_mean", -0.2), ("running_var", 0.5), ("weight", 0.5), ("bias", -0.2)):
                    getattr(module, name).uniform_(low, low + 1)
    torch.save({"state_dict": classifier.state_dict(), "meta": {"epoch": 3}}, path)
    return path


def build_classifier(depth: int) -> Any:
    """The classifier of the cross-entropy configs, with few classes."""
    cfg = Config.fromfile("configs/ce/ce_r50_imagenet-lt.py")
    cfg.model.backbone.depth = depth
    cfg.model.head.update(num_classes=5, in_channels=512 if depth < 50 else 2048)
    init_default_scope("mmpretrain")
    return MODELS.build({**cfg.model, "data_preprocessor": {**cfg.data_preprocessor, "num_classes": 5}})


def small_cfg(path: str | Path, devkit: Path, work_dir: Path, backbone: str = "random") -> Config:
    """A config of a detector on the miniature, with one iteration, tiny images and few regions."""
    cfg = Config.fromfile(path)
    for node in config_nodes([cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader]):
        if node.get("data_root"):
            node["data_root"] = f"{devkit}/"
        if node.get("type") == "RandomChoiceResize":
            node["scales"] = [(WIDTH, HEIGHT), (WIDTH * 3 // 2, HEIGHT * 3 // 2)]
        if node.get("type") == "Resize":
            node["scale"] = (WIDTH, HEIGHT)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
    cfg.train_dataloader.batch_size = 2
    cfg.auto_scale_lr.enable = False  # keep the learning rate at the small batch
    if "roi_head" in cfg.model:
        cfg.model.train_cfg.rpn_proposal.update(nms_pre=50, max_per_img=20)
        cfg.model.train_cfg.rcnn.sampler.num = 8
        cfg.model.test_cfg.rpn.update(nms_pre=20, max_per_img=5)
    cfg.train_cfg.update(max_iters=1, val_interval=1)
    cfg.default_hooks.logger.interval = 1
    cfg.default_hooks.checkpoint.update(interval=-1, save_last=False)
    cfg.default_hooks.precise_bn.num_samples = 4
    cfg.work_dir, cfg.log_level = str(work_dir), "ERROR"
    cfg.experiment_name = cfg.visualizer.name = f"{Path(path).stem}_{work_dir.name}"
    set_backbone(cfg, backbone)
    return cfg
