"""The balanced contrastive loss: formula, reductions, sums over classes without a table."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.distributed import rank_and_world_size
from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import BCLLoss, SupConLoss
from lt_plugins.models.losses.bcl_loss import class_sizes
from lt_plugins.models.structures import ContrastBatch, LabelledQueue
from lt_plugins.models.structures.contrast_batch import compare_views
from tests.gloo import run_gloo
from tests.models.reference import others, random_contrast, similarity, two_view_contrast

NUM_CLASSES = 5


def reference(contrast: ContrastBatch, temperature: float, compared: dict[int, list[int]] | None = None) -> float:
    """METHODS_BEYOND 5, one anchor after the other, with sets of candidates by class."""
    total = 0.0
    for i in range(len(contrast.anchors)):
        label = int(contrast.anchor_labels[i])
        of_class: dict[int, list[float]] = {}
        for j in others(contrast, i) if compared is None else compared[i]:
            score = similarity(contrast, i, j, temperature)
            of_class.setdefault(int(contrast.candidate_labels[j]), []).append(score)
        denominator = sum(sum(map(math.exp, scores)) / len(scores) for scores in of_class.values())
        positives = of_class.get(label, [])
        total -= sum(score - math.log(denominator) for score in positives) / max(1, len(positives))
    return total / len(contrast.anchors)


def prototypes(seed: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(NUM_CLASSES, 5, generator=generator, dtype=torch.float64)).requires_grad_()


@pytest.mark.parametrize("with_prototypes", [False, True])
def test_equals_the_formula(with_prototypes: bool) -> None:
    """Anchors of classes that come once and often, classes that are not in the batch, a queue with unused slots."""
    for seed in range(4):
        for contrast in (random_contrast(seed=seed), two_view_contrast(seed=seed)):
            given = contrast.with_prototypes(prototypes(seed)) if with_prototypes else contrast
            value = BCLLoss(temperature=0.2)(given)
            assert value.dtype == torch.float64
            assert value.item() == pytest.approx(reference(given, 0.2), rel=1e-10)


def test_equals_the_formula_where_a_query_meets_its_own_key_alone() -> None:
    """As in MoCo: the keys of other images count for no class."""
    generator = torch.Generator().manual_seed(0)
    queries, keys = torch.randn(2, 4, 5, generator=generator, dtype=torch.float64)
    labels = torch.tensor([0, 2, 2, 4])
    queue = LabelledQueue(6, 5).double()
    queue.enqueue(
        F.normalize(torch.randn(5, 5, generator=generator, dtype=torch.float64)), *torch.tensor([[2, 0, 1, 1, 2]] * 2)
    )
    contrast = ContrastBatch.from_queries(queries, keys, labels, queue=queue, compare_batch=False)
    expected = reference(contrast, 0.1, {i: [i, *range(4, 9)] for i in range(4)})
    assert BCLLoss()(contrast).item() == pytest.approx(expected, rel=1e-10)


def test_sizes_of_classes() -> None:
    labels = torch.tensor([0, 1, 1])
    features = torch.randn(3, 4)
    contrast = ContrastBatch.from_views(features, features, labels).with_prototypes(F.normalize(torch.randn(3, 4)))
    # Of class 0 two views and a prototype, of class 1 four views and one, of class 2 the prototype alone.
    assert class_sizes(contrast)[0].tolist() == [3, 5, 5, 2, 5, 5, 2, 5, 1], "the anchor itself left out of its class"
    assert class_sizes(contrast)[1].tolist() == [3, 5, 4, 3, 4, 4, 3, 4, 1]


def test_equal_classes_give_supcon_less_a_constant() -> None:
    """As many candidates of each class without the anchor: two images of its own against three of the others."""
    generator = torch.Generator().manual_seed(0)
    candidates = F.normalize(torch.randn(10, 6, generator=generator, dtype=torch.float64), dim=1)
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 2, 2, 2])
    contrast = ContrastBatch(candidates[:4], labels[:4], candidates, labels, torch.arange(4))
    difference = SupConLoss(0.1)(contrast) - BCLLoss(0.1)(contrast)
    assert difference.item() == pytest.approx(math.log(3), rel=1e-12)


def test_one_candidate_a_class_is_cross_entropy_of_the_prototypes() -> None:
    """Anchors that are no candidates, compared with prototypes alone."""
    anchors = F.normalize(torch.randn(6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    labels, none = torch.arange(6) % NUM_CLASSES, torch.zeros(0, dtype=torch.int64)
    contrast = ContrastBatch(anchors, labels, anchors[:0], none, None).with_prototypes(prototypes())
    expected = F.cross_entropy(anchors @ prototypes().T / 0.1, labels)
    torch.testing.assert_close(BCLLoss(0.1)(contrast), expected, rtol=1e-10, atol=0)


def test_a_class_weighs_the_same_however_often_it_comes() -> None:
    """Each candidate of the other classes twice: the same loss, where SupCon's grows."""
    contrast = random_contrast(unused=0).with_prototypes(prototypes())
    copies = torch.arange(len(contrast.candidates))
    for label in range(NUM_CLASSES):
        of_others = copies[contrast.candidate_labels != label]
        mine = (contrast.anchor_labels == label).nonzero().flatten()
        if not len(mine):
            continue
        assert contrast.anchor_positions is not None
        single = dataclasses.replace(
            contrast,
            anchors=contrast.anchors[mine],
            anchor_labels=contrast.anchor_labels[mine],
            anchor_positions=contrast.anchor_positions[mine],
        )
        doubled = dataclasses.replace(
            single,
            candidates=torch.cat([contrast.candidates, contrast.candidates[of_others]]),
            candidate_labels=torch.cat([contrast.candidate_labels, contrast.candidate_labels[of_others]]),
        )
        assert BCLLoss()(doubled).item() == pytest.approx(BCLLoss()(single).item(), rel=1e-12)
        assert SupConLoss()(doubled).item() > SupConLoss()(single).item() + 0.1


def test_gradient() -> None:
    def value(view_1: Tensor, view_2: Tensor, rows: Tensor) -> Tensor:
        contrast = ContrastBatch.from_views(view_1, view_2, torch.tensor([0, 3, 3]))
        return BCLLoss(temperature=0.3)(contrast.with_prototypes(F.normalize(rows)))

    generator = torch.Generator().manual_seed(0)
    inputs = [
        torch.randn(rows, 5, generator=generator, dtype=torch.float64, requires_grad=True)
        for rows in (3, 3, NUM_CLASSES)
    ]
    assert torch.autograd.gradcheck(value, inputs)


def test_half_precision_is_summed_in_float32() -> None:
    """Exponents of 1 / 0.07 and thousands of summands need digits that bfloat16 has not."""
    generator = torch.Generator().manual_seed(0)
    first, second = F.normalize(torch.randn(2, 64, 16, generator=generator), dim=2).bfloat16()
    rows = F.normalize(torch.randn(2000, 16, generator=generator)).bfloat16()
    labels = torch.randint(2000, (64,), generator=generator)
    values = []
    for dtype in (torch.float64, torch.bfloat16):
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16):
            contrast = compare_views((first.to(dtype), second.to(dtype)), labels, None, None, num_anchor_views=2)
            values.append(BCLLoss(temperature=0.07)(contrast.with_prototypes(rows)))
    assert values[1].dtype == torch.float32
    torch.testing.assert_close(values[1].double(), values[0], rtol=1e-5, atol=0)


def share_of_a_batch(weights: Tensor) -> dict[str, Tensor]:
    """This rank's loss of its share of a batch, and the gradients."""
    rank, world_size = rank_and_world_size()
    generator = torch.Generator().manual_seed(0)
    views = torch.randn(2, 8, 5, generator=generator, dtype=torch.float64)
    labels = torch.tensor([0, 0, 1, 0, 0, 2, 0, 1])  # the ranks have other classes
    share = slice(rank * 8 // world_size, (rank + 1) * 8 // world_size)
    net, projector = torch.nn.Linear(5, 5).double(), weights.clone().requires_grad_()
    torch.nn.init.eye_(net.weight)
    torch.nn.init.zeros_(net.bias)
    contrast = ContrastBatch.from_views(net(views[0, share]), net(views[1, share]), labels[share])
    loss = BCLLoss()(contrast.with_prototypes(F.normalize(projector)))
    loss.backward()
    assert net.weight.grad is not None and projector.grad is not None
    return {"loss": loss.detach(), "net": net.weight.grad, "prototypes": projector.grad}


def test_two_processes_do_what_one_does(tmp_path: Path) -> None:
    rows = prototypes().detach()
    alone = share_of_a_batch(rows)
    ranks = run_gloo(share_of_a_batch, rows, folder=tmp_path)
    for name, value in alone.items():
        assert float(value.abs().max()) > 1e-3
        torch.testing.assert_close((ranks[0][name] + ranks[1][name]) / 2, value, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("temperature", [0.0, -0.1, math.nan])
def test_refuses_a_temperature_that_is_not_positive(temperature: float) -> None:
    with pytest.raises(UserInputError, match=r"must be positive, like 0\.1"):
        BCLLoss(temperature=temperature)
