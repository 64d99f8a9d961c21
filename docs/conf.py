"""Configuration of the documentation: `make docs`, which needs no network."""

import inspect
import os
import sys
from pathlib import Path

# Lectures run on torch unless told otherwise: it starts fastest.
os.environ.setdefault("KERAS_BACKEND", "torch")
# Nothing is fetched while the site is built.
os.environ.setdefault("ZOO_OFFLINE", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Keras imports TensorFlow wherever it is installed; this keeps it quiet in lectures.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
# The kernels that run the lectures import the same checkout.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
)

from zoo.version import __version__  # noqa: E402

project = "zoo"
author = "The zoo authors"
copyright = "the zoo authors, Apache License 2.0"
version = release = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx-mathjax-offline",  # formulas show without a network too
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build", "**/.ipynb_checkpoints"]

# Backticks in docstrings mean code.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_class_signature = "mixed"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
# Attributes are shown as parameters: a configuration is made of them.
napoleon_custom_sections = [("Attributes", "params_style")]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "attrs_inline"]
myst_heading_anchors = 3

# Lectures are notebooks kept as MyST text. They run while the site is built; what a
# notebook gave is kept until its code changes.
nb_execution_mode = "cache"
nb_execution_cache_path = str(Path(__file__).parent / "_build" / "notebooks")
nb_execution_timeout = 900  # seconds per cell: slow machines build too
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True

html_theme = "furo"
html_title = "zoo"
html_static_path = ["_static"]
html_css_files = ["zoo.css"]
html_copy_source = False
html_show_sourcelink = False
copybutton_exclude = ".linenos, .gp, .go"


def setup(app):
    """Gives Keras's classes the signatures of their own constructors."""
    app.connect("autodoc-process-signature", own_signature)


def own_signature(app, what, name, obj, options, signature, returned):
    """Keras wraps constructors, whose arguments would be `*args, **kwargs`."""
    if what == "class" and signature and signature.startswith("(*args, **kwargs"):
        found = inspect.signature(obj.__init__)
        kept = [
            each.replace(annotation=inspect.Parameter.empty)
            for each in found.parameters.values()
            if each.name not in ("self", "kwargs")
        ]
        signature = str(inspect.Signature(kept))
    return signature, returned


# `make linkcheck`, which needs the network.
linkcheck_timeout = 20
linkcheck_retries = 2
linkcheck_anchors_ignore_for_url = [r"https://github\.com/.*"]
