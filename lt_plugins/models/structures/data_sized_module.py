"""Modules with buffers whose length the training set decides."""

from __future__ import annotations

from torch import Tensor, nn


class DataSizedModule(nn.Module):
    """Base of modules with buffers that have one entry for each class or image of the training set.

    The buffers named in ``sized_by_data`` are empty until a hook fills them, and loading a state resizes them, so that
    no argument need repeat a size which the data decide. ``CheckpointFitHook`` accepts any length of them, and
    ``AveragedModelHook`` resizes them in copies of the model.

    Attributes:
        sized_by_data (tuple[str, ...]): Names of these buffers, of one dimension or more.
    """

    sized_by_data: tuple[str, ...] = ()

    def resize_and_copy(self, name: str, values: Tensor) -> None:
        """Give a buffer a new length and new values; it stays the same tensor, on its own device.

        Args:
            name (str): One of ``sized_by_data``.
            values (Tensor): Its values, of as many dimensions as the buffer.
        """
        getattr(self, name).resize_(values.shape).copy_(values)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: object) -> None:
        """Take the lengths of the buffers from the state."""
        for name in self.sized_by_data:
            saved = state_dict.get(prefix + name)
            if saved is not None and saved.dim() == getattr(self, name).dim():
                getattr(self, name).resize_(saved.shape)
        super()._load_from_state_dict(state_dict, prefix, *args)
