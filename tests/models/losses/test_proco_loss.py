"""ProCo: values against loops and Monte Carlo, the running distributions, reductions, precision, two processes."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import mpmath
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.distributed import rank_and_world_size
from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import ProCoLoss
from lt_plugins.models.losses.proco_loss import expected_similarity
from lt_plugins.models.structures import ContrastBatch, LabelledQueue
from lt_plugins.models.von_mises_fisher import mean_length
from lt_plugins.models.von_mises_fisher.class_directions import ClassDirections
from tests.battery import noise
from tests.gloo import run_gloo

DIM, COUNTS = 6, (50, 20, 5)
LABELS = torch.tensor([0, 2, 0, 1, 0, 1])


def unit(*shape: int, seed: int = 0) -> Tensor:
    return F.normalize(noise(*shape, seed=seed).double(), dim=-1)


def build(temperature: float = 0.1, dim: int = DIM) -> ProCoLoss:
    torch.manual_seed(0)
    loss = ProCoLoss(dim, len(COUNTS), temperature).double()
    loss.class_distribution.set_counts(COUNTS)
    loss.directions.set_epoch(0, 10)
    return loss


def contrast_of(seed: int, labels: Tensor = LABELS) -> ContrastBatch:
    views = [noise(len(labels), DIM, seed=2 * seed + i).double().requires_grad_() for i in range(2)]
    return ContrastBatch.from_views(views[0], views[1], labels)


class SlowDirections:
    """All features of each class in lists: of this epoch and the one before, and of this epoch alone."""

    def __init__(self, directions: ClassDirections) -> None:
        self.first = directions.mean.clone()
        self.active: list[list[Tensor]] = [[] for _ in COUNTS]
        self.fresh: list[list[Tensor]] = [[] for _ in COUNTS]

    def begin_epoch(self) -> None:
        self.active = [fresh or active for fresh, active in zip(self.fresh, self.active, strict=True)]
        self.active = [list(rows) for rows in self.active]
        self.fresh = [[] for _ in COUNTS]

    def add(self, view: Tensor, labels: Tensor) -> None:
        for row, label in zip(view, labels.tolist(), strict=True):
            self.active[label].append(row)
            self.fresh[label].append(row)

    def mean_and_kappa(self, c: int) -> tuple[Tensor, float]:
        mean = torch.stack(self.active[c]).mean(dim=0) if self.active[c] else self.first[c]
        length = math.sqrt(sum(x * x for x in mean.tolist()))
        kappa = DIM * length / (1 - length**2) if length < 1 - 1e-15 else math.inf
        return mean / length, min(kappa, 1e5)


def log_normaliser(kappa: float, dim: int) -> float:
    """``log C_p(kappa)`` to 40 digits."""
    with mpmath.workdps(40):
        nu = mpmath.mpf(dim) / 2 - 1
        bessel = mpmath.besseli(nu, kappa, maxterms=10**6)
        return float(nu * mpmath.log(kappa) - mpmath.log(bessel) - dim / mpmath.mpf(2) * mpmath.log(2 * mpmath.pi))


def slow_loss(slow: SlowDirections, contrast: ContrastBatch, temperature: float) -> float:
    total, count = 0.0, len(contrast.anchors) // 2
    for view in range(2):
        rows = contrast.anchors.detach()[view * count : (view + 1) * count]
        labels = contrast.anchor_labels[:count]
        slow.add(rows, labels)
        for row, label in zip(rows, labels.tolist(), strict=True):
            logits = []
            for c, images in enumerate(COUNTS):
                mean, kappa = slow.mean_and_kappa(c)
                shifted = float((kappa * mean + row / temperature).norm())
                similarity = log_normaliser(kappa, DIM) - log_normaliser(shifted, DIM)
                logits.append(similarity + math.log(images / sum(COUNTS)))
            highest = max(logits)
            total += highest + math.log(sum(math.exp(x - highest) for x in logits)) - logits[label]
    return total / (2 * count)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_value_is_that_of_the_formula_over_three_epochs(temperature: float) -> None:
    loss = build(temperature)
    slow = SlowDirections(loss.directions)
    for epoch in range(3):
        loss.directions.set_epoch(epoch, 3)
        slow.begin_epoch()
        for step in range(2):
            labels = LABELS if (epoch, step) != (1, 0) else LABELS.clamp(max=1)
            labels = labels.clamp(max=1) if epoch == 1 else labels  # class 2 is absent from the second epoch
            contrast = contrast_of(10 * epoch + step, labels)
            value = loss(contrast)
            assert value.dtype == torch.float64
            assert value.item() == pytest.approx(slow_loss(slow, contrast, temperature), rel=1e-9), (epoch, step)
    assert loss.directions.count.tolist() == [len(rows) for rows in slow.active]
    assert loss.directions.fresh_count.tolist() == [len(rows) for rows in slow.fresh]


def test_gradient_is_that_of_the_formula_and_of_finite_differences() -> None:
    """``A_p`` of the shifted concentration, along it; the means are constants."""
    loss = build()
    loss(contrast_of(0))
    means, kappa = loss.directions.directions_and_kappa()
    rows = unit(4, DIM, seed=3).requires_grad_()
    labels = torch.tensor([0, 1, 2, 0])
    log_priors = loss.class_distribution.log_priors()
    value = F.cross_entropy(expected_similarity(rows, means, kappa, 0.1) + log_priors, labels, reduction="sum")
    (gradients,) = torch.autograd.grad(value, rows)
    for i in range(4):
        row = rows.detach()[i]
        shifted = kappa[:, None] * means + row / 0.1
        slopes = mean_length(shifted.norm(dim=1), DIM)[:, None] * F.normalize(shifted, dim=1) / 0.1
        share = (expected_similarity(row[None], means, kappa, 0.1)[0] + log_priors).softmax(dim=0)
        share[labels[i]] -= 1
        expected = (share[:, None] * slopes).sum(dim=0)
        along = expected @ row  # of the length of the feature, which is 1 and has no meaning
        torch.testing.assert_close(gradients[i] - (gradients[i] @ row) * row, expected - along * row)

    def whole(first: Tensor, second: Tensor) -> Tensor:
        return loss.eval()(ContrastBatch.from_views(first, second, labels[:2]))

    views = [noise(2, DIM, seed=seed).double().requires_grad_() for seed in (5, 6)]
    assert torch.autograd.gradcheck(whole, views)
    assert torch.autograd.gradgradcheck(whole, views, atol=1e-4)
    assert not loss.directions.mean.requires_grad


def draw_on_the_sphere(mean: Tensor, kappa: float, count: int) -> Tensor:
    """Draws from a von Mises-Fisher distribution in three dimensions, by the inverse of that of the cosine."""
    generator = torch.Generator().manual_seed(0)
    share = torch.rand(count, generator=generator, dtype=torch.float64)
    cosine = 1 + torch.log(share + (1 - share) * math.exp(-2 * kappa)) / kappa
    angle = 2 * math.pi * torch.rand(count, generator=generator, dtype=torch.float64)
    sine = (1 - cosine.square()).clamp(min=0).sqrt()
    other = torch.linalg.cross(mean, F.normalize(torch.tensor([0.3, -1.0, 0.2], dtype=torch.float64), dim=0))
    other = F.normalize(other, dim=0)
    third = torch.linalg.cross(mean, other)
    return cosine[:, None] * mean + sine[:, None] * (angle.cos()[:, None] * other + angle.sin()[:, None] * third)


@pytest.mark.parametrize("kappa", [0.5, 4.0, 30.0])
def test_monte_carlo_gives_value_and_sign(kappa: float) -> None:
    """The expectation over draws; the quotient the other way up, which trains backwards, is far from it."""
    mean, features, temperature = unit(3, seed=1), unit(4, 3, seed=2), 0.5
    features[0] = mean
    drawn = draw_on_the_sphere(mean, kappa, 400_000)
    assert drawn.mean(dim=0).norm().item() == pytest.approx(mean_length(torch.tensor(kappa), 3).item(), abs=3e-3)
    similarity = expected_similarity(features, mean[None], torch.tensor([kappa]).double(), temperature)[:, 0]
    values = (features @ drawn.T / temperature).exp()
    estimate, error = values.mean(dim=1), values.std(dim=1) / len(drawn) ** 0.5
    assert (error < 0.01 * estimate).all()
    assert ((similarity.exp() - estimate).abs() < 4 * error).all()
    assert similarity[0] > similarity[1:].max(), "the nearer, the more similar"
    assert similarity[0] > 0.5


def test_rises_with_the_cosine() -> None:
    means, kappa = unit(2, DIM, seed=1), torch.tensor([3.0, 900.0]).double()
    angles = torch.linspace(0, math.pi, 20).double()
    for c in range(2):
        aside = F.normalize(unit(DIM, seed=2) - (unit(DIM, seed=2) @ means[c]) * means[c], dim=0)
        rows = angles.cos()[:, None] * means[c] + angles.sin()[:, None] * aside
        assert (expected_similarity(rows, means, kappa, 0.1)[:, c].diff() < 0).all()


def test_a_tight_class_is_its_direction() -> None:
    """As kappa grows, the similarity becomes that of a prototype; at kappa 0 it says nothing of the feature."""
    rows, means = unit(5, DIM), unit(3, DIM, seed=1)
    tight = expected_similarity(rows, means, torch.full((3,), 1e9).double(), 0.1)
    torch.testing.assert_close(tight, rows @ means.T / 0.1, rtol=0, atol=1e-5)
    flat = expected_similarity(rows, means, torch.zeros(3).double(), 0.1)
    torch.testing.assert_close(flat, flat[:1, :1].expand(5, 3))


def test_equal_distributions_leave_the_prior() -> None:
    loss = build().eval()
    loss.directions.mean.copy_(0.5 * unit(1, DIM).expand(3, DIM))
    shares = torch.tensor(COUNTS).double() / sum(COUNTS)
    assert loss(contrast_of(0)).item() == pytest.approx(-shares[LABELS].log().mean().item(), rel=1e-12)


def test_it_is_the_limit_of_many_candidates() -> None:
    """A supervised contrastive loss, its average inside of the logarithm, over thousands of draws of every class."""
    dim, temperature, drawn_each = 3, 0.5, 60_000
    loss = build(temperature, dim).eval()
    kappas = [4.0, 12.0, 30.0]
    means = unit(3, dim, seed=4)
    # The length whose estimate is the wanted concentration.
    lengths = [(-dim + math.sqrt(dim**2 + 4 * k**2)) / (2 * k) for k in kappas]
    loss.directions.mean.copy_(torch.tensor(lengths).double()[:, None] * means)
    views = [unit(6, dim, seed=seed) for seed in (7, 8)]
    value = loss(ContrastBatch.from_views(views[0], views[1], LABELS)).item()
    anchors = torch.cat(views)
    sums = torch.stack(
        [
            (anchors @ draw_on_the_sphere(mean, kappa, drawn_each).T / temperature).exp().mean(dim=1)
            for mean, kappa in zip(means, kappas, strict=True)
        ],
        dim=1,
    )
    weighted = sums * torch.tensor(COUNTS).double() / sum(COUNTS)
    expected = -(weighted.gather(1, LABELS.repeat(2)[:, None])[:, 0] / weighted.sum(dim=1)).log().mean()
    assert value == pytest.approx(expected.item(), rel=0.01)


def test_a_class_of_one_image_and_one_of_one_direction_are_clamped() -> None:
    directions = ClassDirections(DIM, 3)
    row = unit(1, DIM).float()
    directions.update([row], torch.tensor([1]))
    assert directions.directions_and_kappa()[1][1] == 1e5
    directions.mean[2] = 1.5 * row[0]  # rounding makes a length a little above 1
    kappa = directions.directions_and_kappa()[1]
    assert kappa.tolist()[1:] == [1e5, 1e5]
    assert kappa[0].item() == pytest.approx(90 * DIM / 19, rel=1e-5), "that of a class without a feature"


def test_the_opposite_of_a_direction_has_a_finite_gradient() -> None:
    """At kappa 1 / T it shifts the concentration to 0."""
    means = unit(1, DIM)
    rows = (-means).requires_grad_()
    similarity = expected_similarity(rows, means, torch.tensor([10.0]).double(), 0.1)
    (gradient,) = torch.autograd.grad(similarity.sum(), rows)
    assert similarity.isfinite().all()
    assert gradient.isfinite().all()


def test_means_change_over_with_the_epoch_and_once() -> None:
    loss = build()
    directions = loss.directions
    for _ in range(2):
        loss(contrast_of(1))
    fresh = directions.fresh_mean.clone()
    directions.set_epoch(0, 10)
    assert torch.equal(directions.fresh_mean, fresh), "the same epoch again, as after a resume within it"
    saved = copy.deepcopy(loss.state_dict())
    directions.set_epoch(1, 10)
    assert torch.equal(directions.mean, fresh)
    assert directions.fresh_count.sum() == 0
    resumed = build()
    resumed.load_state_dict(saved)
    resumed.directions.set_epoch(1, 10)
    for name, value in loss.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert torch.equal(loss(contrast_of(2)), resumed(contrast_of(2)))


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_a_batch_that_overflowed_is_left_out(broken: float) -> None:
    loss = build()
    loss(contrast_of(1))
    saved = copy.deepcopy(loss.state_dict())
    view_1, view_2 = unit(6, DIM), unit(6, DIM, seed=1)
    view_2[3, 2] = broken
    assert not loss(ContrastBatch.from_views(view_1, view_2, LABELS)).isfinite()
    for name, value in loss.state_dict().items():
        assert torch.equal(value, saved[name]), f"{name}, though only the second view is broken"


def test_the_second_pass_of_a_step_meets_the_distributions_of_the_first() -> None:
    loss = build()
    directions = loss.directions
    directions.ends_step = False
    first = loss(contrast_of(1))
    saved = copy.deepcopy(loss.state_dict())
    directions.starts_step, directions.ends_step, directions.repeats_batch = False, True, True
    assert torch.equal(loss(contrast_of(1)), first)
    for name, value in loss.state_dict().items():
        assert torch.equal(value, saved[name]), name
    directions.starts_step, directions.repeats_batch = True, False
    assert not torch.equal(loss(contrast_of(1)), first)


def test_evaluation_moves_nothing() -> None:
    loss = build().eval()
    saved = copy.deepcopy(loss.state_dict())
    loss(contrast_of(1))
    assert all(torch.equal(value, saved[name]) for name, value in loss.state_dict().items())


def test_an_empty_class_leaves_the_loss() -> None:
    loss, rest = ProCoLoss(DIM, 3).double().eval(), ProCoLoss(DIM, 2).double().eval()
    loss.class_distribution.set_counts([50, 20, 0])
    rest.class_distribution.set_counts([50, 20])
    rest.directions.mean.copy_(loss.directions.mean[:2])
    labels = LABELS.clamp(max=1)
    torch.testing.assert_close(loss(contrast_of(3, labels)), rest(contrast_of(3, labels)))


def test_half_precision_gives_a_float32_loss_of_float64_functions() -> None:
    contrast = contrast_of(1)
    half = ContrastBatch.from_views(contrast.anchors[:6].half().requires_grad_(), contrast.anchors[6:].half(), LABELS)
    loss = build().float()
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(half)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(build()(contrast).item(), rel=0.05)
    value.backward()


def one_step(labels: Tensor, views: list[Tensor]) -> dict[str, Tensor]:
    """Two steps of this process's share of a batch: loss, gradient and state."""
    loss = build()
    rank, world_size = rank_and_world_size()
    parameter = torch.eye(DIM).double().requires_grad_()
    size = len(labels) // world_size
    mine = slice(rank * size, (rank + 1) * size)
    total = torch.zeros(()).double()
    for step in range(2):
        first, second = (view.roll(step, dims=1)[mine] @ parameter for view in views)
        total = total + loss(ContrastBatch.from_views(first, second, labels[mine]))
    total.backward()
    return {"loss": total.detach(), "grad": parameter.grad, **loss.directions.state_dict()}


def test_two_processes_are_one(tmp_path: Path) -> None:
    views = [noise(6, DIM, seed=seed).double() for seed in (1, 2)]
    one = one_step(LABELS, views)
    ranks = run_gloo(one_step, LABELS, views, folder=tmp_path)
    for name, value in one.items():
        if name in ("loss", "grad"):
            torch.testing.assert_close(torch.stack([rank[name] for rank in ranks]).mean(dim=0), value, msg=name)
        else:
            torch.testing.assert_close(ranks[0][name], value, msg=name)
            assert torch.equal(ranks[0][name], ranks[1][name]), name


def test_it_learns_directions() -> None:
    """Features that the loss moves come together by classes, and the classes part."""
    labels = torch.arange(3).repeat(10)
    rows = torch.nn.Parameter(noise(30, DIM).double())
    loss, optimizer = build(), torch.optim.SGD([rows], lr=5.0)

    def cosines() -> tuple[float, float]:
        units = F.normalize(rows.detach(), dim=1)
        cosine, same = units @ units.T, labels[:, None] == labels
        return cosine[same].mean().item(), cosine[~same].mean().item()

    assert cosines()[0] < 0.2
    for epoch in range(40):
        loss.directions.set_epoch(epoch, 40)
        views = [rows + 0.05 * noise(30, DIM, seed=2 * epoch + i).double() for i in range(2)]
        optimizer.zero_grad()
        loss(ContrastBatch.from_views(views[0], views[1], labels)).backward()
        optimizer.step()
    within, between = cosines()
    assert within > 0.5
    assert between < -0.1


def test_what_it_refuses() -> None:
    with pytest.raises(UserInputError, match=r"temperature=0 must be positive, like 0\.1"):
        ProCoLoss(DIM, 3, 0)
    with pytest.raises(UserInputError, match=r"dim=1 of the projections must be 2 or more, and num_classes=3 1"):
        ProCoLoss(1, 3)
    loss = build()
    with pytest.raises(UserInputError, match=r"class counts of shape \(2,\) do not fit num_classes=3"):
        loss.class_distribution.set_counts([3, 4])
    with pytest.raises(UserInputError, match=r"candidates of shape \(2, 5\) and expected \(2, 6\)"):
        loss(ContrastBatch.from_views(unit(1, 5), unit(1, 5), torch.tensor([0])))
    queue = LabelledQueue(4, DIM).double()
    with pytest.raises(UserInputError, match=r"candidates of shape \(6, 6\) and expected \(2, 6\): both views"):
        loss(ContrastBatch.from_views(unit(1, DIM), unit(1, DIM), torch.tensor([0]), queue=queue))
    with pytest.raises(UserInputError, match="the class counts are not known yet"):
        ProCoLoss(DIM, 3)(contrast_of(0))
