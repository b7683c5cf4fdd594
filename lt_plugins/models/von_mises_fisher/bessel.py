"""Modified Bessel functions of the first kind, as the normaliser of von Mises-Fisher distributions has them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# With so many terms, the expansion is off by at most 2e-14 at the lowest order that it is used for.
TERMS = 8
LOWEST_ORDER = 32


def log_bessel(kappa: Tensor, dim: int) -> Tensor:
    r"""Log normaliser of a von Mises-Fisher distribution, up to a constant and the sign.

    .. math::
        \log I_\nu(\kappa) - \nu \log \kappa, \qquad \nu = \frac{p}{2} - 1

    :math:`I_\nu` is the modified Bessel function of the first kind; the density at the unit vector :math:`v` is
    :math:`\frac{\kappa^\nu}{(2 \pi)^{p / 2} I_\nu(\kappa)} e^{\kappa \mu^\top v}`. Computed by Olver's uniform
    expansion in float64, without a loop over :math:`\kappa`. Orders below 32 follow from one above by the recurrence
    for falling orders, which is stable. For every :math:`p` and :math:`\kappa` (whose logarithm cancels, so that 0 is
    no exception) the error is that of rounding, at most about 1e-15 times the larger of them. The gradient is
    :func:`mean_length`; second derivatives are exact too, and there are no third ones.

    Source: NIST Digital Library of Mathematical Functions, 10.41.3 and 10.41.9 (expansion), 10.29.1 (recurrence).

    Args:
        kappa (Tensor): Concentrations :math:`\kappa`, 0 or more, of any shape.
        dim (int): Length of the vectors :math:`p`, 2 or more.

    Returns:
        Tensor: Float64, of the shape of ``kappa``.
    """
    value: Tensor = _LogBessel.apply(kappa.double(), dim)
    return value


def mean_length(kappa: Tensor, dim: int) -> Tensor:
    r"""Mean resultant length of a von Mises-Fisher distribution, the derivative of :func:`log_bessel`.

    .. math::
        A_p(\kappa) = \frac{I_{p / 2}(\kappa)}{I_{p / 2 - 1}(\kappa)} \in [0, 1)

    The derivative of the expansion, and no quotient of two of them: it keeps its digits where both overflow. It has a
    first derivative, :math:`1 - A_p^2 - (p - 1) A_p / \kappa`, and no second one.

    Args:
        kappa (Tensor): Concentrations :math:`\kappa`, 0 or more, of any shape.
        dim (int): Length of the vectors :math:`p`, 2 or more.

    Returns:
        Tensor: Float64, of the shape of ``kappa``.
    """
    kappa = kappa.double()
    length: Tensor = _MeanLength.apply(kappa, _log_bessel_and_slope(kappa.detach(), dim)[1], dim)
    return length


class _LogBessel(torch.autograd.Function):
    """:func:`log_bessel`; its gradient is computed beside its value."""

    @staticmethod
    def forward(ctx: Any, kappa: Tensor, dim: int) -> Tensor:
        value, slope = _log_bessel_and_slope(kappa, dim)
        ctx.save_for_backward(kappa, slope)
        ctx.dim = dim
        return value

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        kappa, slope = ctx.saved_tensors
        return grads[0] * _MeanLength.apply(kappa, slope, ctx.dim), None


class _MeanLength(torch.autograd.Function):
    """:func:`mean_length` from its quotient with ``kappa``, which is finite where ``kappa`` is 0."""

    @staticmethod
    def forward(ctx: Any, kappa: Tensor, slope: Tensor, dim: int) -> Tensor:
        length = kappa * slope
        ctx.save_for_backward(length, slope)
        ctx.dim = dim
        return length

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        length, slope = ctx.saved_tensors
        return grads[0] * (1 - length.square() - (ctx.dim - 1) * slope), None, None


def _log_bessel_and_slope(kappa: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """``log I_nu(kappa) - nu log(kappa)``, and its derivative divided by ``kappa``; both are smooth at 0."""
    order = dim / 2 - 1
    raised = max(0, math.ceil(LOWEST_ORDER - order))
    value, slope = _expansion(kappa, order + raised)
    square = kappa.square()
    for lowered in range(raised):
        following = order + raised - lowered
        total = torch.addcmul(torch.full_like(kappa, 2 * following), square, slope)  # kappa I_{n-1} / I_n
        value, slope = value + total.log(), total.reciprocal()
    return value, slope


def _expansion(kappa: Tensor, order: float) -> tuple[Tensor, Tensor]:
    """Both by Olver's uniform expansion for large orders; :func:`_log_bessel_and_slope` keeps them large."""
    root = (1 + (kappa / order).square()).sqrt()
    t = root.reciprocal()
    coefficients = _series(order)
    series = _polynomial(coefficients, t)
    slope_of_series = _polynomial([power * value for power, value in enumerate(coefficients)][1:], t) / series
    value = order * (root - root.log1p()) - 0.5 * root.log() + series.log()
    value += 0.5 * -math.log(2 * math.pi * order) - order * math.log(order)
    return value, t / order * (1 / (1 + t) - t * (0.5 + t * slope_of_series) / order)


def _polynomial(coefficients: Sequence[float], t: Tensor) -> Tensor:
    """Value of a polynomial, its coefficients from the constant on, by Horner's rule."""
    value = torch.full_like(t, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value.mul_(t).add_(coefficient)
    return value


@lru_cache
def _series(order: float) -> list[float]:
    """Coefficients of ``1 + u_1(t) / nu + ... + u_K(t) / nu^K`` as a polynomial in ``t``, from the constant on."""
    total = [0.0] * (3 * TERMS + 1)
    for term, polynomial in enumerate(_debye_polynomials()):
        for power, coefficient in polynomial.items():
            total[power] += float(coefficient) / order**term
    return total


@lru_cache
def _debye_polynomials() -> list[dict[int, Fraction]]:
    """Coefficients of ``u_0(t)`` to ``u_K(t)`` by power, each from the one before.

    ``u_{k+1} = t^2 (1 - t^2) u_k' / 2 + (integral from 0 to t of (1 - 5 s^2) u_k(s)) / 8``.
    """
    polynomials = [{0: Fraction(1)}]
    for _ in range(TERMS):
        following: dict[int, Fraction] = {}
        for power, coefficient in polynomials[-1].items():
            rise = coefficient * (Fraction(power, 2) + Fraction(1, 8 * (power + 1)))
            fall = coefficient * (Fraction(power, 2) + Fraction(5, 8 * (power + 3)))
            following[power + 1] = following.get(power + 1, Fraction(0)) + rise
            following[power + 3] = following.get(power + 3, Fraction(0)) - fall
        polynomials.append(following)
    return polynomials
