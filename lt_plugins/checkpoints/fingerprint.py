"""Fingerprint of weights, by which two networks are told to be the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


def fingerprint_weights(state_dict: Mapping[str, Tensor]) -> str:
    """Hash the tensors of a network: names, types, shapes and bits, wherever they lie and in whatever order.

    Args:
        state_dict (Mapping[str, Tensor]): Tensors by name.

    Returns:
        str: SHA-256 in hexadecimal.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(state_dict.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
