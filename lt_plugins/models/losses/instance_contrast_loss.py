"""Instance discrimination without the negatives of the anchor's own class."""

from __future__ import annotations

from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses.supcon_loss import supcon_loss
from lt_plugins.models.structures import ContrastBatch, StatesCall
from lt_plugins.registry import MODELS


@MODELS.register_module()
class InstanceContrastLoss(StatesCall):
    r"""Instance contrast loss (InfoNCE), whose negatives are of other classes, averaged over the anchors.

    The one positive of an anchor is the other view :math:`v_i^+` of its image. Other images of its class :math:`y_i`
    are neither positives nor negatives, so that the loss separates images without pushing a class apart:

    .. math::
        L_i = -\log \frac{e^{v_i^\top v_i^+ / T}}{e^{v_i^\top v_i^+ / T} + \sum_{a: y_a \ne y_i} e^{v_i^\top v_a / T}}

    Source: Li et al., "Self Supervision to Distillation for Long-Tailed Visual Recognition" (ICCV 2021),
    and its released code; over all negatives, van den Oord et al., "Representation Learning with Contrastive
    Predictive Coding" (2018), as in MoCo.

    Args:
        temperature (float): Temperature ``T``. Defaults to 0.2.
        skip_same_class (bool): Whether images of the anchor's class are left out of the negatives; False is InfoNCE,
            which needs no labels. Defaults to True.

    Raises:
        UserInputError: If the temperature is not positive.

    Examples:
        >>> head = dict(type='ContrastHead', num_classes=100, in_channels=64, loss=dict(type='CrossEntropyLoss'),
        ...             contrast_loss=dict(type='InstanceContrastLoss', temperature=0.2))
        >>> value = InstanceContrastLoss()(
        ...     ContrastBatch.from_queries(queries, keys, labels, queue=queue, compare_batch=False))
    """

    call = "loss(ContrastBatch.from_views(view_1, view_2, labels))"

    needs_one_label = True

    def __init__(self, temperature: float = 0.2, skip_same_class: bool = True) -> None:
        super().__init__()
        if not 0 < temperature < float("inf"):
            raise UserInputError(f"temperature={temperature} of InstanceContrastLoss must be positive, like 0.2.")
        self.temperature = temperature
        self.skip_same_class = skip_same_class

    def forward(self, contrast: ContrastBatch) -> Tensor:
        """Compute the mean loss over the anchors.

        Args:
            contrast (ContrastBatch): Anchors and candidates, with ``other_view_positions``.

        Returns:
            Tensor: Scalar loss in float32 (or float64, if the input is).
        """
        compared = contrast.valid
        if self.skip_same_class:
            compared = (compared & ~contrast.same_class) | contrast.other_view
        return supcon_loss(contrast, contrast.other_view, self.temperature, compared).mean()
