"""Bi-granularity contrastive loss on subclasses and classes."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses.supcon_loss import supcon_loss
from lt_plugins.models.structures import ContrastBatch, DataSizedModule, StatesCall
from lt_plugins.registry import MODELS


def sbcl_loss(
    contrast: ContrastBatch,
    same_subclass: Tensor,
    temperature: float,
    class_temperature: Tensor | float,
    beta: float,
    subclass_weight: float = 1.0,
) -> Tensor:
    r"""Bi-granularity contrastive loss of each anchor.

    With the same-subclass candidates :math:`M_i` and the same-class ones :math:`P_i`, both without the anchor and the
    other view of its image, all candidates :math:`\tilde V_i`, and a tilde where the other view is included,

    .. math::
        L_i = -\frac{1}{|\tilde M_i|} \sum_{p \in \tilde M_i}
               \log \frac{e^{v_i^\top v_p / \tau_1}}{\sum_{a \in \tilde V_i} e^{v_i^\top v_a / \tau_1}}
              -\frac{\beta}{|\tilde P_i| - |M_i|} \sum_{p \in \tilde P_i \setminus M_i}
               \log \frac{e^{v_i^\top v_p / \tau_2}}
                         {\sum_{a \in \tilde V_i \setminus M_i} e^{v_i^\top v_a / \tau_2}}

    Args:
        contrast (ContrastBatch): The ``M`` anchors and ``A`` candidates, with ``other_view_positions``.
        same_subclass (Tensor): Candidates of the anchor's subclass, bool ``(M, A)``.
        temperature (float): ``tau_1``.
        class_temperature (Tensor | float): ``tau_2``, or that of each anchor, shape ``(M,)``.
        beta (float): Weight of the class term.
        subclass_weight (float): Factor of the first term, which Eq. 4 does not have. Defaults to 1.

    Returns:
        Tensor: Loss of each anchor, shape ``(M,)``.
    """
    others_of_subclass = same_subclass & contrast.valid & ~contrast.other_view
    subclass_term = supcon_loss(contrast, others_of_subclass | contrast.other_view, temperature)
    positives = (contrast.same_class | contrast.other_view) & ~others_of_subclass
    class_term = supcon_loss(contrast, positives, class_temperature, contrast.valid & ~others_of_subclass)
    return subclass_weight * subclass_term + beta * class_term


@MODELS.register_module()
class SBCLLoss(StatesCall, DataSizedModule):
    """Subclass-balancing contrastive loss: subclasses attract strongly, the other subclasses of the class weakly.

    Head classes are split into subclasses of about the size of a tail class. ``ReclusterHook`` writes them into
    ``subclass (N,)``, the subclass of each training image (numbered over all classes), and ``TemperatureHook`` writes
    ``tau2 (C,)``, the temperature of the class term for each class. Both buffers are empty before that, and are saved
    in the checkpoint. Candidates are looked up by the index of their image, so that a queue is re-labelled at once.
    See :func:`sbcl_loss` for the formula.

    Source: Hou et al., "Subclass-balancing Contrastive Learning for Long-tailed Recognition" (ICCV 2023), Eq. 4; with
    ``base_temperature=0.07`` the released code, which multiplies the first term by ``tau_1 / 0.07``.

    Args:
        temperature (float): Temperature of the subclass term ``tau_1``. Defaults to 0.1.
        beta (float): Weight of the class term. Defaults to 0.25.
        class_temperature (float, optional): ``tau_2`` of every class until ``TemperatureHook`` sets them. Defaults to
            ``e * tau_1``, what Eq. 5 gives to a class of average dispersion.
        base_temperature (float, optional): Multiplies the subclass term by ``tau_1 / base_temperature``. Defaults to
            ``tau_1``, which is the paper's formula.

    Raises:
        UserInputError: If a temperature is not positive or ``beta`` is negative.

    Examples:
        >>> head = dict(type='SupConHead', num_classes=100, in_channels=64, loss=dict(type='SBCLLoss'),
        ...             warmup_loss=dict(type='SupConLoss'))
        >>> loss = SBCLLoss()
        >>> loss.set_subclasses(subclass_clusters(features, labels).subclass)
        >>> value = loss(ContrastBatch.from_views(view_1, view_2, labels, sample_idx))
    """

    call = "loss(ContrastBatch.from_views(view_1, view_2, labels, sample_idx))"

    needs_one_label = True
    needs_hook: ClassVar[dict[str, Any]] = {"type": "ReclusterHook", "task": {"type": "SubclassClustering"}}
    subclass: Tensor
    tau2: Tensor
    sized_by_data = ("subclass", "tau2")

    def __init__(
        self,
        temperature: float = 0.1,
        beta: float = 0.25,
        class_temperature: float | None = None,
        base_temperature: float | None = None,
    ) -> None:
        super().__init__()
        class_temperature = math.e * temperature if class_temperature is None else class_temperature
        base_temperature = temperature if base_temperature is None else base_temperature
        if min(temperature, class_temperature, base_temperature) <= 0 or beta < 0:
            raise UserInputError(
                f"temperature={temperature}, class_temperature={class_temperature} and base_temperature="
                f"{base_temperature} must be positive, beta={beta} not negative."
            )
        self.temperature = temperature
        self.beta = beta
        self.class_temperature = class_temperature
        self.base_temperature = base_temperature
        self.register_buffer("subclass", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("tau2", torch.zeros(0, dtype=torch.float64))

    @property
    def is_ready(self) -> bool:
        """Whether a clustering has set the subclasses."""
        return len(self.subclass) > 0

    def set_subclasses(self, subclass: Tensor) -> None:
        """Take over a clustering.

        Args:
            subclass (Tensor): Subclass of each training image, numbered over all classes, int64 ``(N,)``.
        """
        self.resize_and_copy("subclass", subclass)

    def set_class_temperatures(self, tau2: Tensor) -> None:
        """Take over the temperatures of the class term.

        Args:
            tau2 (Tensor): One for each class, shape ``(C,)``.
        """
        self.resize_and_copy("tau2", tau2)

    def forward(self, contrast: ContrastBatch) -> Tensor:
        """Compute the mean loss over the anchors.

        Args:
            contrast (ContrastBatch): Anchors and candidates, with ``other_view_positions`` and indices of the images.

        Returns:
            Tensor: Scalar loss in float32 (or float64, if the input is).

        Raises:
            UserInputError: If there are no subclasses yet, or the contrast does not know its images.
        """
        if not self.is_ready:
            raise UserInputError(
                "SBCLLoss has no subclasses yet: let ReclusterHook start with epoch 0 (start=0), give the head a "
                "warmup_loss until then, or call set_subclasses()."
            )
        if contrast.anchor_samples is None or contrast.candidate_samples is None:
            raise UserInputError(
                "SBCLLoss looks subclasses up by the index of an image, and the contrast lacks anchor_samples or "
                "candidate_samples; keep 'sample_idx' in the meta_keys of PackInputs, or give it to from_views()."
            )
        of_anchors, of_candidates = map(self._subclass_of, (contrast.anchor_samples, contrast.candidate_samples))
        same_subclass = (of_anchors[:, None] == of_candidates) & (of_anchors >= 0)[:, None]
        class_temperature = self.tau2[contrast.anchor_labels] if len(self.tau2) else self.class_temperature
        weight = self.temperature / self.base_temperature
        return sbcl_loss(contrast, same_subclass, self.temperature, class_temperature, self.beta, weight).mean()

    def _subclass_of(self, samples: Tensor) -> Tensor:
        """Subclass of each image, -1 of an unknown one (-1), which has no subclass in common with any."""
        return self.subclass[samples.clamp(min=0)].masked_fill(samples < 0, -1)
