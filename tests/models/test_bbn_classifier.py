"""BBN's classifier: which images pass through which branch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import LabelBatch
from lt_plugins.registry import MODELS
from tests.battery import noise

IMAGES = noise(9, 3, 32, 32)
LABELS = LabelBatch(torch.tensor([0, 2, 1, 1, 0, 2, 2, 0, 2]), sample_idx=torch.arange(9))
BACKBONE = {"type": "CIFARResNet", "depth": 20, "num_experts": 2, "shared_stages": 2, "shared_blocks": -1}


def network(**changes: Any) -> Any:
    """A small network of three classes, in the middle of its training."""
    torch.manual_seed(0)
    head = {"type": "BBNHead", "num_classes": 3, "in_channels": 64}
    model = MODELS.build({"type": "BBNClassifier", "backbone": BACKBONE, "head": head, **changes})
    model.init_weights()
    model.head.set_epoch(6, 10)
    return model.train()


def test_parts_of_a_batch_go_their_ways() -> None:
    """Conventional images through the first branch, the last part through the second, by two passes of the trunk."""
    model, same = network(), network()
    losses = model.loss(IMAGES[:6], LABELS[:6])
    feats = [same.backbone.branch(same.backbone.trunk(IMAGES[:6][part]), k) for k, part in enumerate(_halves(6))]
    expected = same.head.loss(tuple(x.mean(dim=(2, 3)) for x in feats), LABELS[:6])
    torch.testing.assert_close(losses["loss"], expected["loss"])
    for key, value in model.state_dict().items():
        assert torch.equal(value, same.state_dict()[key]), key
    assert model.backbone.bn1.num_batches_tracked == 2
    assert [branch[-1].bn1.num_batches_tracked.item() for branch in model.backbone.layer3.experts] == [1, 1]


def _halves(count: int) -> tuple[slice, slice]:
    return slice(count // 2), slice(count // 2, None)


def test_the_branches_learn_from_their_images_alone() -> None:
    """With its own share of the loss: at alpha 1 the re-balancing branch gets no gradient."""
    model = network()
    model.head.set_epoch(0, 10)
    model.loss(IMAGES[:6], LABELS[:6])["loss"].backward()
    norms = [sum(p.grad.abs().sum() for p in branch.parameters()) for branch in model.backbone.layer3.experts]
    assert norms[0] > 0
    assert norms[1] == 0


class Watcher(nn.Module):
    """An auxiliary loss that notes what it sees."""

    def forward(self, features: Tensor, logits: Tensor, samples: LabelBatch, num_environments: int) -> Tensor:
        self.seen = features.shape, logits.shape, samples.one_label_each, samples.sample_idx, num_environments
        return features.sum() * 0 + 1


@pytest.mark.parametrize("environments", [1, 2])
def test_auxiliary_losses_see_the_conventional_images(environments: int) -> None:
    """Which come in one environment or several, as for IFL."""
    model = network(num_environments=1 + environments)
    model.aux_losses["watch"] = watcher = Watcher()
    count = 3 * (1 + environments)
    losses = model.loss(IMAGES[:count], LABELS[:count])
    assert losses.keys() == {"loss", "loss_watch"}
    features, logits, labels, indices, seen = watcher.seen
    assert (features, logits, seen) == ((3 * environments, 64), (3 * environments, 3), environments)
    assert labels.tolist() == LABELS.one_label_each[: 3 * environments].tolist()
    assert indices is not None and indices.tolist() == list(range(3 * environments))


def test_prediction_is_that_of_both_branches() -> None:
    model = network().eval()
    maps = model.backbone(IMAGES)
    features = torch.cat([x.mean(dim=(2, 3)) for x in maps], dim=1)
    expected = torch.softmax(model.head.fc(features), dim=1)
    torch.testing.assert_close(model.predict(IMAGES, LABELS).pred_score, expected)


def test_settings_are_checked() -> None:
    with pytest.raises(UserInputError, match=r"BBNClassifier has two branches, and CIFARResNet has num_experts=3"):
        network(backbone={**BACKBONE, "num_experts": 3})
    with pytest.raises(
        UserInputError, match=r"has two branches, and ResNet has num_experts=1; set model.backbone.num_"
    ):
        network(backbone={"type": "ResNet", "depth": 18})
    with pytest.raises(UserInputError, match=r"num_environments=1 of BBNClassifier must be 2 or more"):
        network(num_environments=1)
    with pytest.raises(UserInputError, match=r"a batch of 5 images does not split into num_environments=2"):
        network().loss(IMAGES[:5], LABELS[:5])
