"""PyTorch's own initialisation, by name."""

from __future__ import annotations

from mmengine.registry import WEIGHT_INITIALIZERS
from torch import nn

from lt_plugins.models.initializers.layer_init import LayerInit


@WEIGHT_INITIALIZERS.register_module()
class TorchDefaultInit(LayerInit):
    r"""Linear layers and convolutions as PyTorch makes them: uniform within :math:`\pm 1/\sqrt{fan_{in}}`, bias too.

    The released codes of the field leave most classifiers at that, where mmpretrain's heads draw small weights and set
    the bias to zero. With ``kaiming_weight`` the weights are Kaiming-normal, :math:`N(0, 2/fan_{in})`, and the bias
    stays PyTorch's; that is the classifier of the LDAM recipe. Its deviation depends on the features alone, not, as
    that of mmengine's ``Kaiming`` (``mode='fan_out'``, bias 0), on the number of classes.

    Source: He et al., "Delving Deep into Rectifiers" (ICCV 2015), as in the released code of Cao et al., "Learning
    Imbalanced Datasets with Label-Distribution-Aware Margin Loss" (NeurIPS 2019).

    Args:
        kaiming_weight (bool): Whether the weights are Kaiming-normal. Defaults to False.
        layer (str | list[str], optional): Classes of the layers, like ``'Linear'``. Defaults to None; a layer can be
            named by ``override`` then, as for mmengine's own initialisations.

    Examples:
        >>> head = dict(type='LinearHead', num_classes=100, in_channels=64,
        ...             init_cfg=dict(type='TorchDefaultInit', kaiming_weight=True, layer='Linear'))
    """

    kinds = (nn.Linear, nn.modules.conv._ConvNd)

    def __init__(self, kaiming_weight: bool = False, layer: str | list[str] | None = None) -> None:
        super().__init__(layer=layer)
        self.kaiming_weight = kaiming_weight

    def initialise(self, layer: nn.Linear | nn.modules.conv._ConvNd) -> None:
        """Draw the parameters of one layer again."""
        layer.reset_parameters()
        if self.kaiming_weight:
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")

    def _get_init_info(self) -> str:
        return f"{super()._get_init_info()}: kaiming_weight={self.kaiming_weight}"
