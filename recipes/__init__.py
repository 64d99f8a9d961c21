"""One-page training programs: `zoo train NAME`, or `python -m zoo.recipes.NAME`.

In a checkout, `python -m recipes.NAME` does the same. Keras's default backend is
TensorFlow; where that is not installed, the import of this package chooses another.
"""

import sys

from zoo.commands.shared import backend

backend.select(("tensorflow",))
if sys.argv[:1] == ["-m"]:  # a recipe runs as a program: its backend logs nothing
    backend.start()
