"""Arguments that several commands share."""

from typing import Annotated

import tyro

from zoo.store.names import PresetName

Name = Annotated[PresetName, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
"""A preset's name or folder."""
