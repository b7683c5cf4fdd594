"""Names and arguments of the components that a config describes, compared with the code before anything is built."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, get_type_hints

from mmengine import registry as roots
from mmengine.registry import Registry
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, TestLoop, ValLoop
from mmpretrain.registry import BATCH_AUGMENTS

from lt_plugins.checks.did_you_mean import did_you_mean
from lt_plugins.checks.type_hints import admits, describe_hint
from lt_plugins.errors import UserInputError

# Where the name of a component is looked up first; keys without an entry follow the key that they are below.
REGISTRIES: dict[str, Registry] = {
    "model": roots.MODELS,
    "data_preprocessor": roots.MODELS,
    "dataset": roots.DATASETS,
    "datasets": roots.DATASETS,
    "pipeline": roots.TRANSFORMS,
    "sampler": roots.DATA_SAMPLERS,
    "batch_sampler": roots.DATA_SAMPLERS,
    "companions": roots.DATA_SAMPLERS,
    "collate_fn": roots.FUNCTIONS,
    "worker_init_fn": roots.FUNCTIONS,
    "val_evaluator": roots.METRICS,
    "test_evaluator": roots.METRICS,
    "default_hooks": roots.HOOKS,
    "custom_hooks": roots.HOOKS,
    "task": roots.TASK_UTILS,
    "optim_wrapper": roots.OPTIM_WRAPPERS,
    "optimizer": roots.OPTIMIZERS,
    "param_scheduler": roots.PARAM_SCHEDULERS,
    "visualizer": roots.VISUALIZERS,
    "vis_backends": roots.VISBACKENDS,
    "log_processor": roots.LOG_PROCESSORS,
    "model_wrapper_cfg": roots.MODEL_WRAPPERS,
    "init_cfg": roots.WEIGHT_INITIALIZERS,
    "augments": BATCH_AUGMENTS,
}
SHARED_KEYS = (roots.MODELS, roots.DATA_SAMPLERS)
ALL_REGISTRIES = [value for value in vars(roots).values() if isinstance(value, Registry)]

# Keys that whoever builds the component takes out before.
TAKEN_OUT = {
    "companions": {"part"},
    "default_hooks": {"priority"},
    "custom_hooks": {"priority"},
    "param_scheduler": {"convert_to_iter_based", "epoch_length"},
    "optim_wrapper": {"constructor", "paramwise_cfg"},
    "optimizer": {"constructor", "paramwise_cfg"},
    "policies": {"magnitude_key", "magnitude_range", "magnitude_level"},
}
# Their arguments are shared out between the component and its builder (requires_grad, override, layer, ...).
NAME_ONLY = {"init_cfg", "norm_cfg", "conv_cfg", "act_cfg", "upsample_cfg", "log_processor", "override"}
NOT_COMPONENTS = {"metainfo", "nms", "roi_layer", "paramwise_cfg", "env_cfg", "backend_args", "data_prefix"}


class Argument(NamedTuple):
    """What the code says about an argument.

    Args:
        hint (Any): Its type hint; ``Any`` if it has none.
        default (Any): Its default; ``inspect.Parameter.empty`` if it has none.
        strict (bool): Whether the hint is this package's, and so is exact.
    """

    hint: Any
    default: Any
    strict: bool


class Signature(NamedTuple):
    """The arguments that a component takes.

    Args:
        arguments (dict[str, Argument]): By name.
        is_open (bool): Whether it takes others as well (``**kwargs`` down to the last base class).
    """

    arguments: dict[str, Argument]
    is_open: bool


def check_components(values: Mapping[str, Any], scope: str) -> None:
    """Check all components of a config.

    Args:
        values (Mapping[str, Any]): The keys of the config that the runner builds something from.
        scope (str): The default scope of the config.

    Raises:
        UserInputError: If a component is unknown, has no argument of a name, or the value of an argument is not of the
            type that the code gives it.
    """
    for key, value in values.items():
        if key in ("train_cfg", "val_cfg", "test_cfg") and isinstance(value, Mapping) and "type" not in value:
            loop = {"val_cfg": ValLoop, "test_cfg": TestLoop}.get(key) or (
                EpochBasedTrainLoop if value.get("by_epoch", "max_epochs" in value) else IterBasedTrainLoop
            )
            check_arguments(loop, value, key, {"by_epoch"})
        elif key in ("train_cfg", "val_cfg", "test_cfg"):
            _check(value, key, key, roots.LOOPS, scope)
        elif key == "default_hooks" and isinstance(value, Mapping):
            for name, hook in value.items():  # names of the user's choice, which say nothing about what is below
                _check(hook, f"{key}.{name}", key, roots.HOOKS, scope)
        else:
            _check(value, key, key, REGISTRIES.get(key, roots.MODELS), scope)


def check_arguments(component: Any, values: Mapping[str, Any], path: str, taken_out: set[str] | None = None) -> None:
    """Compare the arguments of a component with its signature.

    Args:
        component (Any): A class or function.
        values (Mapping[str, Any]): What the config gives it.
        path (str): Where in the config that is.
        taken_out (set[str] | None): Keys that are not for the component.

    Raises:
        UserInputError: If it takes no argument of a name, or a value is not of the argument's type.
    """
    signature = read_signature(component)
    name = component.__name__
    for key, value in values.items():
        if not isinstance(key, str):
            raise UserInputError(f"{path} has the key {key!r}; an argument of {name} has a name.")
        if key in ("type", "_scope_", "_delete_") or key in (taken_out or ()):
            continue
        argument = signature.arguments.get(key)
        if argument is None:
            if not signature.is_open:
                raise UserInputError(
                    f"{path}.{key}: {name} has no argument {key!r}{did_you_mean(key, signature.arguments)}"
                )
            continue
        if value is argument.default or (argument.default is None and value is None):
            continue
        if not admits(argument.hint, value, argument.strict):
            raise UserInputError(
                f"{path}.{key}={value!r:.100} of {name} must be {describe_hint(argument.hint)}"
                + (f", like {argument.default!r:.100}." if _is_example(argument.default) else ".")
            )


@cache
def read_signature(component: Any) -> Signature:
    """Find out which arguments a component takes, through the base classes that ``**kwargs`` go to.

    Args:
        component (Any): A class or function.
    """
    arguments: dict[str, Argument] = {}
    for function in _initialisers(component):
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):
            return Signature(arguments, is_open=True)
        strict = str(getattr(function, "__module__", "")).startswith("lt_plugins")
        hints: dict[str, Any] = {}
        try:
            hints = get_type_hints(function)
        # Hints are code, which may name what is imported for type checkers only: then no value is compared with them.
        except Exception:
            strict = False
        is_open = False
        for parameter in parameters[1:] if inspect.isclass(component) else parameters:
            if parameter.kind is parameter.VAR_KEYWORD:
                is_open = True
            elif parameter.kind is not parameter.VAR_POSITIONAL:
                hint = hints.get(parameter.name, Any)
                arguments.setdefault(parameter.name, Argument(hint, parameter.default, strict))
        if not is_open:
            return Signature(arguments, is_open=False)
    return Signature(arguments, is_open=True)


def find_component(name: Any, registry: Registry, scope: str) -> Any:
    """Look up a component as ``registry.build`` does, without building it.

    Args:
        name (Any): Its name, with or without scope, or the component itself.
        registry (Registry): The registry where it belongs.
        scope (str): The scope that counts where the name has none.

    Returns:
        Any: The class or function; None if there is none.
    """
    if not isinstance(name, str):
        return name if callable(name) else None
    own_scope, key = Registry.split_scope_key(name)
    # Parts of a detector come from several registries, and only their builder knows from which.
    for first in (registry, *ALL_REGISTRIES) if registry in SHARED_KEYS else (registry,):
        for inner in _ancestors(first, own_scope or scope):
            inner.import_from_location()  # once; building does so too
            if key in inner.module_dict:
                return inner.module_dict[key]
    if "." in name:  # a scope that is not imported yet, or a path like mmengine.model.BaseModel
        try:
            found = registry.get(name)
        # It imports a package, which may raise anything: for the caller the name is then an unknown one, and said so.
        except Exception:
            return None
        return found if callable(found) else None
    return None


def _check(node: Any, path: str, key: str, registry: Registry, scope: str) -> None:
    if isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            _check(value, f"{path}.{index}", key, registry, scope)
    if not isinstance(node, Mapping):
        return
    scope = node.get("_scope_", scope)
    if "type" in node:
        component = find_component(node["type"], registry, scope)
        if component is None:
            raise _unknown(node["type"], path, registry, scope)
        if key not in NAME_ONLY and (inspect.isclass(component) or inspect.isfunction(component)):
            check_arguments(component, node, path, TAKEN_OUT.get(key))
    for name, value in node.items():
        if name in NAME_ONLY and isinstance(value, (str, bool, int, float)):
            raise UserInputError(f"{path}.{name}={value!r:.100} must be a dict with a type, like dict(type='NAME').")
        if name not in NOT_COMPONENTS and isinstance(value, (Mapping, list, tuple)):
            # A hook or a scheduler below a name, and a transform below a transform, are of their parents' kind.
            inner = name if name in REGISTRIES or name in NAME_ONLY or name in TAKEN_OUT else key
            _check(value, f"{path}.{name}", str(inner), REGISTRIES.get(name, registry), scope)


def _unknown(name: Any, path: str, registry: Registry, scope: str) -> UserInputError:
    if not isinstance(name, str):
        return UserInputError(f"{path}.type={name!r:.100} must be the name of a component.")
    known = {key for inner in _ancestors(registry, scope) for key in inner.module_dict}
    near = did_you_mean(name, known)
    if not near.endswith("?"):
        near = "; import the module that registers it (custom_imports)."
        if scope == "mmengine":
            near = "; set default_scope, like default_scope = 'mmpretrain'."
    return UserInputError(f"{path}.type={name!r:.100} is not in the {scope}::{registry.name} registry{near}")


def _ancestors(registry: Registry, scope: str) -> Iterator[Registry]:
    """The registry of a scope and those that it falls back to."""
    child = registry._get_root_registry()._search_child(scope)
    inner = registry if child is None else child  # an empty registry is false
    while inner is not None:
        yield inner
        inner = inner.parent


def _initialisers(component: Any) -> Iterator[Callable[..., Any]]:
    """``__init__`` of a class and its bases, those that they call last; a function itself."""
    if not inspect.isclass(component):
        yield component
        return
    for base in component.__mro__:
        if "__init__" in vars(base):
            yield vars(base)["__init__"]


def _is_example(default: Any) -> bool:
    return isinstance(default, (bool, int, float, str)) or (isinstance(default, Sequence) and len(default) > 0)
