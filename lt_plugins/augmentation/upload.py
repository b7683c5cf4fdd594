"""What was computed on the CPU, brought to the device of the images."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def upload(array: NDArray[Any], device: torch.device) -> Tensor:
    """Copy an array to a device, without waiting for what the device is doing.

    Args:
        array (NDArray): Any shape.
        device (torch.device): Where it goes; on the CPU the tensor shares its memory.

    Returns:
        Tensor: Same shape and type.
    """
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor if device.type == "cpu" else tensor.to(device, non_blocking=True)
