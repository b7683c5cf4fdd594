"""One line about an exception that arose while a component of a config was being built."""

from __future__ import annotations

import textwrap
import traceback
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any

from mmengine.registry.build_functions import build_from_cfg, build_scheduler_from_cfg
from mmengine.runner import Runner

from lt_plugins.checks.component_check import read_signature
from lt_plugins.checks.did_you_mean import did_you_mean

BUILDERS = {build_from_cfg.__code__, build_scheduler_from_cfg.__code__}
# Where mmengine builds without a registry, and what of.
RUNNER_PARTS = {
    Runner.build_dataloader.__code__: "a data loader",
    Runner.build_param_scheduler.__code__: "param_scheduler",
    Runner.build_optim_wrapper.__code__: "optim_wrapper",
    Runner.setup_env.__code__: "env_cfg",
    Runner.set_randomness.__code__: "randomness",
    Runner.wrap_model.__code__: "the model",
    Runner.build_log_processor.__code__: "log_processor",
    Runner._init_model_weights.__code__: "the initial weights (init_cfg)",
}


def explain_build_error(error: Exception) -> str | None:
    """Say which component could not be built, from the frames that an exception has passed.

    A value that a component does not check ends in any exception within its ``__init__``; this one line stands for all
    of them. Nothing is patched: the builders of mmengine are found in the traceback.

    Args:
        error (Exception): What was raised.

    Returns:
        str | None: The line; None if nothing was being built.
    """
    frames = list(_frames(error))
    chain = [frame for frame in frames if frame.f_code in BUILDERS]
    reason = f"{type(error).__name__}: {textwrap.shorten(_text(error) or _source(error), 300, placeholder=' ...')}"
    if not chain:
        part = next((RUNNER_PARTS[frame.f_code] for frame in frames if frame.f_code in RUNNER_PARTS), None)
        return None if part is None else f"{part} of the config cannot be built: {reason}"
    inner = chain[-1].f_locals
    component = inner.get("obj_cls") or inner.get("scheduler_cls")
    if component is None:  # mmengine says that it is no dict, or the registry has no such name
        owner = "the config does not fit the code"
        if len(chain) > 1:
            owner = f"a part of {_name(chain[-2].f_locals)} cannot be built"
        return f"{owner}: {textwrap.shorten(_text(error), 300)}"
    name = getattr(component, "__name__", str(component))
    arguments: Mapping[str, Any] = inner.get("args") or {}
    # A loop builds its data loader, but is no part of what the config says about the data.
    owners = [owner for frame in chain[:-1] if not (owner := _name(frame.f_locals)).endswith("Loop")]
    where = f" of {owners[-1]}" if owners else ""
    if isinstance(error, TypeError) and frames[-1] is chain[-1]:  # raised by the call itself
        signature = read_signature(component)
        for key in arguments:
            if key not in signature.arguments and not signature.is_open:
                hint = did_you_mean(key, signature.arguments)
                return f"{name}{where} has no argument {key!r}{hint}"
    shown = ", ".join(f"{key}={value!r}" for key, value in arguments.items() if _is_short(value))
    return f"{name}({textwrap.shorten(shown, 300)}){where} cannot be built: {reason}"


def _frames(error: Exception) -> Iterator[FrameType]:
    """The frames that an exception has passed, outermost first, down to the first of those that caused it."""
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next


def _name(values: Mapping[str, Any]) -> str:
    component = values.get("obj_cls") or values.get("scheduler_cls")
    return getattr(component, "__name__", str(component))


def _text(error: Exception) -> str:
    return " ".join(str(error.args[0] if isinstance(error, KeyError) and error.args else error).split())


def _source(error: Exception) -> str:
    """The line of code that raised, which says what an ``assert`` without words demands."""
    raised = traceback.extract_tb(error.__traceback__)
    return raised[-1].line or "" if raised else ""


def _is_short(value: Any) -> bool:
    return (
        value is None
        or isinstance(value, (bool, int, float, str))
        or (isinstance(value, (list, tuple)) and len(value) < 10 and all(map(_is_short, value)))
    )
