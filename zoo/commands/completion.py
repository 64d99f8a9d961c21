"""`zoo completion`."""

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class CompletionConfig:
    """Print a script that completes commands and flags in a shell.

    bash, in ~/.bashrc:

        source <(zoo completion bash)

    zsh, in ~/.zshrc, after compinit:

        source <(zoo completion zsh)

    fish:

        zoo completion fish > ~/.config/fish/completions/zoo.fish

    Attributes:
        shell: the shell to complete in.
    """

    shell: Annotated[Literal["bash", "zsh", "fish"], tyro.conf.Positional]
