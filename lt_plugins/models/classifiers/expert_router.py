"""Gates that tell whether another expert is worth asking."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from lt_plugins.errors import UserInputError


class ExpertRouter(BaseModule):
    r"""Expert router: for each expert but the last a gate that decides whether the next one is asked.

    .. math::
        g_k = v^\top [\mathrm{top}(\bar z_k); \mathrm{relu}(W_k \hat x_k + b_k)] + c, \qquad
        \bar z_k = \frac{1}{k} \sum_{j \le k} z_j

    with the direction :math:`\hat x_k` of the feature of expert :math:`k`, the largest logits :math:`\mathrm{top}` of
    the mean so far in falling order, and :math:`v, c` shared by all gates. The next expert is asked where :math:`g_k >
    0`. A gate learns whether the mean so far is wrong and one of the means after it right.

    Source: Wang et al., "Long-tailed Recognition by Routing Diverse Distribution-Aware Experts" (ICLR 2021), section
    3.3, and its released code.

    Args:
        num_experts (int): Number of experts ``K``.
        in_channels (int): Length ``D`` of the feature of an expert.
        num_top (int): How many logits a gate reads.
        hidden_channels (int): What a gate makes of the feature. Defaults to 16.
        positive_weight (float): Weight of images that another expert helps, in the loss. Defaults to 100.

    Raises:
        UserInputError: If a number is out of its range.
    """

    def __init__(
        self,
        num_experts: int,
        in_channels: int,
        num_top: int,
        hidden_channels: int = 16,
        positive_weight: float = 100.0,
    ) -> None:
        super().__init__({"type": "Kaiming", "layer": "Linear", "mode": "fan_in", "nonlinearity": "relu"})
        if num_experts < 2:
            raise UserInputError(f"num_experts={num_experts}: there is something to choose from 2 experts on.")
        if num_top < 1 or hidden_channels < 1 or positive_weight <= 0:
            raise UserInputError(
                f"num_top={num_top} and hidden_channels={hidden_channels} must be 1 or more, "
                f"positive_weight={positive_weight} positive."
            )
        self.num_top = num_top
        self.positive_weight = positive_weight
        self.hidden = nn.ModuleList(nn.Linear(in_channels, hidden_channels) for _ in range(num_experts - 1))
        self.fc = nn.Linear(num_top + hidden_channels, 1)

    def forward(self, feature: Tensor, mean_logits: Tensor, expert: int) -> Tensor:
        """Compute a gate.

        Args:
            feature (Tensor): Pooled feature of an expert, shape ``(B, D)``.
            mean_logits (Tensor): Mean of the logits of all experts up to it, shape ``(B, C)``.
            expert (int): Which expert, from 0.

        Returns:
            Tensor: Shape ``(B,)``; above 0 the next expert is to be asked.
        """
        hidden = F.relu(self.hidden[expert](F.normalize(feature, dim=1)))
        top = mean_logits.topk(self.num_top, dim=1).values
        return self.fc(torch.cat([top, hidden], dim=1)).squeeze(1)

    def loss(self, features: Sequence[Tensor], logits: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss of all gates: their mean binary cross-entropy.

        Args:
            features (Sequence[Tensor]): Pooled features of the ``K`` experts, each of shape ``(B, D)``.
            logits (Tensor): Logits of the experts, shape ``(B, K, C)``.
            labels (Tensor): True classes, int64 ``(B,)``.

        Returns:
            Tensor: Scalar.
        """
        counts = torch.arange(1, 1 + logits.shape[1], device=logits.device)
        means = logits.cumsum(dim=1) / counts[:, None]  # (B, K, C)
        right = means.argmax(dim=2) == labels[:, None]  # (B, K)
        weight = logits.new_tensor(self.positive_weight)
        terms = []
        for expert, feature in enumerate(features[:-1]):
            helps = ~right[:, expert] & right[:, expert + 1 :].any(dim=1)
            gate = self(feature, means[:, expert], expert)
            terms.append(F.binary_cross_entropy_with_logits(gate, helps.to(gate.dtype), pos_weight=weight))
        return torch.stack(terms).mean()
