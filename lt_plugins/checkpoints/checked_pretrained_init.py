"""Initialisation from a checkpoint, which has to fit."""

from __future__ import annotations

from mmengine.logging import print_log
from mmengine.model.weight_init import PretrainedInit, update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS
from mmengine.runner.checkpoint import CheckpointLoader, load_state_dict
from torch import Tensor, nn

from lt_plugins.checkpoints.checkpoint_fit import check_checkpoint_fit
from lt_plugins.checkpoints.pretrained_weights import rename_weights
from lt_plugins.errors import UserInputError


@WEIGHT_INITIALIZERS.register_module(name="Pretrained", force=True)
class CheckedPretrainedInit(PretrainedInit):
    """mmengine's ``Pretrained`` initialiser, which refuses a checkpoint that would leave the module partly random.

    mmengine loads the tensors that happen to fit, and warns about the rest in the middle of the log. The check is that
    of ``load_from``: of a whole model the backbone must fit, of any other module all of it. Names of torchvision, timm,
    CLIP and others are recognised (:func:`~lt_plugins.checkpoints.pretrained_weights.match_weights`), and weights of a
    plain network fit one of several experts, too: each starts from them.

    Args:
        checkpoint (str): The checkpoint: ``.pth``, ``.safetensors``, or an address such as ``torchvision://resnet50``.
        prefix (str | None): Take the tensors whose names start with it, such as ``backbone.``. Defaults to None, which
            finds it.
        map_location (str): As for :func:`torch.load`. Defaults to ``"cpu"``.
        min_fraction (float): How many of the tensors must be in the checkpoint; the rest stays random. Defaults to 1.0.

    Config::

        model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='ce_r50.pth', prefix='backbone.')))

    Raises:
        UserInputError: If the checkpoint does not fit.
    """

    def __init__(
        self, checkpoint: str, prefix: str | None = None, map_location: str = "cpu", min_fraction: float = 1.0
    ) -> None:
        super().__init__(checkpoint, prefix, map_location)
        self.min_fraction = min_fraction

    def __call__(self, module: nn.Module) -> None:
        """Load the checkpoint.

        Args:
            module (nn.Module): The module to initialise.
        """
        source = str(self.checkpoint)
        print_log(f"load {self.prefix or 'model'} from: {source}", logger="current")
        checkpoint = CheckpointLoader.load_checkpoint(source, self.map_location, logger="silent")
        weights = checkpoint.get("state_dict", checkpoint)
        state_dict = {key.removeprefix("module."): value for key, value in weights.items() if isinstance(value, Tensor)}
        if self.prefix is not None:
            prefix = self.prefix.removesuffix(".") + "."
            found = {key.removeprefix(prefix): value for key, value in state_dict.items() if key.startswith(prefix)}
            if not found:
                parts = ", ".join(sorted({key.partition(".")[0] for key in state_dict})[:8])
                raise UserInputError(
                    f"init_cfg of {type(module).__name__}: {source} holds nothing under the prefix {prefix!r} (it has "
                    f"{parts}); give another prefix, or none for a backbone by itself."
                )
            state_dict = found
        state_dict = rename_weights(module, state_dict)
        check_checkpoint_fit(module, state_dict, source, "initialise", self.min_fraction)
        load_state_dict(module, state_dict, strict=False, logger="current")
        if hasattr(module, "_params_init_info"):
            update_init_info(module, init_info=self._get_init_info())
