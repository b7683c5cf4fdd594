"""How the covariances of many groups are stored: in full, as a diagonal, or as a sketch of low rank."""

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
                flows to them too, if they need it (not to low-rank ones, which are refused then).
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
    """Quadratic forms in whole covariances, a few rows at a time.

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
    def forward(ctx: Any, weight: Tensor, covariance: Tensor, own: Tensor) -> Tensor:
        """Compute the ``(R, G)`` table."""
        ctx.save_for_backward(weight, covariance, own)
        table = weight.new_empty(len(own), len(weight))
        for rows, difference, product in _FullQuadratic.parts(weight, covariance, own):
            torch.sum(product.mul_(difference), dim=2, out=table[rows])
        return table

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


class LowRankCovariance(CovarianceForm):
    r"""Products of covariances with ``r`` fixed directions, ``(G, D, r)``, from which low-rank covariances follow.

    The stored :math:`Y = \Sigma \Omega` with orthonormal random :math:`\Omega` is linear in the covariance. The
    quadratic form uses Nyström's approximation :math:`\Sigma \approx Y (\Omega^\top Y)^+ Y^\top`, which is exact for
    covariances of rank ``r`` or less and never exceeds the covariance.

    Source: Tropp, Yurtsever, Udell and Cevher, "Fixed-Rank Approximation of a Positive-Semidefinite Matrix from
    Streaming Data" (NeurIPS 2017).

    Args:
        channels (int): Length of the features ``D``.
        rank (int): Number of directions ``r``. Defaults to 16.

    Raises:
        UserInputError: If the rank is not in ``1..D``.
    """

    directions: Tensor

    def __init__(self, channels: int, rank: int = 16) -> None:
        super().__init__(channels)
        if not 1 <= rank <= channels:
            raise UserInputError(f"rank={rank} of a low-rank covariance must be in 1..{channels}, the channels.")
        self.rank = rank
        # The same on every process; saved, since generators differ between versions.
        random = torch.randn(channels, rank, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        self.register_buffer("directions", torch.linalg.qr(random).Q.to(torch.get_default_dtype()).contiguous())

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one stored covariance."""
        return (self.channels, self.rank)

    def outer(self, vectors: Tensor) -> Tensor:
        """Outer product of each vector with itself, times the directions.

        Args:
            vectors (Tensor): Shape ``(G, D)``.

        Returns:
            Tensor: Shape ``(G, D, r)``.
        """
        return vectors[:, :, None] * (vectors @ self.directions.to(vectors))[:, None, :]

    def factor(self, covariance: Tensor) -> Tensor:
        r"""Factors :math:`F` of the approximated covariances :math:`F F^\top`.

        Args:
            covariance (Tensor): As stored, shape ``(G, D, r)``.

        Returns:
            Tensor: Shape ``(G, D, r)``.
        """
        core = self.directions.to(covariance).T @ covariance  # (G, r, r)
        values, vectors = torch.linalg.eigh((core + core.mT) / 2)
        # Directions in which there is nothing but rounding are left out.
        smallest = self.rank * torch.finfo(values.dtype).eps * values[:, -1:].clamp(min=0)
        scale = torch.where(values > smallest, values, torch.inf).rsqrt()
        return covariance @ (vectors * scale[:, None, :])

    def _quadratic(self, weight: Tensor, covariance: Tensor, own: Tensor) -> Tensor:
        if covariance.requires_grad:
            raise UserInputError(
                "low-rank covariances pass no gradient on: that of their eigenvectors is not finite where eigenvalues "
                "are equal; learn covariances with covariance='full' or 'diagonal'."
            )
        factor = self.factor(covariance)
        return (weight @ factor - own[:, None] @ factor).square().sum(dim=2)  # of (R, G, r) numbers


FORMS = {"full": FullCovariance, "diagonal": DiagonalCovariance, "low_rank": LowRankCovariance}
# Above this many channels covariances are stored as a diagonal, unless something else is asked for.
MAX_FULL_CHANNELS = 256


def build_covariance_form(name: str | None, channels: int, rank: int = 16) -> CovarianceForm:
    """Choose how covariances are stored.

    Args:
        name (str | None): ``"full"``, ``"diagonal"`` or ``"low_rank"``; None for ``"full"`` up to 256 channels and
            ``"diagonal"`` above.
        channels (int): Length of the features ``D``.
        rank (int): Of the form ``"low_rank"``; the others have none. Defaults to 16.

    Raises:
        UserInputError: If there is no such form, or the rank does not fit the channels.
    """
    name = name or ("full" if channels <= MAX_FULL_CHANNELS else "diagonal")
    if name not in FORMS:
        raise UserInputError(f"covariance={name!r} is unknown; choose one of {', '.join(FORMS)}.")
    return LowRankCovariance(channels, rank) if name == "low_rank" else FORMS[name](channels)
