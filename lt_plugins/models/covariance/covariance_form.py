"""Storage of the covariances of many groups: in full or as a diagonal."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from lt_plugins.errors import UserInputError

# Numbers in an intermediate of a quadratic form in whole covariances, if a single row does not need more.
MAX_NUMBERS = 2**19


class CovarianceForm(nn.Module, ABC):
    """One way to store ``D x D`` covariances; the base of those below.

    Each is linear: sums and moving averages of stored covariances are those of the covariances themselves, so that
    processes can add them up.

    Args:
        channels (int): Length of the features ``D``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Shape of one stored covariance."""

    @abstractmethod
    def outer(self, vectors: Tensor) -> Tensor:
        """Outer product of each vector with itself, as it is stored.

        Args:
            vectors (Tensor): Shape ``(G, D)``.

        Returns:
            Tensor: Shape ``(G, *shape)``.
        """

    def add_outer_(self, covariance: Tensor, vectors: Tensor, scale: Tensor) -> None:
        """Add a multiple of each vector's outer product to a stored covariance, in place.

        Args:
            covariance (Tensor): As stored, shape ``(G, *shape)``.
            vectors (Tensor): Shape ``(G, D)``.
            scale (Tensor): Shape ``(G, 1)``.
        """
        covariance.addcmul_(self.broadcast(scale), self.outer(vectors))

    def broadcast(self, values: Tensor) -> Tensor:
        """One number a group, in a shape that fits stored covariances.

        Args:
            values (Tensor): Shape ``(G, 1)``.
        """
        return values.view(-1, *[1] * len(self.shape))

    def quadratic(self, weight: Tensor, covariance: Tensor, rows: Tensor | None = None) -> Tensor:
        r"""Quadratic form of differences of classifier rows, in the covariance of one of the two.

        .. math::
            q_{rj} = (w_j - w_{y_r})^\top \Sigma_{y_r} (w_j - w_{y_r})

        Memory: the result and intermediates of bounded size, never an ``(R, G, D)`` tensor, in the backward pass too.

        Args:
            weight (Tensor): Classifier rows ``w``, one a group, shape ``(G, D)``. Gradient flows to them.
            covariance (Tensor): Covariances of the groups as they are stored, shape ``(G, *shape)``. Gradient
                flows to them too, if they need it.
            rows (Tensor, optional): The groups ``y`` that are asked for, int64 ``(R,)``. Defaults to all, in order.

        Returns:
            Tensor: Shape ``(R, G)``.
        """
        # Only differences count; near the origin they lose less to rounding.
        weight = weight - weight.mean(dim=0)
        if rows is None:
            return self._quadratic(weight, covariance, weight)
        return self._quadratic(weight, covariance[rows], weight[rows])

    @abstractmethod
    def _quadratic(self, weight: Tensor, covariance: Tensor, own: Tensor) -> Tensor:
        """The same, for rows whose covariances ``(R, *shape)`` and weights ``(R, D)`` are given."""


class DiagonalCovariance(CovarianceForm):
    """The variances alone, ``(G, D)``: ``D`` numbers a group.

    Args:
        channels (int): Length of the features ``D``.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one stored covariance."""
        return (self.channels,)

    def outer(self, vectors: Tensor) -> Tensor:
        """Squares of each vector's entries.

        Args:
            vectors (Tensor): Shape ``(G, D)``.

        Returns:
            Tensor: Shape ``(G, D)``.
        """
        return vectors.square()

    def _quadratic(self, weight: Tensor, covariance: Tensor, own: Tensor) -> Tensor:
        # Multiplied out: three products of matrices instead of an (R, G, D) tensor of differences.
        squares = covariance @ weight.square().T  # (R, G)
        mixed = (covariance * own) @ weight.T
        return squares - 2 * mixed + (covariance * own.square()).sum(dim=1, keepdim=True)


class _FullQuadratic(torch.autograd.Function):
    """Quadratic forms in whole covariances, a few rows at a time, for autograd and the transforms of ``torch.func``.

    The gradient of a quadratic form is twice the product that the form itself needs; the backward pass computes it
    again instead of keeping the ``(R, G, D)`` tensor of all of them.
    """

    @staticmethod
    def parts(weight: Tensor, covariance: Tensor, own: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Rows, their differences ``(r, G, D)`` and those times the covariance, which fit into ``MAX_NUMBERS``."""
        size = max(1, MAX_NUMBERS // weight.numel())
        for begin in range(0, len(own), size):
            rows = slice(begin, begin + size)
            difference = weight - own[rows, None]
            yield rows, difference, difference @ covariance[rows]

    @staticmethod
    def forward(weight: Tensor, covariance: Tensor, own: Tensor) -> Tensor:
        """Compute the ``(R, G)`` table."""
        table = weight.new_empty(len(own), len(weight))
        for rows, difference, product in _FullQuadratic.parts(weight, covariance, own):
            torch.sum(product.mul_(difference), dim=2, out=table[rows])
        return table

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:  # noqa: ARG004
        """Keep what both derivatives need."""
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def jvp(ctx: Any, to_weight: Tensor | None, to_covariance: Tensor | None, to_own: Tensor | None) -> Tensor:
        """Derivative of the table along a direction of its inputs, which keeps nothing for later."""
        weight, covariance, own = ctx.saved_tensors
        symmetric = (covariance + covariance.mT) / 2
        table = []
        for rows, difference, product in _FullQuadratic.parts(weight, symmetric, own):
            moved = torch.zeros_like(difference) if to_weight is None else to_weight.expand_as(difference)
            moved = moved if to_own is None else moved - to_own[rows, None]
            along = 2 * (product * moved).sum(dim=2)
            if to_covariance is not None:
                along = along + (difference @ to_covariance[rows] * difference).sum(dim=2)
            table.append(along)
        return torch.cat(table)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """Gradients of both sides of the differences and, if asked for, of the covariances.

        Nothing is changed in place, so that a gradient of these gradients is right (learned covariances need it).
        """
        weight, covariance, own = ctx.saved_tensors
        wants_covariance = ctx.needs_input_grad[1]
        if wants_covariance:  # one that is learned entry by entry need not be symmetric
            covariance = (covariance + covariance.mT) / 2
        to_weight, to_own, to_covariance = torch.zeros_like(weight), [], []
        for rows, difference, product in _FullQuadratic.parts(weight, covariance, own):
            scale = gradient[rows, :, None]
            product = 2 * scale * product
            to_weight = to_weight + product.sum(dim=0)
            to_own.append(-product.sum(dim=1))
            if wants_covariance:
                to_covariance.append((scale * difference).mT @ difference)
        return to_weight, torch.cat(to_covariance) if wants_covariance else None, torch.cat(to_own)


class FullCovariance(CovarianceForm):
    """Whole covariances, ``(G, D, D)``: at ``D = 2048`` they take 16 MB a group in float32.

    Args:
        channels (int): Length of the features ``D``.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one stored covariance."""
        return (self.channels, self.channels)

    def outer(self, vectors: Tensor) -> Tensor:
        """Outer product of each vector with itself.

        Args:
            vectors (Tensor): Shape ``(G, D)``.

        Returns:
            Tensor: Shape ``(G, D, D)``.
        """
        return vectors[:, :, None] * vectors[:, None, :]

    def add_outer_(self, covariance: Tensor, vectors: Tensor, scale: Tensor) -> None:
        """Add a multiple of each vector's outer product, without a second tensor of that size.

        Args:
            covariance (Tensor): As stored, shape ``(G, D, D)``.
            vectors (Tensor): Shape ``(G, D)``.
            scale (Tensor): Shape ``(G, 1)``.
        """
        covariance.baddbmm_((scale * vectors)[:, :, None], vectors[:, None, :])

    def _quadratic(self, weight: Tensor, covariance: Tensor, own: Tensor) -> Tensor:
        table: Tensor = _FullQuadratic.apply(weight, covariance, own)
        return table


FORMS = {"full": FullCovariance, "diagonal": DiagonalCovariance}
# Above this many channels covariances are stored as a diagonal, unless something else is asked for.
MAX_FULL_CHANNELS = 256


def build_covariance_form(name: str | None, channels: int) -> CovarianceForm:
    """Choose how covariances are stored.

    Args:
        name (str | None): ``"full"`` or ``"diagonal"``; None for ``"full"`` up to 256 channels and ``"diagonal"``
            above.
        channels (int): Length of the features ``D``.

    Raises:
        UserInputError: If there is no such form.
    """
    name = name or ("full" if channels <= MAX_FULL_CHANNELS else "diagonal")
    if name not in FORMS:
        raise UserInputError(f"covariance={name!r} is unknown; choose one of {', '.join(FORMS)}.")
    return FORMS[name](channels)
