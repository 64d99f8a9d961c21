"""What several commands take."""

from typing import Annotated

import tyro

Name = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
"""A checkpoint's name or a preset's folder."""
