"""Sphinx settings of the documentation: Markdown pages of the repository and an API page for each package."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

from mmcv.transforms.utils import cache_randomness  # noqa: E402
from mmengine.registry import Registry  # noqa: E402
from site_pages import link_folders, resolve_reexport, write_api_pages, write_index  # noqa: E402

if TYPE_CHECKING:
    from sphinx.application import Sphinx

# autodoc takes the repr of each module's registry, which is a table of all its classes.
Registry.__repr__ = object.__repr__
# mmcv's decorator raises TypeError when it is read from the class, which napoleon does not expect.
cache_randomness.__get__ = lambda self, instance, owner=None: self.func.__get__(instance, owner)

project = "lt_plugins"
author = "lt_plugins contributors"
release = runpy.run_path(str(ROOT / "lt_plugins" / "version.py"))["__version__"]

# The source folder is the repository, so that links between its pages hold in the site as they do in the checkout.
root_doc = "README"
include_patterns = ["*.md", "docs/**", "configs/**/README.md", "benchmarks/README.md", "results/README.md"]
exclude_patterns = ["docs/_build"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say them, with shapes
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"lt_plugins {release}"
html_show_copyright = False


def setup(app: Sphinx) -> None:
    """Register the steps before and after the build."""
    app.connect("builder-inited", write_api_pages)
    app.connect("source-read", link_folders)
    app.connect("missing-reference", resolve_reexport)
    app.connect("build-finished", write_index)
