"""Runner of the command line tools."""

from __future__ import annotations

import logging
import sys
from functools import partial
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from lt_plugins.engine.hooks.memory_format_hook import MemoryFormatHook
from lt_plugins.evaluation.batch_evaluator import BatchEvaluator
from lt_plugins.models.memory_format import choose_memory_format, convert_convolutions
from lt_plugins.runs.console import show_on_console
from lt_plugins.runs.resident import resident_loader

# Those that mmengine's runner registers by itself, unless they are None.
MMENGINE_HOOKS = {"runtime_info", "timer", "sampler_seed", "logger", "param_scheduler", "checkpoint"}


class QuietRunner(Runner):
    """Quiet runner: mmengine's ``Runner`` with :class:`ConsoleHandler` and :class:`.BatchEvaluator`; formats no config.

    With ``resident = True`` in the config its data loaders keep their images in memory
    (:class:`~lt_plugins.datasets.resident_dataset.ResidentDataset`).

    mmengine formats the text of the config anew for the log, for each of its dumps and for every checkpoint, which
    takes seconds each time. The same values are written without that.

    Args:
        *args: As for :class:`mmengine.runner.Runner`.
        cfg (Config | dict | None): The whole config.
        **kwargs: As for :class:`mmengine.runner.Runner`.
    """

    def __init__(self, *args: Any, cfg: Config | dict[str, Any] | None = None, **kwargs: Any) -> None:
        if cfg is not None:
            cfg = cfg.copy() if isinstance(cfg, Config) else Config(cfg)
            object.__setattr__(cfg, "_format_python_code", False)  # what Config(format_python_code=False) sets
        super().__init__(*args, cfg=cfg, **kwargs)

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build the logger: everything goes to its file, lines for users to the console.

        Args:
            *args: As for mmengine's runner.
            **kwargs: As for mmengine's runner.

        Returns:
            MMLogger: The logger.
        """
        logger = super().build_logger(*args, **kwargs)
        show_on_console(logger)
        for handler in logger.handlers:
            if type(handler) is logging.FileHandler:
                handler.handleError = partial(_refuse_log, handler)  # type: ignore[method-assign]
        return logger

    def build_dataloader(self, dataloader: DataLoader[Any] | dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Build a data loader, of resident images if the config says so.

        Args:
            dataloader (DataLoader | dict): As for mmengine's runner, whose method is a static one.
            *args: As for mmengine's runner.
            **kwargs: As for mmengine's runner.

        Returns:
            DataLoader: The data loader.
        """
        if self.cfg.get("resident") and isinstance(dataloader, dict) and isinstance(dataloader.get("dataset"), dict):
            dataloader = resident_loader(dataloader)
        return super().build_dataloader(dataloader, *args, **kwargs)

    def build_evaluator(self, evaluator: dict[str, Any] | list[Any] | Evaluator) -> Evaluator:
        """Build the evaluator; one of mmengine's own becomes a :class:`.BatchEvaluator` of the same metrics.

        Args:
            evaluator (dict | list | Evaluator): As for mmengine's runner.

        Returns:
            Evaluator: The evaluator.
        """
        built = super().build_evaluator(evaluator)
        return BatchEvaluator(built.metrics) if type(built) is Evaluator else built

    def wrap_model(self, model_wrapper_cfg: dict[str, Any] | None, model: nn.Module) -> nn.Module:
        """Wrap the model for several processes, while its convolutions lie in memory as they will in training.

        ``DistributedDataParallel`` takes over the order that the weights have when it is built. Afterwards they are
        contiguous again, since initial weights are drawn in the order in memory, until ``MemoryFormatHook`` converts
        them.

        Args:
            model_wrapper_cfg (dict | None): As for mmengine's runner.
            model (nn.Module): The model.

        Returns:
            nn.Module: The wrapped model; the model itself in a single process.
        """
        wrapper = str((model_wrapper_cfg or {}).get("type", "DistributedDataParallel"))
        if not self.distributed or is_model_wrapper(model) or not wrapper.endswith("DistributedDataParallel"):
            return super().wrap_model(model_wrapper_cfg, model)
        memory_format = _configured_memory_format(self.cfg)
        convert_convolutions(model, memory_format)
        wrapped = super().wrap_model(model_wrapper_cfg, model)
        convert_convolutions(model, torch.contiguous_format)
        wrapped.memory_format = memory_format
        return wrapped

    def register_default_hooks(self, hooks: dict[str, Any] | None = None) -> None:
        """Register the hooks of ``default_hooks``; ``NAME=None`` leaves out any of them, not only mmengine's own.

        Args:
            hooks (dict | None): The hooks by name, as for mmengine's runner.
        """
        given = hooks or {}
        super().register_default_hooks(
            {name: hook for name, hook in given.items() if hook is not None or name in MMENGINE_HOOKS}
        )


def _configured_memory_format(cfg: Config) -> torch.memory_format:
    """Choose the memory format before there are hooks: by the config; contiguous without ``MemoryFormatHook``."""
    for hook in [*(cfg.get("default_hooks") or {}).values(), *(cfg.get("custom_hooks") or ())]:
        if isinstance(hook, dict) and str(hook.get("type")).split(".")[-1] == MemoryFormatHook.__name__:
            return choose_memory_format(hook.get("channels_last"), get_device(), cfg)
    return torch.contiguous_format


def _refuse_log(handler: logging.FileHandler, record: logging.LogRecord) -> None:  # noqa: ARG001 (logging's signature)
    """Refuse a run whose log file cannot be opened, by the file's name."""
    error = sys.exc_info()[1]
    if isinstance(error, OSError):
        raise OSError(error.errno, error.strerror, handler.baseFilename) from error
    raise
