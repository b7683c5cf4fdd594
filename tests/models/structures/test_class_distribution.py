import math

import pytest
import torch
import torch.nn.functional as F

from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import ClassDistribution


def test_groups_follow_the_thresholds_of_the_field():
    distribution = ClassDistribution(6)
    distribution.set_counts([1000, 101, 100, 20, 19, 1])
    assert distribution.many.tolist() == [True, True, False, False, False, False]
    assert distribution.medium.tolist() == [False, False, True, True, False, False]
    assert distribution.few.tolist() == [False, False, False, False, True, True]
    assert distribution.groups == ["many", "many", "medium", "medium", "few", "few"]
    assert distribution.imbalance_factor == 1000
    assert distribution.num_samples == 1241


def test_priors_are_float64_frequencies_and_exclude_an_empty_class_unless_asked_not_to():
    distribution = ClassDistribution(3)
    distribution.set_counts(torch.tensor([3, 1, 0]))
    assert distribution.priors.dtype == torch.float64
    assert distribution.priors.tolist() == [0.75, 0.25, 0.0]
    log_priors = distribution.log_priors()
    assert log_priors.dtype == torch.float64
    assert log_priors.tolist() == [math.log(0.75), math.log(0.25), -math.inf]
    assert distribution.log_priors(1e-9).tolist() == [math.log(p + 1e-9) for p in (0.75, 0.25, 0.0)]
    assert distribution.imbalance_factor == 3.0


def test_balanced_softmax_excludes_an_empty_class_exactly():
    distribution = ClassDistribution(4)
    distribution.set_counts([50, 0, 5, 1])
    logits = torch.tensor([[0.3, 40.0, -1.0, 2.0], [1.0, -3.0, 0.0, 0.5]], dtype=torch.float64, requires_grad=True)
    loss = F.cross_entropy(logits + distribution.log_priors(), torch.tensor([3, 0]))
    present = [0, 2, 3]
    expected = F.cross_entropy(
        logits[:, present] + torch.tensor([50, 5, 1], dtype=torch.float64).log(), torch.tensor([2, 0])
    )
    assert float(loss) == pytest.approx(float(expected), rel=1e-14)
    loss.backward()
    assert torch.isfinite(logits.grad).all()
    assert torch.equal(logits.grad[:, 1], torch.zeros(2, dtype=torch.float64))


def test_counts_travel_in_the_state_dict():
    trained, tested = ClassDistribution(2), ClassDistribution(2)
    trained.set_counts([5, 1])
    assert not tested.is_set
    tested.load_state_dict(trained.state_dict())
    assert tested.is_set and tested.counts.tolist() == [5, 1]


@pytest.mark.parametrize(
    "ask",
    [
        lambda distribution: distribution.priors,
        lambda distribution: distribution.log_priors(),
        lambda distribution: distribution.filled_counts(),
        lambda distribution: distribution.class_balanced_weights(0.9),
        lambda distribution: distribution.imbalance_factor,
    ],
)
def test_unknown_counts_stop_what_needs_them_and_say_what_to_do(ask):
    distribution = ClassDistribution(4)
    with pytest.raises(UserInputError, match=r"ClassDistributionHook.*set_counts"):
        ask(distribution)
    unknown = distribution.state_dict()
    known = ClassDistribution(4)
    known.set_counts([4, 3, 2, 1])
    distribution.counts.copy_(known.counts)  # however they came in
    ask(distribution)
    distribution.load_state_dict({key: torch.zeros_like(value) for key, value in unknown.items()})
    with pytest.raises(UserInputError, match="not known yet"):
        ask(distribution)


def test_known_counts_are_not_asked_for_again(monkeypatch):
    distribution = ClassDistribution(2)
    distribution.set_counts([2, 1])
    # What a loss calls in each step must not wait for the device.
    monkeypatch.setattr(torch.Tensor, "__bool__", lambda _: pytest.fail("a synchronisation"))
    distribution.log_priors()
    distribution.filled_counts()


@pytest.mark.parametrize("counts", [[1, 2], [[1, 2, 3]], [-1, 2, 3], [0, 0, 0]])
def test_wrong_counts_are_refused(counts):
    with pytest.raises(UserInputError):
        ClassDistribution(3).set_counts(counts)


@pytest.mark.parametrize("kwargs", [dict(num_classes=0), dict(num_classes=3, many_threshold=10, few_threshold=20)])
def test_wrong_settings_are_refused(kwargs):
    with pytest.raises(UserInputError):
        ClassDistribution(**kwargs)


def test_counts_decide_the_number_of_classes_unless_it_is_given():
    distribution = ClassDistribution()
    assert (distribution.num_classes, distribution.is_set, distribution.counts.shape) == (0, False, (0,))
    buffer = distribution.counts
    for counts in ([5, 1], [4, 3, 2]):
        distribution.set_counts(counts)
        assert distribution.counts is buffer
        assert (distribution.num_classes, distribution.counts.tolist()) == (len(counts), counts)
    with pytest.raises(UserInputError, match=r"shape \(1, 2\)"):
        distribution.set_counts([[1, 2]])


def test_loading_resizes_counts_of_no_given_number():
    known = ClassDistribution(3)  # as checkpoints of version 0.1 have it
    known.set_counts([3, 2, 1])
    fresh = ClassDistribution()
    fresh.load_state_dict(known.state_dict())
    assert fresh.is_set and fresh.counts.tolist() == [3, 2, 1]
    fresh.load_state_dict(ClassDistribution().state_dict())
    assert fresh.num_classes == 0
    with pytest.raises(UserInputError, match="not known yet"):
        fresh.log_priors()
    with pytest.raises(RuntimeError, match="size mismatch"):
        ClassDistribution(4).load_state_dict(known.state_dict())


def test_thresholds_can_be_set_later():
    distribution = ClassDistribution()
    distribution.set_counts([9, 5, 1])
    assert distribution.groups == ["few", "few", "few"]
    distribution.set_thresholds(8, 2)
    assert distribution.groups == ["many", "medium", "few"]
    with pytest.raises(UserInputError, match="few_threshold=3 and many_threshold=2"):
        distribution.set_thresholds(2, 3)


def slow_weights(counts: list[int], beta: float) -> list[float]:
    """Cui et al., with the effective number as the sum of the geometric series that it is."""
    inverse = [1 / sum(beta**i for i in range(n)) for n in counts]
    return [value * len(counts) / sum(inverse) for value in inverse]


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.999, 0.9999])
def test_class_balanced_weights(beta: float) -> None:
    distribution = ClassDistribution(4)
    distribution.set_counts([500, 60, 7, 1])
    weights = distribution.class_balanced_weights(beta)
    assert weights.tolist() == pytest.approx(slow_weights([500, 60, 7, 1], beta), rel=1e-6)
    assert float(weights.mean()) == pytest.approx(1.0)


def test_an_empty_class_has_the_weight_of_the_rarest() -> None:
    distribution = ClassDistribution(3)
    distribution.set_counts([50, 0, 2])
    weights = distribution.class_balanced_weights(0.99)
    assert torch.isfinite(weights).all()
    assert weights[1] == weights[2] > weights[0]


def test_weights_of_unknown_counts_are_refused() -> None:
    with pytest.raises(UserInputError, match="ClassDistributionHook"):
        ClassDistribution(3).class_balanced_weights(0.99)
    distribution = ClassDistribution(3)
    distribution.set_counts([1, 1, 1])
    with pytest.raises(UserInputError, match="beta=1"):
        distribution.class_balanced_weights(1)
