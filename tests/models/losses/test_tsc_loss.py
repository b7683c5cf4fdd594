"""TSC: its value against a loop, its reductions, and which state follows what."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.distributed import rank_and_world_size
from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import KCLLoss, SupConLoss, TSCLoss
from lt_plugins.models.losses.kcl_loss import draw_positives
from lt_plugins.models.structures import ContrastBatch, LabelledQueue
from tests.gloo import run_gloo
from tests.models.reference import supcon, tsc, two_view_contrast
from tests.models.test_classifiers import NUM_CLASSES, batch
from tests.models.test_classifiers import build as build_model

CLASSES, DIM = 4, 5


def contrast_of(seed: int = 0, **settings: Any) -> ContrastBatch:
    return two_view_contrast(num_images=8, num_classes=CLASSES - 1, dim=DIM, seed=seed, **settings)  # class 3 is absent


def build(**settings: Any) -> TSCLoss:
    loss = TSCLoss(**{"num_positives": 2, "temperature": 0.2, **settings}).double()
    loss.class_distribution.set_counts([9, 5, 2, 1])
    return loss


def matched(**settings: Any) -> TSCLoss:
    """A loss after its first epoch of one step."""
    loss = build(**settings)
    loss(contrast_of(9))
    loss.set_epoch(1, 4)
    return loss


def unit_rows(*shape: int, seed: int) -> Tensor:
    rows = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return F.normalize(rows, dim=-1)


def slow_means(means: list[list[float]], anchors: Tensor, labels: Tensor, momentum: float) -> list[list[float]]:
    """METHODS 8.3: ``.9 mu + .1 mean``, both of length 1, for the classes of the batch."""

    def unit(row: list[float]) -> list[float]:
        length = math.sqrt(sum(a * a for a in row))
        return [a / length for a in row]

    moved = []
    for label, mean in enumerate(means):
        rows = [row for row, of in zip(anchors.tolist(), labels.tolist(), strict=True) if of == label]
        if not rows:
            moved.append(mean)
            continue
        batch_mean = unit([sum(column) / len(rows) for column in zip(*rows, strict=True)])
        moved.append(unit([momentum * a + (1 - momentum) * b for a, b in zip(mean, batch_mean, strict=True)]))
    return moved


@pytest.mark.parametrize("mean_over", ["all", "images"])
@pytest.mark.parametrize("queue", [1, 7])
def test_value_is_that_of_the_formula(mean_over: str, queue: int) -> None:
    loss, contrast = matched(mean_over=mean_over, target_weight=0.3), contrast_of(queue=queue, unused=min(queue, 2))
    drawn = draw_positives(contrast, 2, torch.Generator().manual_seed(7))
    expected = tsc(contrast, lambda i, j: bool(drawn[i, j]), loss.targets, 0.2, 0.3, mean_over)
    assert float(loss.eval()(contrast, drawn)) == pytest.approx(expected, rel=1e-12)
    assert float(loss(contrast, generator=torch.Generator().manual_seed(7))) == pytest.approx(expected, rel=1e-12)


def test_value_with_private_keys_and_a_queue() -> None:
    """As the ``MomentumClassifier`` compares: own key, queue, and targets."""
    loss = matched(num_positives=100)
    queue = LabelledQueue(6, DIM)
    queue.enqueue(unit_rows(4, DIM, seed=1).float(), torch.tensor([0, 1, 1, 2]))
    queries, keys, labels = unit_rows(3, DIM, seed=2), unit_rows(3, DIM, seed=3), torch.tensor([1, 0, 3])
    value = loss(ContrastBatch.from_queries(queries, keys, labels, queue=queue, compare_batch=False))
    total = 0.0
    for query, key, label in zip(queries, keys, labels.tolist(), strict=True):
        candidates = [key, *queue.features[:4].double(), *loss.targets]
        scores = [float(query @ candidate) / 0.2 for candidate in candidates]
        log_sum = math.log(sum(math.exp(score) for score in scores))
        positives = [0, *(1 + place for place in range(4) if int(queue.labels[place]) == label)]
        terms = sum(scores[place] - log_sum for place in positives) + 0.2 * (scores[5 + label] - log_sum)
        total -= terms / (len(positives) + 1) / 3
    assert float(value) == pytest.approx(total, rel=1e-6)  # the queue is kept in float32


@pytest.mark.parametrize("mean_over", ["all", "images"])
def test_the_gradient_of_the_projections(mean_over: str) -> None:
    loss, contrast = matched(mean_over=mean_over).eval(), contrast_of()
    drawn = draw_positives(contrast, 2)

    def value(anchors: Tensor) -> Tensor:
        return loss(dataclasses.replace(contrast, anchors=anchors, candidates=anchors.repeat(2, 1)[:23]), drawn)

    anchors = contrast.anchors.detach().requires_grad_()
    assert torch.autograd.gradcheck(value, anchors)


def test_reductions() -> None:
    contrast = contrast_of()
    drawn = draw_positives(contrast, 2)
    # Before the first matching: KCL, and with enough positives SupCon.
    assert float(build()(contrast, drawn)) == float(KCLLoss(2, 0.2)(contrast, drawn))
    assert float(build(num_positives=100)(contrast)) == pytest.approx(float(SupConLoss(0.2)(contrast)), rel=1e-12)
    # Without weight: KCL whose denominators also have the targets.
    loss = matched(mean_over="images", target_weight=0.0)
    nobody = 100 + torch.arange(CLASSES)
    negatives = dataclasses.replace(
        contrast,
        candidates=torch.cat([contrast.candidates, loss.targets]),
        candidate_labels=torch.cat([contrast.candidate_labels, nobody]),
        candidate_samples=None,
    )
    expected = KCLLoss(2, 0.2)(negatives, F.pad(drawn, (0, CLASSES)))
    assert float(loss(contrast, drawn)) == pytest.approx(float(expected), rel=1e-12)
    # With a weight of 1 the target is one more positive.
    loss = matched(target_weight=1.0)
    same = dataclasses.replace(negatives, candidates=torch.cat([contrast.candidates, loss.targets]))
    weights = torch.cat([(drawn | contrast.other_view), F.one_hot(contrast.anchor_labels, CLASSES).bool()], dim=1)
    assert float(loss(contrast, drawn)) == pytest.approx(supcon(same, lambda i, j: float(weights[i, j]), 0.2), rel=1e-9)
    # Without drawn positives and targets: InfoNCE.
    assert float(build(num_positives=0)(contrast)) == pytest.approx(float(KCLLoss(0, 0.2)(contrast)), rel=1e-12)


def test_the_same_weight_counts_more_beside_the_mean_of_the_images() -> None:
    """``mean_over`` scales the terms: 1 / (k + 2) both, or 1 / (k + 1) and 1."""
    contrast = contrast_of()
    nothing = torch.zeros_like(contrast.valid)
    targets = matched().targets

    def terms(mean_over: str) -> tuple[float, float]:
        values = [float(matched(mean_over=mean_over, target_weight=w).eval()(contrast, nothing)) for w in (0.0, 1.0)]
        return values[0], values[1] - values[0]

    assert torch.equal(targets, matched(mean_over="images").targets)
    (images, target), (all_images, all_target) = terms("images"), terms("all")
    assert all_images == pytest.approx(images / 2)
    assert all_target == pytest.approx(target / 2)


@pytest.mark.parametrize("momentum", [0.9, 0.0])
def test_class_means_follow_the_formula(momentum: float) -> None:
    loss = build(momentum=momentum)
    means = [[0.0] * DIM for _ in range(CLASSES)]
    for seed in range(4):
        contrast = contrast_of(seed)
        before = loss.class_means.clone()
        loss(contrast)
        means = slow_means(means, contrast.anchors, contrast.anchor_labels, momentum)
        torch.testing.assert_close(loss.class_means, torch.tensor(means, dtype=torch.float64), rtol=1e-12, atol=1e-14)
        assert not len(before) or not torch.equal(before, loss.class_means)
    assert torch.equal(loss.class_means[3], torch.zeros(DIM, dtype=torch.float64)), "of a class that never came"


def test_matching_is_the_best_of_all() -> None:
    """By trying them all, in both schedules; the points stay the same ones."""
    for match in ("epoch", "step"):
        loss = build(match=match)
        loss.class_distribution.set_counts([1] * 6)
        texts = []
        for epoch in range(3):
            texts.append(loss.set_epoch(epoch, 3))
            assert len(loss.targets) == (6 if epoch else 0)
            loss(two_view_contrast(num_images=20, num_classes=6, dim=DIM, seed=epoch))
        loss.set_epoch(3, 4)
        means = loss.class_means
        best = max(
            sum(float(means[c] @ loss.targets[t]) for c, t in enumerate(order))
            for order in itertools.permutations(range(6))
        )
        assert float((means * loss.targets).sum()) == pytest.approx(best, rel=1e-12)
        off_diagonal = (loss.targets @ loss.targets.T)[~torch.eye(6, dtype=torch.bool)]
        torch.testing.assert_close(off_diagonal, torch.full_like(off_diagonal, -0.2), rtol=0, atol=1e-6)
        if match == "step":
            assert texts == [None] * 3
        else:
            assert texts[:2] == [None, "6 uniform targets in 5 dimensions"]
            assert str(texts[2]).endswith(" of 6 classes have another target")


def test_matching_every_epoch_waits_for_the_epoch() -> None:
    loss = matched()
    targets = loss.targets.clone()
    for seed in range(3):
        loss(contrast_of(seed))
    assert torch.equal(loss.targets, targets)
    # Classes that changed places take each other's target.
    loss.class_means.copy_(targets[[1, 0, 3, 2]])
    assert loss.set_epoch(2, 4) == "4 of 4 classes have another target"
    assert torch.equal(loss.targets, targets[[1, 0, 3, 2]])
    assert loss.set_epoch(3, 4) == "0 of 4 classes have another target"


def test_targets_follow_from_the_seed() -> None:
    made = []
    for seed in (0, 0, 1):
        loss = build()
        loss.set_seed(seed)
        loss(contrast_of())
        loss.set_epoch(1, 2)
        made.append(loss.targets)
    assert torch.equal(made[0], made[1])
    assert not torch.allclose(made[0], made[2])


def test_two_batches_of_one_step_are_one_batch() -> None:
    for match in ("epoch", "step"):
        one, other = matched(match=match), matched(match=match)
        contrast = contrast_of()
        one(contrast)
        assert contrast.anchor_positions is not None
        assert contrast.other_view_positions is not None
        for part, flags in ((slice(0, 5), (True, False)), (slice(5, 16), (False, True))):
            other.starts_step, other.ends_step = flags
            targets = other.targets.clone()
            half = dataclasses.replace(
                contrast,
                anchors=contrast.anchors[part],
                anchor_labels=contrast.anchor_labels[part],
                anchor_positions=contrast.anchor_positions[part],
                other_view_positions=contrast.other_view_positions[part],
            )
            value = float(other(half, torch.zeros_like(half.valid)))
            assert value == pytest.approx(tsc(half, lambda i, j: False, targets, 0.2, 0.2), rel=1e-12)
        torch.testing.assert_close(other.class_means, one.class_means, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(other.targets, one.targets)


def test_the_second_pass_of_a_step_moves_the_means_by_the_first() -> None:
    loss, other = matched(match="step"), matched(match="step")
    loss(contrast_of(1))
    other.ends_step = False
    before = other.targets.clone()
    other(contrast_of(1))
    other.starts_step, other.ends_step, other.repeats_batch = False, True, True
    second = contrast_of(2)
    nothing = torch.zeros_like(second.valid)
    assert float(other(second, nothing)) == pytest.approx(tsc(second, lambda i, j: False, before, 0.2, 0.2), rel=1e-12)
    assert torch.equal(other.class_means, loss.class_means)
    assert torch.equal(other.targets, loss.targets)


def test_what_moves_no_mean() -> None:
    loss = matched()
    before = loss.class_means.clone()
    loss.eval()(contrast_of(1))
    loss.train()
    broken = contrast_of(1)
    with torch.no_grad():
        broken.anchors[3, 2] = torch.nan
    loss(broken)
    assert torch.equal(loss.class_means, before)
    loss(contrast_of(1))
    assert not torch.equal(loss.class_means, before)


def test_a_restored_state_goes_on_as_the_run_that_was_left_alone() -> None:
    left = build()
    left(contrast_of(0))
    for killed_after in (0, 1):
        again = build()
        again.load_state_dict(copy.deepcopy(left.state_dict()))
        for seed in range(3):
            values = []
            for loss in (left, again):
                loss.set_epoch(1 + killed_after, 4)
                values.append(loss(contrast_of(seed), generator=torch.Generator().manual_seed(seed)))
            assert torch.equal(*values)
            for name in ("targets", "class_means"):
                assert torch.equal(left.get_buffer(name), again.get_buffer(name))
        assert len(left.targets) == CLASSES


def test_half_precision_keeps_the_loss_in_float32() -> None:
    loss = TSCLoss()
    loss.class_distribution.set_counts([1] * 3)
    views = unit_rows(2, 6, DIM, seed=0).float()
    for _ in range(2):
        contrast = ContrastBatch.from_views(views[0].bfloat16(), views[1].bfloat16(), torch.arange(3).repeat(2))
        value = loss(contrast)
        loss.set_epoch(1, 2)
    assert value.dtype == loss.class_means.dtype == torch.float32
    exact = matched(num_positives=6, temperature=0.07)
    exact.targets.resize_(3, DIM).copy_(loss.targets.double())
    exact.class_distribution.set_counts([1] * 3)
    expected = exact.eval()(ContrastBatch.from_views(views[0].double(), views[1].double(), torch.arange(3).repeat(2)))
    assert float(value) == pytest.approx(float(expected), rel=0.05)


def shares_of_two_steps() -> dict[str, Tensor]:
    """This rank's share of three steps of TSC, matched before the second and third."""
    head = dict(
        type="SupConHead",
        num_classes=NUM_CLASSES,
        in_channels=64,
        loss=dict(type="TSCLoss", num_positives=100, target_weight=1.0, mean_over="images"),
    )
    # Statistics of the batch would differ between processes; all else is compared.
    model = build_model(head=head, compare_batch=False, queue_size=12).eval()
    loss_module = model.head.loss_module.train()
    rank, ranks = rank_and_world_size()
    share = slice(rank * 8 // ranks, (rank + 1) * 8 // ranks)
    losses = []
    for step in range(3):
        views, samples, _ = batch(8, seed=step)
        loss_module.set_seed(100 * rank)  # that of the main process counts
        loss_module.set_epoch(step, 3)
        model.zero_grad()
        loss = model.loss([view[share] for view in views], samples[share])["loss_contrast"]
        loss.backward()
        losses.append(loss.detach())
    gradient = torch.cat([p.grad.flatten() for p in model.backbone.parameters()])
    return {
        "losses": torch.stack(losses),
        "gradient": gradient,
        "targets": loss_module.targets,
        "means": loss_module.class_means,
    }


def test_two_processes_do_what_one_does(tmp_path: Path) -> None:
    alone = shares_of_two_steps()
    ranks = run_gloo(shares_of_two_steps, folder=tmp_path)
    for name in ("losses", "gradient"):
        mean = (ranks[0][name] + ranks[1][name]) / 2
        torch.testing.assert_close(mean, alone[name], rtol=1e-4, atol=1e-6)
    assert float(alone["gradient"].abs().max()) > 1e-3
    for rank in ranks:
        torch.testing.assert_close(rank["means"], alone["means"], rtol=0, atol=1e-6)
        assert torch.equal(rank["targets"], alone["targets"])
    assert float(alone["targets"].norm(dim=1).min()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (dict(target_weight=-1), "target_weight=-1 must be 0 or more"),
        (dict(momentum=1), r"momentum=1 of the class means must be in \[0, 1\)"),
        (dict(mean_over="some"), "mean_over='some' must be one of"),
        (dict(match="hour"), "match='hour' one of"),
        (dict(temperature=0), "temperature=0 positive"),
    ],
)
def test_refuses_settings_without_meaning(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        TSCLoss(**bad)


def test_needs_class_counts() -> None:
    with pytest.raises(UserInputError, match="class counts"):
        TSCLoss()(contrast_of())
