"""Image buffers: gives buffers with an entry for each training image their size."""

from __future__ import annotations

from mmengine.runner import Runner

from lt_plugins.engine.hooks.method_hook import MethodHook
from lt_plugins.engine.sample_index import check_sample_index
from lt_plugins.models.unwrap import unwrap_model
from lt_plugins.registry import HOOKS


@HOOKS.register_module()
class ImageBuffersHook(MethodHook):
    """Image-buffers hook: calls ``set_num_images(N)`` of every module that has it, before the training.

    Such a module, like the running losses of :class:`.LFFClassifier`, has a buffer with one entry for each training
    image, written and read by ``sample_idx``. What a checkpoint brought of the same size stays.

    Raises:
        UserInputError: If the samples do not say which image they are.

    Examples:
        >>> custom_hooks = [dict(type='ImageBuffersHook')]
    """

    def before_train(self, runner: Runner) -> None:
        """Set the number of training images.

        Args:
            runner (Runner): The runner of the training process.
        """
        modules = [part for part in unwrap_model(runner.model).modules() if hasattr(part, "set_num_images")]
        if not modules:
            runner.logger.info(f"{type(self).__name__} has nothing to do: no module has a buffer for each image.")
            return
        dataset = runner.train_dataloader.dataset
        check_sample_index(dataset)
        for module in modules:
            module.set_num_images(len(dataset))
