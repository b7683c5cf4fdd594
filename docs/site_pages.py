"""Pages of the site that no one writes by hand: an API page for each package, the tables of contents, `index.html`."""

from __future__ import annotations

import importlib
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from sphinx.util import logging
from sphinx.util.nodes import make_refnode

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "lt_plugins"
API = ROOT / "docs" / "api"
LINK = re.compile(r"(?<=\]\()(?!\w+:)([^)#\s]+)")
GUIDES = {
    "Start": [
        "docs/README",
        "docs/installation",
        "docs/finetuning",
        "docs/data",
        "docs/running",
        "docs/evaluation",
        "docs/prediction",
        "docs/plain_pytorch",
    ],
    "Tutorials": [
        "docs/tutorials/README",
        "docs/tutorials/own_photos",
        "docs/tutorials/compare_methods",
        "docs/tutorials/correct_a_model",
        "docs/tutorials/add_a_method",
        "docs/tutorials/own_loop",
    ],
    "Methods": [
        "docs/methods",
        "docs/leaderboard",
        "docs/choosing_a_method",
        "docs/comparing_results",
        "docs/glt",
        "docs/lpa",
        "docs/sbcl",
        "docs/mislas",
        "docs/lcreg",
        "docs/posthoc",
        "docs/detection",
    ],
    "Develop": ["docs/adding_a_method", "docs/architecture", "CONTRIBUTING", "benchmarks/README", "CHANGELOG"],
}
logger = logging.getLogger(__name__)


def write_api_pages(_: Sphinx) -> None:
    """Write ``docs/api/PACKAGE.rst`` with all modules of a package, for each package."""
    written = set()
    for init in sorted(PACKAGE.rglob("__init__.py")):
        name = ".".join(init.parent.relative_to(ROOT).parts)
        modules = [f"{name}.{path.stem}" for path in sorted(init.parent.glob("*.py")) if not path.stem.startswith("__")]
        if not modules:
            continue
        title = name.partition(".")[2] or name
        sections = [_section(title, "=", name, ":no-members:")]
        sections += [_section(module.rpartition(".")[2], "-", module, ":members:") for module in modules]
        page = API / f"{title}.rst"
        written.add(page)
        text = "\n".join(sections)
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.parent.mkdir(exist_ok=True)
            page.write_text(text, encoding="utf-8")
    for page in set(API.glob("*.rst")) - written:
        page.unlink()


def link_folders(app: Sphinx, page: str, source: list[str]) -> None:
    """Let links to folders lead to their README, and give the first page the tables of contents."""
    if page.startswith("docs/api/"):
        return
    folder = (ROOT / page).parent
    source[0] = LINK.sub(lambda link: _page_of(folder, link[1]), source[0])
    if page == app.config.root_doc:
        methods = sorted(str(path.relative_to(ROOT).with_suffix("")) for path in ROOT.glob("configs/**/README.md"))
        api = sorted(f"docs/api/{path.stem}" for path in API.glob("*.rst"))
        contents = {**GUIDES, "Configs": [*methods, "results/README"], "API": api}
        source[0] += "".join(_toctree(caption, pages) for caption, pages in contents.items())


def _section(title: str, underline: str, module: str, members: str) -> str:
    return f"{title}\n{underline * len(title)}\n\n.. automodule:: {module}\n   {members}\n   :show-inheritance:\n"


def _toctree(caption: str, pages: list[str]) -> str:
    entries = "\n".join(f"/{page}" for page in pages)
    return f"\n\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{entries}\n```\n"


def _page_of(folder: Path, target: str) -> str:
    readme = folder / target / "README.md"
    return f"{target.rstrip('/')}/README.md" if readme.is_file() else target


def resolve_reexport(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Node
) -> nodes.reference | None:
    """Resolve a reference by the name under which a package hands an object on; one to nothing is a warning.

    Args:
        app (Sphinx): The application.
        env (BuildEnvironment): Holds the objects that are documented.
        node (pending_xref): The reference.
        content (Node): Its text.
    """
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py" or not target.startswith("lt_plugins."):
        return None
    module, _, name = target.rpartition(".")
    if name.startswith("_"):
        return None
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        logger.warning("no object %s", target, location=node)
        return None
    full = f"{getattr(found, '__module__', module)}.{getattr(found, '__qualname__', name)}"
    entry = env.domains.python_domain.objects.get(full)
    if entry is None:
        logger.warning("%s has no entry in the API pages", full, location=node)
        return None
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, content, full)


def write_index(app: Sphinx, exception: Exception | None) -> None:
    """Copy the first page to ``index.html``."""
    if exception is None and app.builder.format == "html":
        shutil.copyfile(Path(app.outdir) / f"{app.config.root_doc}.html", Path(app.outdir) / "index.html")
