"""Base class of the hooks of methods."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner
from torch.utils.data import DataLoader


class MethodHook(Hook):
    """Base class of the hooks in ``custom_hooks``: leaves a run that has no data.

    mmpretrain's ``vis_scheduler`` trains a stand-in for the model on a list of numbers, with the ``custom_hooks`` of
    the config and default hooks of its own. Only the schedule is wanted there.
    """

    def before_run(self, runner: Runner) -> None:
        """Remove this hook from a run whose training loop has no data loader.

        Args:
            runner (Runner): The runner.
        """
        loop = runner._train_loop
        if isinstance(loop, BaseLoop) and not isinstance(loop.dataloader, DataLoader):
            runner._hooks = [hook for hook in runner._hooks if hook is not self]
            name = type(self).__name__
            runner.logger.info(f"Training on no data loader: only the schedule is run through, without {name}.")
