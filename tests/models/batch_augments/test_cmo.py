"""CMO pastes boxes whose statistics are counted out here pixel by pixel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.datasets.samplers import ClassBalancedSampler, CompanionBatchSampler
from lt_plugins.errors import UserInputError
from lt_plugins.models.batch_augments import CMO
from lt_plugins.models.losses import LDAMLoss, RIDELoss, WeightedCrossEntropyLoss
from tests.gloo import run_gloo

COUNTS = [60, 20, 5]
BACKGROUND, FOREGROUND = torch.tensor([0, 0, 1, 0, 2]), torch.tensor([2, 1, 0, 2, 1])


def batch(size: tuple[int, int] = (7, 9)) -> tuple[Tensor, Tensor]:
    """Backgrounds and foregrounds; each pixel is the number of its image and place."""
    images = torch.arange(10 * 3 * size[0] * size[1], dtype=torch.float64).reshape(10, 3, *size)
    return images, F.one_hot(torch.cat([BACKGROUND, FOREGROUND]), 3)


def run(cmo: Any, seed: int, size: tuple[int, int] = (7, 9)) -> tuple[Tensor, Tensor]:
    cmo.set_seed(seed)
    return cmo(*batch(size))


def inside(place: int, centre: int, side: int) -> bool:
    """Whether a row or column lies within half a side, rounded down, of the centre: before it, and not after."""
    return centre - side // 2 <= place < centre + side // 2


def test_statistics_of_the_box() -> None:
    """How often each pixel is cut out, and the share that is left: exact expectations over all sides and centres."""
    size, draws = 8, 5000
    # The side is s where sqrt(1 - share) lies in [s / size, (s + 1) / size), and the share is uniform.
    of_side = [((s + 1) ** 2 - s**2) / size**2 for s in range(size)]
    along = [[sum(inside(p, c, s) for c in range(size)) / size for p in range(size)] for s in range(size)]
    covered = torch.tensor(
        [[sum(w * along[s][r] * along[s][c] for s, w in enumerate(of_side)) for c in range(size)] for r in range(size)]
    )
    cmo = CMO(prob=1.0)
    images = torch.cat([torch.zeros(1, 1, size, size), torch.ones(1, 1, size, size)])
    drawn = [cmo(images, torch.eye(2)) for _ in range(draws)]
    cut = torch.stack([mixed[0, 0] for mixed, _ in drawn])
    foreground = torch.stack([shares[0, 1] for _, shares in drawn])
    torch.testing.assert_close(foreground, cut.mean(dim=(1, 2)))  # labels count by the clipped area
    torch.testing.assert_close(cut.mean(dim=0), covered, rtol=0, atol=0.04)  # six standard deviations
    assert float(foreground.mean()) == pytest.approx(float(covered.mean()), abs=0.02)
    assert covered[0, 0] < covered[4, 4], "a box is clipped at the borders, so that corners are cut less often"


@pytest.mark.parametrize("seed", range(5))
def test_images_and_labels_of_a_batch(seed: int) -> None:
    cmo = CMO(alpha=0.7, prob=1.0)
    generator = np.random.default_rng(np.random.SeedSequence([seed, 0], spawn_key=(1,)))
    generator.random()  # whether to mix
    share, row, column = generator.beta(0.7, 0.7), int(generator.integers(7)), int(generator.integers(9))
    sides = [int(length * (1 - share) ** 0.5) for length in (7, 9)]
    images, _ = batch()
    mixed, shares = run(cmo, seed)
    assert mixed.shape == (5, 3, 7, 9)
    cut = 0
    for r in range(7):
        for c in range(9):
            is_cut = inside(r, row, sides[0]) and inside(c, column, sides[1])
            cut += is_cut
            assert torch.equal(mixed[:, :, r, c], images[5:, :, r, c] if is_cut else images[:5, :, r, c])
    for i, (background, foreground) in enumerate(zip(BACKGROUND, FOREGROUND, strict=True)):
        expected = torch.zeros(3, dtype=torch.float64)
        expected[background] += 1 - cut / 63
        expected[foreground] += cut / 63
        torch.testing.assert_close(shares[i], expected, rtol=0, atol=1e-12)


def test_half_of_the_batches_are_mixed() -> None:
    cmo, (images, scores) = CMO(), batch((32, 32))
    unmixed = sum(torch.equal(cmo(images, scores)[0], images[:5]) for _ in range(1000))
    # A box may also be empty: the side is 0 or 1 pixels.
    assert unmixed / 1000 == pytest.approx(0.5 + 0.5 * (2 / 32) ** 2, abs=0.07)


def test_without_mixing_the_backgrounds_are_left() -> None:
    images, scores = batch()
    for cmo in (CMO(prob=0.0), CMO(mix_from=1), CMO(mix_until=0)):
        for seed in range(8):
            mixed, shares = run(cmo, seed)
            assert torch.equal(mixed, images[:5])
            assert torch.equal(shares, scores[:5].double())


def test_one_box_a_step() -> None:
    """Batches whose gradients are accumulated share it, and the decision to mix."""
    cmo = CMO(prob=0.7)
    for steps in range(6):
        cmo.starts_step = True
        first = run(cmo, 0)[0] if not steps else cmo(*batch())[0]
        cmo.starts_step = False
        assert torch.equal(cmo(*batch())[0], first)


def test_epochs() -> None:
    cmo = CMO(prob=1.0, mix_from=4, mix_until=197)
    texts = [cmo.set_epoch(epoch, 200) for epoch in range(200)]
    active = [epoch for epoch, text in enumerate(texts) if text == "pastes boxes of foregrounds"]
    assert active == [epoch for epoch in range(200) if 3 < epoch < 200 - 3], "as released"
    cmo.set_epoch(4, 200)
    assert cmo.is_active
    assert CMO().is_active
    assert not CMO(mix_from=1).is_active


def batches_of_an_epoch() -> list[tuple[Tensor, Tensor]]:
    """What CMO makes on this rank of six batches, 12 images of all ranks together."""
    labels = np.arange(72) % 3
    images = torch.randn(72, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    scores = F.one_hot(torch.from_numpy(labels), 3)
    ordinary, companion = (ClassBalancedSampler(labels, power=power, seed=1) for power in (1.0, 0.0))
    size = 12 // (torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1)
    batches = CompanionBatchSampler(ordinary, size, [companion])
    batches.set_epoch(2, 5)
    cmo = CMO()
    cmo.set_seed(3)
    cmo.set_epoch(2, 5)
    return [cmo(images[indices], scores[indices]) for indices in batches]


def test_two_processes_mix_as_one(tmp_path: Path) -> None:
    """The same steps are mixed, by the same boxes; ranks take turns with backgrounds and with their foregrounds."""
    alone = batches_of_an_epoch()
    ranks = run_gloo(batches_of_an_epoch, folder=tmp_path)
    is_mixed = [bool(((shares > 0) & (shares < 1)).any()) for _, shares in alone]
    assert len(alone) == 6
    assert True in is_mixed
    assert False in is_mixed
    for step, whole in enumerate(alone):
        for part, expected in enumerate(whole):
            found = torch.stack([rank[step][part] for rank in ranks], dim=1).flatten(0, 1)
            assert torch.equal(found, expected)


@pytest.mark.parametrize("name", ["ce-drw", "ldam-drw", "ride"])
def test_losses_as_released(name: str) -> None:
    """Each label's loss divided by its own weights: share * L(background) + (1 - share) * L(foreground)."""
    settings: dict[str, Any] = {"class_weight": "effective_number", "normalize_by": "labels"}
    kinds: dict[str, Any] = {"ce-drw": WeightedCrossEntropyLoss, "ldam-drw": LDAMLoss, "ride": RIDELoss}
    loss = kinds[name](**settings, **({"diversity_weight": 0.0} if name == "ride" else {}))
    loss.class_distribution.set_counts(COUNTS)
    generator = torch.Generator().manual_seed(2)
    shape = (5, 3, 3) if name == "ride" else (5, 3)
    logits = torch.randn(shape, dtype=torch.float64, generator=generator)
    weights = loss.current_weight().tolist()
    _, shares = run(CMO(prob=1.0), 3)
    left = float(shares[0, BACKGROUND[0]])
    assert 0.5 < left < 1

    def mean(labels: Tensor) -> float:
        losses = loss.per_sample(logits, labels).tolist()
        of_images = [weights[label] for label in labels.tolist()]
        return sum(w * value for w, value in zip(of_images, losses, strict=True)) / sum(of_images)

    expected = left * mean(BACKGROUND) + (1 - left) * mean(FOREGROUND)
    assert float(loss(logits, shares)) == pytest.approx(expected, rel=1e-12)
    loss.normalize_by = "weights"
    assert float(loss(logits, shares)) != pytest.approx(expected, rel=1e-3), "the other divisor is another loss"


def test_what_is_out_of_range() -> None:
    for arguments, message in (
        ({"alpha": -1.0}, "alpha=-1.0 of CMO must be positive"),
        ({"prob": 1.1}, r"prob=1.1 of CMO must be in \[0, 1\]"),
        ({"mix_from": -1}, "mix_from=-1 and mix_until=None of CMO must be epochs"),
        ({"mix_from": 5, "mix_until": 4}, "mix_from=5 and mix_until=4 of CMO"),
    ):
        with pytest.raises(UserInputError, match=message):
            CMO(**arguments)
    with pytest.raises(UserInputError, match="backgrounds and as many foregrounds, and got 9 images"):
        CMO()(torch.zeros(9, 3, 4, 4), torch.zeros(9, 3))
