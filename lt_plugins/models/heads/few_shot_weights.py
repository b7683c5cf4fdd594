"""Few-shot weight generator: class weights from the features of a few images."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FewShotWeightGenerator(nn.Module):
    r"""Few-shot classification-weight generator: averages the features of a class and attends to the base classes.

    From the exemplars :math:`z_i` of a novel class, features of length 1,

    .. math::
        w' = \phi_{avg} \odot \frac{1}{N'} \sum_i z_i
        + \phi_{att} \odot \frac{1}{N'} \sum_i \sum_b \mathrm{softmax}_b\big(\gamma \cos(\phi_q(z_i), k_b)\big) \hat w_b

    over the base classes ``b`` with their weights :math:`\hat w_b` of length 1 and keys :math:`k_b`. Learned are
    :math:`\phi_{avg}` and :math:`\phi_{att}`, ones at first, the linear map :math:`\phi_q`, the identity and a little
    noise, the keys, normal numbers of variance ``2 / D``, and :math:`\gamma`.

    Source: Gidaris & Komodakis, "Dynamic Few-Shot Visual Learning without Forgetting" (CVPR 2018), Eq. 5 to 8; the
    first weights of their released code.

    Args:
        num_classes (int): Number of classes ``C``, base and novel.
        channels (int): Length ``D`` of a feature.
        attention (bool): Whether it attends to the base classes; without, it averages only. Defaults to True.
        attention_scale (float): First value of :math:`\gamma`. Defaults to 10.0.
    """

    def __init__(self, num_classes: int, channels: int, attention: bool = True, attention_scale: float = 10.0) -> None:
        super().__init__()
        self.attention = attention
        self.average = nn.Parameter(torch.ones(channels))
        if attention:
            self.attended = nn.Parameter(torch.ones(channels))
            self.query = nn.Linear(channels, channels)
            self.keys = nn.Parameter(torch.empty(num_classes, channels))
            self.scale = nn.Parameter(torch.tensor(float(attention_scale)))
            nn.init.normal_(self.keys, std=math.sqrt(2 / channels))
            nn.init.normal_(self.query.weight, std=0.001).data.add_(torch.eye(channels))
            nn.init.zeros_(self.query.bias)

    def forward(self, exemplars: Tensor, labels: Tensor, base_weight: Tensor, is_base: Tensor) -> Tensor:
        """Generate the weights of the classes that the exemplars are of.

        Args:
            exemplars (Tensor): Features of length 1, shape ``(S, D)``.
            labels (Tensor): Their classes, int64 ``(S,)``.
            base_weight (Tensor): Weights of length 1 of all classes, shape ``(C, D)``.
            is_base (Tensor): Which of them are base classes, at least one, bool ``(C,)``.

        Returns:
            Tensor: Weights ``(C, D)``, of any length; zeros for classes without an exemplar.
        """
        is_of = (labels == torch.arange(len(is_base), device=labels.device)[:, None]).to(exemplars)  # (C, S)
        shares = is_of / is_of.sum(dim=1, keepdim=True).clamp(min=1)  # of each exemplar in the mean of its class
        weight = self.average * (shares @ exemplars)
        if self.attention:
            similarity = F.normalize(self.query(exemplars)) @ F.normalize(self.keys).T
            attention = (self.scale * similarity).masked_fill(~is_base, -torch.inf).softmax(dim=1)
            weight = weight + self.attended * (shares @ attention @ base_weight)
        return weight
