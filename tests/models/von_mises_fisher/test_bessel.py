"""Log Bessel functions: value, gradient and second derivative to 40 digits, and the recurrence of a released code."""

from __future__ import annotations

from typing import Any

import mpmath
import pytest
import torch
from scipy.special import ive
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from lt_plugins.models.von_mises_fisher import log_bessel, mean_length
from lt_plugins.models.von_mises_fisher.bessel import _debye_polynomials

DIMS = (2, 3, 5, 32, 65, 66, 67, 128, 1024)
KAPPAS = (1e-3, 0.1, 1.0, 10.0, 50.0, 200.0, 606.3, 5e3, 2e4, 1e5)


def exact(dim: int, kappa: float) -> tuple[Any, Any]:
    """``log I_nu(kappa) - nu log(kappa)`` and ``I_{nu+1}(kappa) / I_nu(kappa)`` to 40 digits."""
    with mpmath.workdps(40):
        order = mpmath.mpf(dim) / 2 - 1
        bessel, following = (mpmath.besseli(order + i, kappa, maxterms=10**6) for i in (0, 1))
        return mpmath.log(bessel) - order * mpmath.log(kappa), following / bessel


@pytest.mark.parametrize("dim", DIMS)
def test_value_and_gradient_to_forty_digits(dim: int) -> None:
    kappa = torch.tensor(KAPPAS, dtype=torch.float64, requires_grad=True)
    value = log_bessel(kappa, dim)
    value.sum().backward()
    lengths = mean_length(kappa.detach(), dim)
    assert kappa.grad is not None
    assert torch.equal(lengths, kappa.grad)
    for i, concentration in enumerate(KAPPAS):
        expected, length = exact(dim, concentration)
        rounding = 4e-16 * max(concentration, dim)  # of the largest number on the way, beside that of the expansion
        assert abs(value[i].item() - expected) < 3e-12 + rounding, concentration
        assert abs(lengths[i].item() / length - 1) < 1e-13, concentration


def test_agrees_with_scipy_where_that_does_not_underflow() -> None:
    kappa = torch.logspace(-1, 5, 50, dtype=torch.float64)
    for dim in (32, 128):
        nu = dim / 2 - 1
        scaled = torch.from_numpy(ive(nu, kappa.numpy()))
        fits = scaled > 1e-290
        assert fits.sum() > 30
        torch.testing.assert_close(
            log_bessel(kappa, dim)[fits], (scaled.log() + kappa - nu * kappa.log())[fits], rtol=1e-11, atol=1e-9
        )
    assert ive(511, 50.0) == 0, "and there its logarithm is minus infinity"
    assert torch.isfinite(log_bessel(torch.tensor(50.0), 1024))


@pytest.mark.parametrize("dim", DIMS)
def test_at_zero(dim: int) -> None:
    """The limit is ``-nu log 2 - log Gamma(nu + 1)``, and the density is flat."""
    kappa = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    value = log_bessel(kappa, dim)
    (slope,) = torch.autograd.grad(value, kappa, create_graph=True)
    (curvature,) = torch.autograd.grad(slope, kappa)
    nu = dim / 2 - 1
    expected = -nu * float(mpmath.log(2)) - float(mpmath.loggamma(nu + 1))
    assert value.item() == pytest.approx(expected, rel=1e-14, abs=1e-11)
    assert slope.item() == 0
    assert curvature.item() == pytest.approx(1 / dim, rel=1e-12)


@pytest.mark.parametrize("dim", DIMS)
def test_derivatives_are_finite_differences(dim: int) -> None:
    kappa = torch.tensor([0.5, 3.0, 40.0, 300.0], dtype=torch.float64, requires_grad=True)

    def value(x: Tensor) -> Tensor:
        return log_bessel(x, dim)

    def length(x: Tensor) -> Tensor:
        return mean_length(x, dim)

    assert gradcheck(value, kappa, eps=1e-4, atol=1e-7)
    assert gradgradcheck(value, kappa, eps=1e-4, atol=1e-7)
    assert gradcheck(length, kappa, eps=1e-4, atol=1e-7)
    (first,) = torch.autograd.grad(value(kappa).sum(), kappa, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), kappa, create_graph=True)
    with pytest.raises(RuntimeError, match="does not require grad"):
        second.sum().backward()


@pytest.mark.parametrize("dim", DIMS)
def test_mean_length_is_that_of_a_distribution(dim: int) -> None:
    """From 0 to 1, rising, between the bounds of Amos (1974) for the ratio of Bessel functions."""
    kappa = torch.logspace(-3, 5, 400, dtype=torch.float64)
    length = mean_length(kappa, dim)
    assert (length.diff() > 0).all()
    nu = dim / 2 - 1
    lower, upper = (kappa / (nu + 0.5 + (kappa.square() + (nu + shift) ** 2).sqrt()) for shift in (1.5, 0.5))
    assert (length >= lower * (1 - 1e-14)).all()
    assert (length <= upper * (1 + 1e-14)).all()
    assert (length < 1).all()


def test_closed_form_in_three_dimensions() -> None:
    """On the sphere in space the normaliser is ``sinh(kappa) / kappa`` and the length ``coth(kappa) - 1 / kappa``."""
    kappa = torch.tensor([0.3, 2.0, 30.0], dtype=torch.float64)
    expected = (2 / torch.pi) ** 0.5 * kappa.sinh() / kappa
    torch.testing.assert_close(log_bessel(kappa, 3), expected.log())
    torch.testing.assert_close(mean_length(kappa, 3), 1 / kappa.tanh() - 1 / kappa)


def test_polynomials_of_the_expansion_are_the_printed_ones() -> None:
    """NIST Digital Library of Mathematical Functions, 10.41.10."""
    t = 0.37
    printed = [
        (3 * t - 5 * t**3) / 24,
        (81 * t**2 - 462 * t**4 + 385 * t**6) / 1152,
        (30375 * t**3 - 369603 * t**5 + 765765 * t**7 - 425425 * t**9) / 414720,
    ]
    found = [sum(float(value) * t**power for power, value in each.items()) for each in _debye_polynomials()]
    assert found[0] == 1
    assert found[1:4] == pytest.approx(printed, rel=1e-13)


def test_takes_any_shape_and_half_precision() -> None:
    kappa = torch.tensor([[1.0, 2.0], [3.0, 400.0]], dtype=torch.float16)
    value = log_bessel(kappa, 128)
    assert value.shape == (2, 2)
    assert value.dtype == mean_length(kappa, 128).dtype == torch.float64
    assert torch.equal(value, log_bessel(kappa.double(), 128))


def test_the_recurrence_of_the_released_code_is_wrong_for_compact_classes() -> None:
    """Miller's recurrence begins at the order ``2 nu``, where it must begin above ``kappa`` too.

    At the concentration that a class begins with (606) nothing is wrong yet.
    """

    def recurred(dim: int, kappa: float, first: int) -> float:
        """``I_{nu+1} / I_nu`` by the recurrence for falling orders, from ``I_{first+1} = 0``."""
        ratio = 0.0  # I_{n+1} / I_n
        for order in range(first, dim // 2 - 1, -1):
            ratio = 1 / (2 * order / kappa + ratio)
        return ratio

    for kappa, wrong in ((606.0, 0.0), (5e3, 0.19), (2e4, 2.4)):
        exactly = float(exact(128, kappa)[1])
        assert mean_length(torch.tensor(kappa), 128).item() == pytest.approx(exactly, rel=1e-13)
        assert recurred(128, kappa, 126) - exactly == pytest.approx(wrong, rel=0.05, abs=1e-8)
        assert recurred(128, kappa, 103 + int((160 * kappa) ** 0.5)) == pytest.approx(exactly, rel=1e-12)
