"""A classifier that learns from labels beside one that learns from a teacher: the third stage of SSD."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.dist import get_rank, get_world_size
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.heads import LinearHead, SelfDistillHead
from lt_plugins.models.structures import LabelBatch
from tests.battery import noise
from tests.gloo import run_gloo
from tests.models.losses.test_kd_loss import slow_distillation
from tests.models.test_distill_classifier import HEAD, network

LABELS = torch.tensor([0, 3, 1, 1, 2, 0])


def make(kind: type[LinearHead] = SelfDistillHead, **settings: Any) -> Any:
    torch.manual_seed(0)
    head = kind(num_classes=4, in_channels=5, **settings)
    head.init_weights()
    return head.double()


def learner(weight: float = 1.0, **settings: Any) -> Any:
    """A small network with both classifiers, and the teacher that it learns from."""
    model = network(
        0,
        "DistillClassifier",
        teachers=[{"stage": 2}],
        distill={"type": "KDLoss", "temperature": 2.0, "loss_weight": weight},
        head={**HEAD, "type": "SelfDistillHead", **settings},
    )
    model.set_teachers([network(1, head={**HEAD, "type": "LWSClsHead", "learn_linear": False})])
    return model.train()


def total_and_gradients(model: Any, images: Tensor, labels: Tensor = LABELS) -> dict[str, Tensor]:
    """The sum of the losses and the gradient of each parameter."""
    model.zero_grad()
    total = torch.stack(list(model.loss(images, LabelBatch(labels)).values())).sum()
    total.backward()
    return {"total": total.detach()} | {name: p.grad.clone() for name, p in model.named_parameters()}


def test_cross_entropy_of_the_hard_and_distillation_of_the_soft_classifier() -> None:
    """Each from the features, one image after the other."""
    model, images = learner(), noise(6, 3, 32, 32)
    losses = model.loss(images, LabelBatch(LABELS))
    assert losses.keys() == {"loss", "loss_distill"}
    with torch.no_grad():
        features = model.extract_feat(images)[-1].double()
        teacher = model.teachers[0](images).double()
    hard, soft = (features @ part.weight.double().T + part.bias.double() for part in (model.head.hard, model.head.fc))
    expected = 0.0
    for row, label in zip(hard.tolist(), LABELS.tolist(), strict=True):
        expected -= math.log(math.exp(row[label]) / sum(map(math.exp, row))) / 6
    assert losses["loss"].item() == pytest.approx(expected, rel=1e-4)
    assert losses["loss_distill"].item() == pytest.approx(4 * slow_distillation(soft, teacher, 2.0), rel=1e-3)


def test_each_classifier_learns_from_its_own_loss_and_the_features_from_both() -> None:
    model, images = learner(), noise(6, 3, 32, 32)
    reach = {}
    for name in ("loss", "loss_distill"):
        model.zero_grad()
        model.loss(images, LabelBatch(LABELS))[name].backward()
        moved = {key for key, p in model.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
        reach[name] = {key for key in moved if key.startswith("head.")}
        assert "backbone.conv1.weight" in moved
    assert reach == {"loss": {"head.hard.weight", "head.hard.bias"}, "loss_distill": {"head.fc.weight", "head.fc.bias"}}


def test_without_distillation_it_is_cross_entropy() -> None:
    """The features learn what those of a plain network learn, whose classifier is the hard one."""
    images, model = noise(6, 3, 32, 32), learner(weight=0.0)
    plain = network(0).train()
    plain.load_state_dict(
        {key.replace("head.hard.", "head.fc."): value for key, value in model.state_dict().items() if ".fc." not in key}
    )
    mine, theirs = total_and_gradients(model, images), total_and_gradients(plain, images)
    assert mine.pop("head.fc.weight").abs().max() == mine.pop("head.fc.bias").abs().max() == 0
    renamed = {key.replace("head.hard.", "head.fc."): value for key, value in mine.items()}
    assert renamed.keys() == theirs.keys()
    assert all(torch.equal(renamed[key], theirs[key]) for key in theirs)


def test_a_student_that_agrees_with_its_teacher_has_nothing_to_learn_from_it() -> None:
    model, images = learner(), noise(6, 3, 32, 32)
    model.eval()  # batch norms as in the teacher
    model.set_teachers([copy.deepcopy(model)])
    assert model.loss(images, LabelBatch(LABELS))["loss_distill"].item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("settings", "part"), [({}, "fc"), ({"predict_by": "hard"}, "hard")])
def test_predicts_by_the_chosen_classifier(settings: dict[str, Any], part: str) -> None:
    """In training the logits are the soft ones all the same, which the distillation reads."""
    head, feats = make(**settings), (noise(6, 5).double(),)
    weight, bias = getattr(head, part).weight, getattr(head, part).bias
    expected = feats[0] @ weight.T + bias
    soft = feats[0] @ head.fc.weight.T + head.fc.bias
    assert torch.allclose(head(feats), soft, rtol=1e-14)
    head.eval()
    assert torch.allclose(head(feats), expected, rtol=1e-14)
    assert torch.allclose(head.predict(feats).pred_score, expected.softmax(1), rtol=1e-14)
    assert all(torch.equal(*pair) for pair in zip(head.affine(), (weight, bias), strict=True))
    head.adjust(*(2 * value for value in head.affine()))
    assert torch.allclose(head(feats), 2 * expected, rtol=1e-6)


def test_without_biases() -> None:
    head = make(bias=False, predict_by="hard")
    assert [name for name, _ in head.named_parameters()] == ["fc.weight", "hard.weight"]
    assert head.affine()[1].tolist() == [0.0] * 4


def test_the_priors_that_the_classifiers_answer_for() -> None:
    """The soft one imitates a teacher of balanced batches."""
    sampled = torch.tensor([0.7, 0.2, 0.1, 0.0])
    assert make().trained_prior(sampled).tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0.0])
    assert make(predict_by="hard").trained_prior(sampled).tolist() == sampled.tolist()
    hard = make(predict_by="hard", loss={"type": "BalancedSoftmaxLoss"})
    hard.loss_module.class_distribution.set_counts([7, 2, 1, 1])
    assert hard.trained_prior(sampled[:4] + 0.1).tolist() != sampled.tolist()


def test_another_word_is_refused() -> None:
    with pytest.raises(UserInputError, match=r"predict_by='both' of SelfDistillHead must be 'soft' or 'hard'"):
        make(predict_by="both")


def share_of_a_step() -> dict[str, Tensor]:
    """Losses and gradients of this rank's share of six images; batch norms keep their statistics."""
    model = learner().eval()
    model.head.train()
    share = slice(get_rank() * 6 // get_world_size(), (get_rank() + 1) * 6 // get_world_size())
    return total_and_gradients(model, noise(6, 3, 32, 32)[share], LABELS[share])


def test_two_processes_do_what_one_does(tmp_path: Path) -> None:
    alone, ranks = share_of_a_step(), run_gloo(share_of_a_step, folder=tmp_path)
    for name, value in alone.items():
        torch.testing.assert_close((ranks[0][name] + ranks[1][name]) / 2, value, rtol=1e-4, atol=1e-6)
        assert value.abs().max() > 1e-4 or "backbone" in name
