"""Mixed precision: sets the optimiser of a config to compute in bfloat16 or float16."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from lt_plugins.errors import UserInputError

if TYPE_CHECKING:
    from mmengine.config import Config

Precision = Literal["auto", "bf16", "fp16"]
"""Of ``--amp``; ``auto`` is bf16 where the GPU computes in it."""
PLAIN_WRAPPERS = ("OptimWrapper", "AmpOptimWrapper")
FIRST_WITH_BF16 = (8, 0)  # compute capability of Ampere


def use_mixed_precision(cfg: Config, precision: Precision) -> None:
    """Let a training autocast to a half precision.

    bfloat16 has the range of float32, so that no gradient under- or overflows and no step is skipped; float16 has three
    more bits, and needs a dynamic loss scaling. What the config says itself of its ``AmpOptimWrapper`` stays.

    Args:
        cfg (Config): The config of a stage; changed in place.
        precision (Literal["auto", "bf16", "fp16"]): The number format.

    Raises:
        UserInputError: If bf16 is asked for and the GPU does not compute in it, or the config has a wrapper of another
            kind around its optimiser.
    """
    import torch

    wrapper = cfg.optim_wrapper
    if wrapper.get("type", "OptimWrapper") not in PLAIN_WRAPPERS:
        raise UserInputError(
            f"--amp: {wrapper.type} takes its steps in float32, and mixed precision would put an AmpOptimWrapper in "
            "its place; leave --amp out."
        )
    # Without any GPU the launch refuses mixed precision as such.
    has_bf16 = not torch.cuda.is_available() or torch.cuda.get_device_capability() >= FIRST_WITH_BF16
    if precision == "bf16" and not has_bf16:
        name = torch.cuda.get_device_name()
        raise UserInputError(f"--amp bf16: {name} does not compute in bfloat16; use --amp fp16.")
    wrapper.type = "AmpOptimWrapper"
    if precision == "auto":
        precision = "bf16" if has_bf16 and wrapper.get("dtype", "bfloat16") == "bfloat16" else "fp16"
    if precision == "bf16":
        wrapper.dtype = "bfloat16"
        wrapper.setdefault("loss_scale", {"enabled": False})
    else:
        # float16 is what no dtype means, also in the record of a run that is resumed.
        if wrapper.get("dtype") == "bfloat16":
            wrapper.dtype = "float16"
        wrapper.setdefault("loss_scale", "dynamic")
