"""Sphinx configuration: executed tutorials, numpydoc reference, pydata theme."""

from spikeneuro import __version__

project = "spikeneuro"
author = "The spikeneuro developers"
copyright = "2026, the spikeneuro developers"
release = version = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
]

source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build", "tutorials/*.py", "auto_tutorials/*.ipynb", "auto_tutorials/*.py", "**/GALLERY_HEADER.rst"]
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
numpydoc_validation_checks = {"all", "EX01", "SA01", "ES01", "GL01", "GL02", "GL03", "GL08", "SA04", "PR06", "RT02",
                              "YD01", "PR01", "PR02", "RT01", "RT03", "RT05", "PR07", "SS05", "SS06"}  # fmt: skip

sphinx_gallery_conf = {
    "examples_dirs": "tutorials",
    "gallery_dirs": "auto_tutorials",
    "filename_pattern": r"/plot_",
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "abort_on_example_error": True,
    "only_warn_on_example_error": False,
}
suppress_warnings = ["config.cache"]

html_theme = "pydata_sphinx_theme"
html_title = "spikeneuro"
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
}
