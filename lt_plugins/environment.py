"""Environment report of ``python -m lt_plugins``: lists packages, and the lines that install missing ones."""

from __future__ import annotations

import importlib
import platform
import sys
from contextlib import redirect_stdout
from typing import NamedTuple

from lt_plugins.compat import INSTALL_OPS, MMDET_REQUIREMENT, OPENMMLAB_VERSIONS
from lt_plugins.terminal import PrintableStream
from lt_plugins.version import __version__

# Module -> pip requirement; the first group is needed always, the second for some uses.
NEEDED = {
    "torch": "torch",
    "torchvision": "torchvision",
    **{module: requirement for module, (requirement, _, _) in OPENMMLAB_VERSIONS.items()},
    "numpy": "numpy",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "matplotlib": "matplotlib",
    "rich": "rich",
    "tensorboard": "tensorboard",
}
OPTIONAL = {"mmdet": MMDET_REQUIREMENT}

INSTALL_FAISS_CPU = "pip install faiss-cpu"
INSTALL_FAISS_GPU = "pip uninstall -y faiss-cpu; pip install faiss-gpu-cu12"


class Part(NamedTuple):
    """Line of the report: a name, its state, and the command that fixes it (None: nothing to fix)."""

    name: str
    state: str
    mend: str | None


def _import_error(module: str) -> str | None:
    """Import ``module``; return None, or the reason why it fails in a line."""
    try:
        importlib.import_module(module)
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == module
        return "missing" if missing else f"does not import: {' '.join(str(error).split())}"
    return None


def _package(module: str, requirement: str) -> Part:
    """Report an importable package with its version."""
    error = _import_error(module)
    if error is None:
        return Part(module, getattr(importlib.import_module(module), "__version__", "installed"), None)
    force = "" if error == "missing" else "--force-reinstall "
    return Part(module, error, f"pip install {force}'{requirement}'")


def _devices() -> Part:
    """Report CUDA and the GPUs that torch sees."""
    import torch

    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
        return Part("GPU", f"CUDA {torch.version.cuda}: {names}", None)
    return Part("GPU", f"none that torch (built for CUDA {torch.version.cuda}) can use; training runs on the CPU", None)


def _faiss() -> Part:
    """Report which faiss is there; without one, clustering takes the slower torch backend."""
    import torch

    on_gpu = torch.cuda.is_available()
    error = _import_error("faiss")
    if error is not None:
        return Part("faiss", f"{error}; k-means runs in torch", INSTALL_FAISS_GPU if on_gpu else INSTALL_FAISS_CPU)
    faiss = importlib.import_module("faiss")
    has_gpu = hasattr(faiss, "StandardGpuResources")
    kind = "gpu" if has_gpu else "cpu"
    return Part("faiss", f"{faiss.__version__} ({kind})", INSTALL_FAISS_GPU if on_gpu and not has_gpu else None)


def _ops() -> Part:
    """Report mmcv's compiled operators, which only detection needs."""
    error = _import_error("mmcv._ext")
    state = "compiled" if error is None else f"{error}; only detection needs them"
    return Part("mmcv.ops", state, None if error is None else INSTALL_OPS)


def environment() -> list[Part]:
    """Collect the report.

    Returns:
        list[Part]: One entry for each package or device, in the order of the report.
    """
    packages = [_package(module, requirement) for module, requirement in (NEEDED | OPTIONAL).items()]
    python = Part("python", f"{platform.python_version()} on {platform.platform()}", None)
    return [Part("lt_plugins", __version__, None), python, *packages, _devices(), _faiss(), _ops()]


def print_environment() -> None:
    """Print the report: a line for each part, then the commands that install what is missing."""
    parts = environment()
    with redirect_stdout(PrintableStream(sys.stdout)):
        for part in parts:
            print(f"{part.name:<12} {part.state}")
        for part in parts:
            if part.mend is not None:
                print(f"\nto install {part.name}:\n  {part.mend}")
        sys.stdout.flush()
