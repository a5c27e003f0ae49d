"""How Sphinx makes a site of these pages: `tox run -e docs`. Nothing is fetched."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "extensions")]

from phantomlink import __version__  # noqa: E402

project = "PhantomLink"
author = "the PhantomLink contributors"
version = release = __version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "rest_routes",
]
exclude_patterns = ["extensions"]

# The anchors that GitHub gives to headings.
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# Docstrings write code as Markdown does.
default_role = "literal"

html_theme = "pydata_sphinx_theme"
html_title = "PhantomLink"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_sidebars = {"index": [], "start": [], "guide/beginners": []}
html_theme_options = {
    "logo": {"text": "PhantomLink"},
    "show_prev_next": False,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["sphinx-version"],
    "footer_end": [],
}
