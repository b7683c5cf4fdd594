"""Every way into a trained model sees the same pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmpretrain.apis import FeatureExtractor, ImageClassificationInferencer, get_model
from PIL import Image
from torch import Tensor

from lt_plugins.analysis.queries import load_image
from lt_plugins.analysis.trained_model import build_plain_dataset, load_trained_model
from lt_plugins.checkpoints.backbone import read_backbone
from lt_plugins.engine.features import gather_features
from lt_plugins.models.backbones import CIFARResNet
from lt_plugins.models.build import build_model
from lt_plugins.runs.own_data import find_data, use_data
from tests.miniatures import miniature_cfg
from tests.tool_process import ROOT


class Trained(NamedTuple):
    """A model that tells red from blue, a checkpoint of it, and an image of the test set as a file."""

    cfg: Config
    checkpoint: Path
    image: Path
    bgr: np.ndarray


@pytest.fixture(params=["arrays", "files"])
def trained(request: pytest.FixtureRequest, tmp_path: Path) -> Trained:
    """With arrays that the dataset holds, and with image files."""
    cfg = miniature_cfg(ROOT / "configs/ce/ce_r32_cifar100-lt.py", tmp_path)
    if request.param == "files":
        use_data(cfg, find_data(str(tmp_path / "cifar100")))
    torch.manual_seed(0)
    model: Any = build_model(cfg)
    torch.nn.init.normal_(model.head.fc.weight)
    checkpoint = tmp_path / "epoch_1.pth"
    torch.save({"state_dict": model.state_dict(), "meta": {}}, checkpoint)
    inputs = build_plain_dataset(cfg, "test")[0]["inputs"]
    bgr = inputs.numpy().transpose(1, 2, 0).copy()
    Image.fromarray(bgr[..., ::-1]).save(tmp_path / "query.png")
    return Trained(cfg, checkpoint, tmp_path / "query.png", bgr)


@torch.no_grad()
def test_probabilities_and_features(trained: Trained) -> None:
    cfg, checkpoint = trained.cfg, str(trained.checkpoint)
    model = load_trained_model(cfg, checkpoint).model
    dataset = build_plain_dataset(cfg, "test")

    def predict(inputs: Tensor) -> Tensor:
        return model.test_step(pseudo_collate([{**dataset[0], "inputs": inputs}]))[0].pred_score

    def extract(batch: dict[str, Any]) -> Tensor:
        return model.extract_feat(model.data_preprocessor(batch, training=False)["inputs"])[-1]

    reference = model.test_step(pseudo_collate([dataset[0]]))[0].pred_score
    assert float((predict(dataset[0]["inputs"].flip(0)) - reference).abs().max()) > 1e-3, "red and blue matter"

    infer = ImageClassificationInferencer(cfg, checkpoint)
    others = {
        "inferencer, path": infer(str(trained.image))[0]["pred_scores"],
        "inferencer, array": infer(trained.bgr)[0]["pred_scores"],
        "inferencer, list": infer([str(trained.image), trained.bgr], batch_size=2)[1]["pred_scores"],
        # what inference_model does, which itself takes models of mmpretrain's zoo alone
        "get_model": ImageClassificationInferencer(get_model(cfg, checkpoint))(trained.bgr)[0]["pred_scores"],
        "analysis": predict(load_image(trained.image, dataset)),
    }
    for way, scores in others.items():
        np.testing.assert_allclose(scores, reference, rtol=0, atol=1e-6, err_msg=way)

    features = gather_features(extract, dataset, indices=[0])[0]
    extractor = FeatureExtractor(cfg, checkpoint)
    for image in (str(trained.image), trained.bgr):
        np.testing.assert_allclose(extractor(image)[0][-1], features, rtol=0, atol=1e-6)


@torch.no_grad()
def test_exported_backbone(trained: Trained) -> None:
    """On RGB pixels with the mean and deviation of the config, as docs/data.md says."""
    backbone = CIFARResNet(**{key: value for key, value in trained.cfg.model.backbone.items() if key != "type"})
    backbone.load_state_dict(read_backbone(trained.checkpoint).weights)
    mean, std = (torch.tensor(trained.cfg.data_preprocessor[key])[:, None, None] for key in ("mean", "std"))
    rgb = torch.from_numpy(np.asarray(Image.open(trained.image)).transpose(2, 0, 1).copy()).float()
    model = load_trained_model(trained.cfg, trained.checkpoint).model
    batch = pseudo_collate([build_plain_dataset(trained.cfg, "test")[0]])
    expected = model.backbone(model.data_preprocessor(batch, training=False)["inputs"])[-1]
    torch.testing.assert_close(backbone.eval()(((rgb - mean) / std)[None])[-1], expected, rtol=0, atol=1e-5)
