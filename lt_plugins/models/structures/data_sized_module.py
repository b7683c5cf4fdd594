"""Modules with buffers whose length the training set decides."""

from __future__ import annotations

from torch import Tensor, nn

from lt_plugins.errors import UserInputError


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

    def forget_data(self) -> None:
        """Empty the buffers in ``sized_by_data``, as they are before a hook fills them."""
        for name in self.sized_by_data:
            buffer = getattr(self, name)
            buffer.resize_((0,) * buffer.dim())

    def check_index(self, index: Tensor | None, name: str, hook: str, setter: str) -> Tensor:
        """Indices of a batch's images in a buffer that has one entry an image.

        Args:
            index (Tensor, optional): Indices of the images in the training set, int64 ``(B,)``.
            name (str): One of ``sized_by_data``.
            hook (str): The hook that fills it.
            setter (str): The method that does so in a loop of one's own.

        Returns:
            Tensor: They, on the device of the buffer.

        Raises:
            UserInputError: If the images have no index, or the buffer is empty.
        """
        buffer = self.get_buffer(name)
        if index is None or not len(buffer):
            what = "samples without an index" if index is None else "no number of training images"
            raise UserInputError(
                f"{type(self).__name__} got {what}; keep 'sample_idx' in the meta_keys of PackInputs, and add "
                f"dict(type='{hook}') to custom_hooks, or call {setter}()."
            )
        return index.to(buffer.device)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: object) -> None:
        """Take the lengths of the buffers from the state."""
        for name in self.sized_by_data:
            saved = state_dict.get(prefix + name)
            if saved is not None and saved.dim() == getattr(self, name).dim():
                getattr(self, name).resize_(saved.shape)
        super()._load_from_state_dict(state_dict, prefix, *args)
