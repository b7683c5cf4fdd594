"""How the covariances of many groups are stored: in full, as a diagonal, or as a sketch of low rank."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lt_plugins.errors import UserInputError

# Numbers in the largest intermediate of a quadratic form: 16 MB in float32.
MAX_NUMBERS = 2**22


class CovarianceForm(nn.Module):
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
    def shape(self) -> tuple[int, ...]:
        """Shape of one stored covariance."""
        raise NotImplementedError  # pragma: no cover

    def outer(self, vectors: Tensor) -> Tensor:
        """Outer product of each vector with itself, as it is stored.

        Args:
            vectors (Tensor): Shape ``(G, D)``.

        Returns:
            Tensor: Shape ``(G, *shape)``.
        """
        raise NotImplementedError  # pragma: no cover

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

    def quadratic(self, weight: Tensor, covariance: Tensor, rows: Tensor) -> Tensor:
        r"""Quadratic form of differences of classifier rows, in the covariance of one of the two.

        .. math::
            q_{rj} = (w_j - w_{y_r})^\top \Sigma_{y_r} (w_j - w_{y_r})

        Memory: the result and intermediates of bounded size, never an ``(R, G, D)`` tensor, in the backward pass too.

        Args:
            weight (Tensor): Classifier rows ``w``, one a group, shape ``(G, D)``. Gradient flows to them.
            covariance (Tensor): Covariances of the groups as they are stored, shape ``(G, *shape)``. Without gradient.
            rows (Tensor): The groups ``y`` that are asked for, int64 ``(R,)``.

        Returns:
            Tensor: Shape ``(R, G)``.
        """
        # Only differences count; near the origin they lose less to rounding.
        centred = weight - weight.mean(dim=0)
        parts = rows.split(max(1, MAX_NUMBERS // self._numbers_a_row(len(weight))))
        if len(parts) == 1:
            return self._quadratic(centred, covariance, rows)
        # What a part computes is computed again for its gradient instead of being kept.
        tables = [checkpoint(self._quadratic, centred, covariance, part, use_reentrant=False) for part in parts]
        return torch.cat(tables)

    def _numbers_a_row(self, num_groups: int) -> int:
        """How many numbers the intermediates hold for each row that is asked for."""
        raise NotImplementedError  # pragma: no cover

    def _quadratic(self, weight: Tensor, covariance: Tensor, rows: Tensor) -> Tensor:
        raise NotImplementedError  # pragma: no cover


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

    def _numbers_a_row(self, num_groups: int) -> int:
        return max(num_groups, self.channels)

    def _quadratic(self, weight: Tensor, covariance: Tensor, rows: Tensor) -> Tensor:
        variance, own = covariance[rows], weight[rows]  # (R, D)
        # Multiplied out: three products of matrices instead of an (R, G, D) tensor of differences.
        squares = variance @ weight.square().T  # (R, G)
        mixed = (variance * own) @ weight.T
        return squares - 2 * mixed + (variance * own.square()).sum(dim=1, keepdim=True)


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

    def _numbers_a_row(self, num_groups: int) -> int:
        # The covariance of a row is copied, beside differences and their products with it.
        return max(num_groups, self.channels) * self.channels

    def _quadratic(self, weight: Tensor, covariance: Tensor, rows: Tensor) -> Tensor:
        difference = weight - weight[rows][:, None]  # (R, G, D)
        return (difference @ covariance[rows] * difference).sum(dim=2)


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
        return vectors[:, :, None] * (vectors @ self.directions)[:, None, :]

    def factor(self, covariance: Tensor) -> Tensor:
        r"""Factors :math:`F` of the approximated covariances :math:`F F^\top`.

        Args:
            covariance (Tensor): As stored, shape ``(G, D, r)``.

        Returns:
            Tensor: Shape ``(G, D, r)``.
        """
        core = self.directions.T @ covariance  # (G, r, r)
        values, vectors = torch.linalg.eigh((core + core.mT) / 2)
        # Directions in which there is nothing but rounding are left out.
        smallest = self.rank * torch.finfo(values.dtype).eps * values[:, -1:].clamp(min=0)
        scale = torch.where(values > smallest, values, torch.inf).rsqrt()
        return covariance @ (vectors * scale[:, None, :])

    def _numbers_a_row(self, num_groups: int) -> int:
        return max(num_groups, self.channels) * self.rank

    def _quadratic(self, weight: Tensor, covariance: Tensor, rows: Tensor) -> Tensor:
        projected = weight @ self.factor(covariance[rows])  # (R, G, r)
        own = projected.gather(1, rows[:, None, None].expand(-1, 1, self.rank))  # (R, 1, r)
        return (projected - own).square().sum(dim=2)


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
