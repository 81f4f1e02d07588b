"""How the documentation is built: `make docs`. Nothing is fetched; formulas are MathML, so pages need no script."""

import os
import sys
import tomllib
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "agg")
for threads in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(threads, "1")  # pages hold small examples: on a busy machine threads only wait for each other
HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]
mirror = HERE.parents[1] / "shared" / "data"  # real files beside the checkout, where the tests look for them too
if (mirror / "FILES.tsv").is_file():
    os.environ.setdefault("NEUROINTERP_MIRROR", str(mirror))  # without them examples take what libraries carry
about = tomllib.loads((HERE.parent / "pyproject.toml").read_text("utf-8"))["project"]

project = about["name"]
author = about["authors"][0]["name"]
copyright = author
version = release = about["version"]

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "from_code",
    "mathml",
    "source_links",
    "system_pages",
]
exclude_patterns = [
    "_build",
    "examples",
    "lessons",
    "studies/*",
    "api/generated/_*",
    "gallery/**/*.ipynb",
    "tutorials/**/*.ipynb",
]
templates_path = ["_templates"]
html_static_path = ["_static"]

default_role = "code"
autosummary_generate = True
autodoc_typehints = "signature"
autodoc_class_signature = "separated"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 90
python_display_short_literal_types = True
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

myst_heading_anchors = 3
myst_update_mathjax = False
suppress_warnings = ["config.cache"]  # sphinx-gallery keeps functions in its configuration

sphinx_gallery_conf = {
    "examples_dirs": ["lessons", "examples"],
    "gallery_dirs": ["tutorials", "gallery"],
    "filename_pattern": r"/plot_",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "capture_repr": (),
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
    "reset_argv": lambda gallery_conf, script_vars: [],
    "remove_config_comments": True,
}

html_title = f"neurointerp {version}"
html_theme = "pydata_sphinx_theme"
html_css_files = ["site.css"]
html_sidebars = {"**": ["pages.html"]}
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": f"neurointerp {version}"},
    "navbar_center": [],
    "navbar_end": ["theme-switcher"],
    "navbar_persistent": ["search-button-field"],
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": True,
    "collapse_navigation": True,
}
