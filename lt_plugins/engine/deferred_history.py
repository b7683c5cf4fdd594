"""History of a logged number whose newest values may still lie on the device."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from torch import Tensor

MAX_PENDING = 1000  # values that wait on the device at most


class DeferredHistory(HistoryBuffer):
    """mmengine's ``HistoryBuffer`` that takes tensors and reads them when somebody looks at the history.

    A number that is read in every step lets the host wait for the device in every step; here all values since the last
    look are read at once. Whoever looks (log, hooks, a checkpoint) sees the same history as with mmengine's, and copies
    and checkpoints hold mmengine's class.

    Args:
        history (HistoryBuffer): What has been logged so far.
    """

    def __init__(self, history: HistoryBuffer) -> None:
        self._pending: list[Tensor] = []
        super().__init__(max_length=history.max_length)
        self._log_history, self._count_history = history.data

    def defer(self, value: Tensor) -> None:
        """Append a number without reading it.

        Args:
            value (Tensor): Of one element.
        """
        # A copy: the tensor may be a buffer that the next step changes.
        self._pending.append(value.detach().clone().reshape(()))
        if len(self._pending) >= MAX_PENDING:
            self._read()

    @property
    def _log_history(self) -> np.ndarray:
        self._read()
        return self._logs

    @_log_history.setter
    def _log_history(self, values: np.ndarray) -> None:
        self._logs = values

    @property
    def _count_history(self) -> np.ndarray:
        self._read()
        return self._counts

    @_count_history.setter
    def _count_history(self, values: np.ndarray) -> None:
        self._counts = values

    def _read(self) -> None:
        """Append what waits, with one look at the device."""
        if not self._pending:
            return
        pending, self._pending = self._pending, []
        if len({(value.dtype, value.device) for value in pending}) == 1:
            values = torch.stack(pending).tolist()
        else:
            values = [value.item() for value in pending]
        self._logs = np.append(self._logs, values)[-self.max_length :]
        self._counts = np.append(self._counts, [1] * len(values))[-self.max_length :]

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Copies and pickles are of mmengine's class."""
        return HistoryBuffer, (*self.data, self.max_length)


def defer_scalar(hub: MessageHub, key: str, value: Any) -> None:
    """Log a number as ``hub.update_scalar`` does; one of a tensor is read when somebody looks at it.

    Args:
        hub (MessageHub): Where it is logged.
        key (str): Its name.
        value (Tensor | float | NDArray): The number.
    """
    history = hub.log_scalars.get(key)
    if isinstance(history, DeferredHistory) and isinstance(value, Tensor) and value.numel() == 1:
        history.defer(value)
        return
    hub.update_scalar(key, value)
    if not isinstance(history, DeferredHistory):
        hub.log_scalars[key] = DeferredHistory(hub.log_scalars[key])
