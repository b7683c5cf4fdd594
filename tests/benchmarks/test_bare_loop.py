"""The bare loops of the benchmark take the steps of our configs: their speeds are compared over equal work."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from torch import Tensor

from benchmarks.bare_loop import CrossEntropy, Method, ParametricContrast, SupervisedContrast, train
from lt_plugins.models.backbones import CIFARResNet
from lt_plugins.models.build import build_model
from lt_plugins.models.heads import LPAHead
from lt_plugins.models.structures import ClassDistribution
from lt_plugins.runs.config import read_stages
from tests.tool_process import ROOT

NUM_CLASSES, BATCH_SIZE, STEPS = 5, 8, 3
QUEUE_SIZE = 20  # wraps in the third step
COUNTS = torch.tensor([50, 20, 10, 5, 1])
CONFIGS = {
    "ce": "configs/ce/ce_r32_cifar100-lt.py",
    "scl": "configs/scl/scl_r32_cifar100-lt.py:stage1",
    "paco": "configs/paco/paco_r32_cifar100-lt.py",
    "lpa": "configs/lpa/lpa_r32_cifar100-lt.py",
}
# Our name of a part, and that of the bare loop.
PARTS = {
    "backbone.": "net.",
    "projector.layers.": "projector.",
    "projector.fc0.": "projector.0.",
    "projector.bn0.": "projector.1.",
    "projector.fc1.": "projector.3.",
    "head.fc.": "fc.",
    "head.standardise.": "standardise.",
    "key_encoder.backbone.": "key_encoder.0.",
    "key_encoder.projector.fc0.": "key_encoder.1.0.",
    "key_encoder.projector.bn0.": "key_encoder.1.1.",
    "key_encoder.projector.fc1.": "key_encoder.1.3.",
    "queue.features": "queue",
    "queue.labels": "queue_labels",
}


def read(name: str) -> Config:
    cfg = read_stages(str(ROOT / CONFIGS[name]))[0]
    cfg.model.head.num_classes = NUM_CLASSES
    if cfg.model.get("queue_size"):
        cfg.model.queue_size = QUEUE_SIZE
    return cfg


def build_ours(cfg: Config) -> ImageClassifier:
    """The model of a config in float64, with class counts and attributes."""
    torch.manual_seed(0)
    model: ImageClassifier = build_model(cfg)
    model.init_weights()
    for module in model.double().modules():
        if isinstance(module, ClassDistribution):
            module.set_counts(COUNTS)
        if isinstance(module, CIFARResNet):
            module.register_forward_pre_hook(lambda _, inputs: (inputs[0].double(),))
    if isinstance(model.head, LPAHead):
        model.head.set_attributes(torch.rand_like(model.head.prototypes), torch.rand_like(model.head.class_attributes))
    return model.train()


def build_bare(name: str, model: ImageClassifier) -> Method:
    bare: Method
    if name == "ce":
        bare = CrossEntropy(NUM_CLASSES)
    elif name == "scl":
        bare = SupervisedContrast(COUNTS.double())
    else:
        attributes = model.head.attribute_labels.clone() if name == "lpa" else None
        bare = ParametricContrast(COUNTS.double(), attributes, QUEUE_SIZE)
    bare = bare.double()
    missing, unexpected = bare.load_state_dict(shared_state(model), strict=False)
    assert not unexpected and set(missing) <= {"log_priors", "attributes"}
    return bare.train()


def shared_state(model: ImageClassifier) -> dict[str, Tensor]:
    """State of our model under the names of the bare loop."""
    state: dict[str, Tensor] = {}
    for key, value in model.state_dict().items():
        part = next((part for part in PARTS if key.startswith(part)), None)
        if part is not None and value.numel():  # SCL has a queue without slots
            state[PARTS[part] + key.removeprefix(part)] = value
    return state


@pytest.mark.parametrize("name", CONFIGS)
def test_same_losses_and_weights(name: str) -> None:
    cfg = read(name)
    ours = build_ours(cfg)
    bare = build_bare(name, ours)
    generator = torch.Generator().manual_seed(1)
    num_views = bare.num_views
    images = [
        torch.randint(256, (STEPS * BATCH_SIZE, 3, 32, 32), generator=generator, dtype=torch.uint8)
        for _ in range(num_views)
    ]
    labels = torch.randint(NUM_CLASSES, (STEPS * BATCH_SIZE,), generator=generator)

    wrapper = build_optim_wrapper(ours, cfg.optim_wrapper)
    settings = dict(cfg.optim_wrapper.optimizer)
    assert settings.pop("type") == "SGD"
    optimizer = torch.optim.SGD([value for value in bare.parameters() if value.requires_grad], **settings)
    expected: list[Tensor] = []
    bare.register_forward_hook(lambda _, __, loss: expected.append(loss.detach()))
    mean, std = (ours.data_preprocessor.get_buffer(key) for key in ("mean", "std"))
    normalised = [((view.flip(1).float() - mean) / std).double() for view in images]  # BGR to RGB
    torch.manual_seed(2)
    order = torch.randperm(len(labels))
    torch.manual_seed(2)  # the loop shuffles when it begins
    loop = train(bare, normalised, labels, BATCH_SIZE, optimizer)
    for batch in order.split(BATCH_SIZE):
        next(loop)
        views = [list(view[batch]) for view in images]
        samples = [DataSample(metainfo={"sample_idx": int(index)}).set_gt_label(labels[index]) for index in batch]
        inputs = [torch.stack(view) for view in views] if num_views > 1 else views[0]
        log = ours.train_step({"inputs": inputs, "data_samples": samples}, wrapper)
        torch.testing.assert_close(log["loss"], expected[-1], rtol=1e-9, atol=0, check_dtype=False)
    state = bare.state_dict()
    for key, value in shared_state(ours).items():
        assert torch.allclose(value, state[key], rtol=1e-6, atol=1e-9), key
