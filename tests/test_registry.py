"""Registration: classes are noted without OpenMMLab and registered with mmpretrain when it is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import mmpretrain.registry
import pytest

import lt_plugins
from lt_plugins import registry

ROOT = Path(lt_plugins.__file__).parents[1]
# Two classes that are noted before mmpretrain is imported.
NOTED_BEFORE = (
    "import sys\n"
    "from lt_plugins.registry import DATASETS, MODELS\n"
    "@MODELS.register_module()\nclass Early: pass\n"
    "@DATASETS.register_module()\nclass EarlyData: pass\n"
    "assert not {'mmengine', 'mmcv', 'mmpretrain'} & set(sys.modules)\n"
)


def run(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr


def test_plugins_registers_what_was_noted_before() -> None:
    run(
        f"{NOTED_BEFORE}"
        "import lt_plugins.plugins\n"
        "from mmpretrain import registry\n"
        "assert registry.MODELS.get('Early') is Early\n"
        "assert registry.DATASETS.get('EarlyData') is EarlyData\n"
    )


def test_a_component_costs_no_import_of_openmmlab() -> None:
    run(
        "import sys\n"
        "import lt_plugins.models.losses, lt_plugins.datasets.samplers, lt_plugins.evaluation.functional\n"
        "assert not {'mmengine', 'mmcv', 'mmpretrain', 'torchvision'} & set(sys.modules)\n"
        "import lt_plugins.plugins\n"
        "from mmpretrain.registry import DATA_SAMPLERS, MODELS\n"
        "assert MODELS.get('SupConLoss') is lt_plugins.models.losses.SupConLoss\n"
        "assert DATA_SAMPLERS.get('ClassAwareSampler') is lt_plugins.datasets.samplers.ClassAwareSampler\n"
    )


def test_build_registers_what_was_noted_before() -> None:
    """A head that builds its loss by name finds the loss that was imported before OpenMMLab."""
    run(
        f"{NOTED_BEFORE}"
        "assert type(MODELS.build({'type': 'Early'})) is Early\n"
        "@MODELS.register_module()\nclass Late: pass\n"
        "from mmpretrain import registry\n"
        "assert registry.MODELS.get('Late') is Late, 'registered at once'\n"
    )


@pytest.mark.parametrize("name", [n for n, v in vars(registry).items() if isinstance(v, registry.LazyRegistry)])
def test_a_registry_is_the_one_of_its_name(name: str) -> None:
    assert getattr(registry, name).target() is getattr(mmpretrain.registry, name)


def test_a_name_is_registered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmpretrain.registry.MODELS, "_module_dict", dict(mmpretrain.registry.MODELS.module_dict))
    registry.MODELS.register_module()(type("Twice", (), {}))
    with pytest.raises(KeyError, match="Twice is already registered in model"):
        registry.MODELS.register_module()(type("Twice", (), {}))
