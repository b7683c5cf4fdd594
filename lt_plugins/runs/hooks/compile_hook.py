"""Compilation: lets ``torch.compile`` take the backbones of a model, in place."""

from __future__ import annotations

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from lt_plugins.models.unwrap import unwrap_model
from lt_plugins.registry import HOOKS

# Variants of a backbone at a time: query and key encoder, training and evaluation, with and without gradient, of one
# batch size and of any. torch's default is 8, after which it goes on without compilation.
MAX_VARIANTS = 32


@HOOKS.register_module()
class CompileHook(Hook):
    """Compilation hook: compiles the backbone of a model, and that of its key encoder, in place.

    mmengine's ``compile`` takes the whole training step, whose lists of samples break the graph in pieces. The backbone
    is most of the arithmetic and takes one tensor. The names in the state stay as they are, and what is compiled (each
    variant at its first batch) is neither saved nor copied. Batches of another size are compiled once more, for any
    size, and no further. Without a working compiler the training goes on as it would without this hook, and so does a
    backbone that cannot be compiled. ``tools/train.py --compile`` adds the hook.

    Args:
        backend (str): Of ``torch.compile``. Defaults to ``"inductor"``, which needs a C++ compiler on a CPU and Triton
            on CUDA.

    Config::

        default_hooks = dict(compile=dict(type='CompileHook'))
    """

    # After MemoryFormatHook.
    priority = "NORMAL"

    def __init__(self, backend: str = "inductor") -> None:
        self.backend = backend

    def before_train(self, runner: Runner) -> None:
        """Mark the backbones for compilation, if there is a compiler.

        Args:
            runner (Runner): The runner of the training process.
        """
        model = unwrap_model(runner.model)
        problem = find_compiler_problem(next(model.parameters()).device, self.backend)
        if problem is not None:
            runner.logger.warning(f"torch.compile does not work here, so nothing is compiled ({problem}).")
            return
        import torch._dynamo  # takes seconds

        settings = torch._dynamo.config
        limit = "recompile_limit" if hasattr(settings, "recompile_limit") else "cache_size_limit"  # torch < 2.6
        setattr(settings, limit, max(getattr(settings, limit), MAX_VARIANTS))
        settings.suppress_errors = True
        backbones = find_backbones(model)
        for module in backbones.values():
            module.compile(backend=self.backend)
        runner.logger.info(f"Compiled at their first batches, which take a minute or two: {', '.join(backbones)}.")

    def after_run(self, runner: Runner) -> None:  # noqa: ARG002 (mmengine's signature)
        """Forget what was compiled, so that a next stage starts as in a process of its own.

        Args:
            runner (Runner): The runner.
        """
        torch.compiler.reset()


def find_backbones(model: nn.Module) -> dict[str, nn.Module]:
    """Find the modules of a model that are called ``backbone``, and not those inside of them.

    Args:
        model (nn.Module): The model, without wrappers.

    Returns:
        dict[str, nn.Module]: By name: ``backbone``, with a momentum encoder also ``key_encoder.backbone``.
    """
    named = {name: module for name, module in model.named_modules() if name.split(".")[-1] == "backbone"}
    return {name: module for name, module in named.items() if "backbone" not in name.split(".")[:-1]}


def find_compiler_problem(device: torch.device, backend: str) -> str | None:
    """Compile a small function, and say why that does not work.

    Args:
        device (torch.device): Where it computes.
        backend (str): Of ``torch.compile``.

    Returns:
        str | None: The reason in one line, None if it works.
    """

    def probe(x: Tensor) -> Tensor:
        return x.relu() + x.sin()

    try:
        torch.compile(probe, backend=backend)(torch.ones(64, device=device))
    except Exception as error:  # compilers and torch raise what they like
        return " ".join(str(error).strip().split("\n")[0].split())[:200] or type(error).__name__
    return None
