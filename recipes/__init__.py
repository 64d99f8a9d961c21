"""One-page training programs: `zoo train NAME`, or `python -m zoo.recipes.NAME`.

In a checkout, `python -m recipes.NAME` does the same. Keras's default backend is
TensorFlow; where that is not installed, the import of this package chooses another.
"""

from zoo.commands.backend import choose

choose(("tensorflow",))
