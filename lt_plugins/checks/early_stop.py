"""What a checkpoint says about early stopping."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PATIENCE = 5
STATE = "early_stop"
"""Name in mmengine's message hub: a dict with ``epoch`` (of the last evaluation), ``best_score`` and ``wait_count``."""


def stopped_early(runtime_info: Any, cfg: Mapping[str, Any], epoch: int) -> bool:
    """Check whether a training has been ended by its ``EarlyStopHook``.

    Args:
        runtime_info (dict): That of the message hub, of a runner or in a checkpoint.
        cfg (Mapping): The config of the run; without the hook, or with more patience, it has not.
        epoch (int): Epochs that it has trained.
    """
    state = runtime_info.get(STATE) if isinstance(runtime_info, Mapping) else None
    hook = (cfg.get("default_hooks") or {}).get("early_stop")
    if not isinstance(state, Mapping) or not isinstance(hook, Mapping):
        return False
    return bool(state.get("epoch") == epoch and state.get("wait_count", 0) >= hook.get("patience", PATIENCE))
