"""Layer-wise learning rates for fine-tuning."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from lt_plugins.errors import UserInputError
from lt_plugins.registry import OPTIM_WRAPPER_CONSTRUCTORS

BACKBONE = "backbone."
# Up to the first part of a name that counts blocks: blocks.3, layer1, timm_model.stages.0.
_UNIT = re.compile(r"(?:.*?\.)??(?:\d+|(?:layer|stage|block)s?_?\d+)(?=\.)")


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayConstructor(DefaultOptimWrapperConstructor):
    r"""Layer-wise learning-rate decay: the rate of a layer falls by a factor for each layer above it.

    Head and neck have the full rate, the last layer of the backbone :math:`\gamma`, the one before :math:`\gamma^2`,
    and so on. A backbone of mmpretrain that knows its layers says so (``get_layer_depth``: ViT, Swin, ConvNeXt, BEiT);
    of any other they are its numbered blocks or stages in the order of its definition, and what comes before the first
    and after the last (:func:`layer_numbers`). All else is as of mmengine's ``DefaultOptimWrapperConstructor``,
    ``lr_mult`` of ``custom_keys`` included. Parameters with equal settings share a group; frozen ones are left out.

    Source: Bao et al., "BEiT: BERT Pre-Training of Image Transformers" (ICLR 2022), fine-tuning.

    Args:
        optim_wrapper_cfg (dict): As for mmengine's.
        paramwise_cfg (dict, optional): As for mmengine's, and ``layer_decay_rate`` :math:`\gamma`, above 0 and at most
            1. Defaults to 1.

    Raises:
        UserInputError: If the factor is out of range, or nothing is left to train.

    Examples:
        >>> optim_wrapper = dict(optimizer=dict(type='AdamW', lr=1e-3), constructor='LayerDecayConstructor',
        ...                      paramwise_cfg=dict(layer_decay_rate=0.75, norm_decay_mult=0.0))
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        # Never empty: mmengine's constructor then looks at no parameter.
        settings = {"layer_decay_rate": 1.0, **(paramwise_cfg or {})}
        self.layer_decay_rate = settings["layer_decay_rate"]
        if not isinstance(self.layer_decay_rate, (int, float)) or not 0 < self.layer_decay_rate <= 1:
            raise UserInputError(
                f"paramwise_cfg.layer_decay_rate={self.layer_decay_rate!r} must be above 0 and at most 1, like 0.75."
            )
        super().__init__(optim_wrapper_cfg, settings)

    def add_params(self, params: list[dict], module: nn.Module, prefix: str = "", **kwargs: Any) -> None:
        """Add the parameters of a module to the groups; of the whole model with the rates of their layers.

        Args:
            params (list[dict]): The groups; changed in place.
            module (nn.Module): The module.
            prefix (str): Where it stands in the model; empty for the model. Defaults to ``""``.
            **kwargs: As for mmengine's.
        """
        super().add_params(params, module, prefix=prefix, **kwargs)
        if prefix:
            return
        scales = self._scales(module)
        groups: dict[tuple[Any, ...], dict[str, Any]] = {}
        for single in params:
            [parameter] = single["params"]
            if not parameter.requires_grad:
                continue
            settings = {key: value for key, value in single.items() if key != "params"}
            settings["lr"] = settings.get("lr", self.optimizer_cfg["lr"]) * scales[parameter]
            key = tuple(sorted(settings.items()))
            groups.setdefault(key, {"params": [], **settings})["params"].append(parameter)
        if not groups:
            raise UserInputError("all parameters are frozen, so there is nothing to train; unfreeze the head.")
        params[:] = groups.values()

    def _scales(self, model: nn.Module) -> dict[nn.Parameter, float]:
        """Factor on the rate of each parameter."""
        backbone = getattr(model, "backbone", None)
        parameters = dict(model.named_parameters())
        names = [name for name in parameters if name.startswith(BACKBONE)]
        if backbone is None or not names:
            raise UserInputError(
                f"LayerDecayConstructor asks for the layers of model.backbone, which {type(model).__name__} does not "
                "have; leave optim_wrapper.constructor out."
            )
        numbers = layer_numbers([name.removeprefix(BACKBONE) for name in names])
        below = [max(numbers) + 1 - number for number in numbers]
        with suppress(AttributeError, NotImplementedError):  # mmpretrain's ResNet-18 does not know its layers
            depths = [backbone.get_layer_depth(name, BACKBONE) for name in names]
            below = [total - layer - 1 for layer, total in depths]
        scales = dict.fromkeys(parameters.values(), 1.0)
        return scales | {
            parameters[name]: self.layer_decay_rate**steps for name, steps in zip(names, below, strict=True)
        }


def layer_numbers(names: Sequence[str]) -> list[int]:
    """Find the layer of each parameter of a backbone by its name.

    A numbered block or stage at the highest level is a layer (``blocks.3``, ``layer1``, ``stages.0``); what stands
    before the first and what stands elsewhere are one layer each.

    Args:
        names (Sequence[str]): Names of the parameters, in the order of their definition.

    Returns:
        list[int]: Numbers from 0, in the order in which the layers appear.
    """
    layers: dict[str, int] = {}
    numbers = []
    before_first = True
    for name in names:
        found = _UNIT.match(name)
        before_first &= found is None
        unit = found.group() if found else "before" if before_first else "after"
        numbers.append(layers.setdefault(unit, len(layers)))
    return numbers
