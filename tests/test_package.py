"""The package as a whole: what importing it pulls in, which layer may import which, and the environment report."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import mmcv
import mmpretrain
import pytest
import torch

import lt_plugins
from lt_plugins import compat
from lt_plugins import environment as environment_report
from tests.plain.rooms import ROOMS

PACKAGE = Path(lt_plugins.__file__).parent
ROOT = PACKAGE.parent
OPTIONAL = ("faiss", "mmcv.ops", "mmcv._ext", "mmdet")

# docs/architecture.md: folder -> folders of the package that it may import. Single modules at the top are below all.
LAYERS: dict[str, set[str]] = {
    "clustering": set(),
    "augmentation": set(),
    "models": {"clustering", "augmentation"},
    "datasets": {"models", "augmentation"},
    "evaluation": {"models"},
    "posthoc": {"clustering", "models"},
    "visualization": {"models"},
    "checkpoints": {"models"},
    "checks": {"models", "datasets", "evaluation"},
    "engine": {"clustering", "models", "datasets", "evaluation", "posthoc", "checkpoints", "checks"},
    "runs": {"models", "datasets", "evaluation", "checkpoints", "checks", "engine"},
    "analysis": {
        *("clustering", "models", "datasets", "evaluation", "posthoc", "visualization"),
        *("checkpoints", "checks", "engine", "runs"),
    },
    "prediction": {
        *("models", "datasets", "evaluation", "posthoc", "visualization"),
        *("checkpoints", "checks", "engine", "runs", "analysis"),
    },
    "detection": {"models", "datasets", "evaluation", "checkpoints", "checks", "engine", "runs"},
}
MAX_ENGINE_LINES = 5523  # what happens during training, and nothing else
WITHOUT_OPENMMLAB = (*ROOMS, "visualization/")
BASE_MODULES = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}

# Refuses the optional packages, whatever is installed here.
BLOCK = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if any(name == m or name.startswith(m + '.') for m in {OPTIONAL!r}):
            raise ModuleNotFoundError('No module named ' + repr(name), name=name)
sys.meta_path.insert(0, Refuse())
"""


def _sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def _imports(path: Path, top_level_only: bool = False) -> Iterator[str]:
    """Yield the absolute names of the modules that a file imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level_only else ast.walk(tree)
    package = (path.parent.relative_to(ROOT)).parts
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *(node.module.split(".") if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)


@pytest.mark.parametrize("path", _sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downwards_only(path: Path) -> None:
    parts = path.relative_to(PACKAGE).parts
    if len(parts) == 1 and parts[0] in ("__init__.py", "__main__.py", "plugins.py"):
        return
    layer = parts[0] if len(parts) > 1 else None
    assert layer is None or layer in LAYERS, (
        f"new folder lt_plugins/{layer}: give it a row in docs/architecture.md and here"
    )
    allowed = BASE_MODULES - {"plugins"} | (LAYERS[layer] | {layer} if layer else set())
    for name in _imports(path):
        if name.startswith("lt_plugins."):
            assert name.split(".")[1] in allowed, f"{path.relative_to(ROOT)} imports {name}, which lies above it"
        if "/".join(parts).startswith(WITHOUT_OPENMMLAB):
            assert not re.match(r"mm(engine|cv|pretrain|det)\b", name), f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("path", _sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_optional_packages_are_imported_lazily(path: Path) -> None:
    optional = () if "detection" in path.relative_to(PACKAGE).parts else OPTIONAL
    for name in _imports(path, top_level_only=True):
        assert not any(name == module or name.startswith(f"{module}.") for module in optional), f"{path.name}: {name}"


def test_engine_is_what_happens_during_training() -> None:
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in (PACKAGE / "engine").rglob("*.py"))
    assert lines < MAX_ENGINE_LINES, f"lt_plugins/engine has {lines} lines: does the newest of it run during training?"


def test_import_and_report_without_optional_packages() -> None:
    done = _run(
        f"{BLOCK}\nimport runpy, warnings\n"
        "warnings.simplefilter('error')\n"
        "warnings.filterwarnings('ignore', category=DeprecationWarning)\n"
        "import lt_plugins.plugins\n"
        f"assert not any(name in sys.modules for name in {OPTIONAL!r})\n"
        "runpy.run_module('lt_plugins', run_name='__main__')"
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    report = done.stdout
    assert report.startswith("lt_plugins "), "importing says nothing"
    for name in ("python", "torch", "mmengine", "mmcv", "mmpretrain", "numpy", "GPU"):
        assert re.search(rf"^{name} +\S", report, re.MULTILINE), name
    assert re.search(rf"^mmpretrain +{re.escape(mmpretrain.__version__)}$", report, re.MULTILINE)
    for name, line in {
        "mmdet": "pip install 'onedl-mmdetection>=3.5,<4'",
        "faiss": "faiss-[cg]pu",
        "mmcv.ops": "pip install .*--no-build-isolation .*onedl-mmcv",
    }.items():
        assert re.search(rf"^to install {re.escape(name)}:\n  .*{line}", report, re.MULTILINE), name


def test_report_of_a_gpu_machine_with_a_broken_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mmdet.py").write_text("raise ImportError('libGL.so.1: cannot open\\nshared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mmdet", raising=False)
    monkeypatch.setitem(sys.modules, "faiss", SimpleNamespace(__version__="1.0"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"GPU-{index}")
    environment_report.print_environment()
    report = capsys.readouterr().out
    assert re.search(r"^mmdet +does not import: libGL.so.1: cannot open shared object file$", report, re.MULTILINE)
    assert re.search(r"^to install mmdet:\n  pip install --force-reinstall", report, re.MULTILINE)
    assert re.search(r"^GPU +CUDA \S+: GPU-0, GPU-1$", report, re.MULTILINE)
    assert re.search(r"^faiss +1.0 \(cpu\)$", report, re.MULTILINE)
    assert "pip uninstall -y faiss-cpu; pip install faiss-gpu-cu12" in report, "never both"


def test_report_without_faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    parts = {part.name: part for part in environment_report.environment()}
    assert parts["faiss"].state == "missing; k-means runs in torch"
    assert parts["faiss"].mend is not None
    assert parts["torch"].mend is None


def test_import_registers_everything() -> None:
    """A class whose module nothing imports would be unknown to the config files that name it."""
    done = _run(
        "import importlib, pkgutil\n"
        "from tests import battery\n"
        "import lt_plugins.plugins\n"
        "names = lambda: {(r, n) for r in battery.registry_names() for n in battery.registered(r)}\n"
        "before = names()\n"
        "for module in pkgutil.walk_packages(lt_plugins.__path__, 'lt_plugins.'):\n"
        "    module.name.endswith('__main__') or importlib.import_module(module.name)\n"
        "assert before == names(), names() - before"
    )
    assert done.returncode == 0, done.stderr


def test_public_names_exist_and_are_sorted() -> None:
    """Lists of names stand in leaf folders; the other packages import nothing, so that a part costs only itself."""
    for init in PACKAGE.rglob("__init__.py"):
        name = ".".join(init.parent.relative_to(ROOT).parts)
        module = importlib.import_module(name)
        public = getattr(module, "__all__", [])
        assert sorted(public) == list(public), f"{name}.__all__ is not sorted"
        missing = [public for public in public if not hasattr(module, public)]
        assert not missing, f"{name}.__all__ names {missing}"
        if init.parent != PACKAGE and any((folder / "__init__.py").exists() for folder in init.parent.iterdir()):
            assert not list(_imports(init)), f"{name} is no leaf: import names from their modules"


def test_check_versions_accepts_what_is_installed() -> None:
    compat.check_versions()


def test_check_versions_names_the_line_that_mends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmcv, "__version__", "1.7.1")
    with pytest.raises(ImportError, match=r"needs 2\.0\.0 <= mmcv < 3, but 1\.7\.1 .* pip install 'onedl-mmcv"):
        compat.check_versions()


def test_check_versions_names_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mmpretrain", None)
    with pytest.raises(ImportError, match=r"needs mmpretrain, .* pip install 'onedl-mmpretrain"):
        compat.check_versions()


def test_version_is_the_installed_one() -> None:
    from importlib.metadata import version

    from lt_plugins.version import __version__

    assert version("lt_plugins") == __version__
    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
