"""`zoo push`."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from zoo.commands.shared.arguments import Json, Name


@dataclass(frozen=True)
class PushConfig:
    """Upload a preset to the Hugging Face Hub, with its card.

    For example:

        zoo push runs/mine/preset me/my-gpt --license mit --dry-run

        zoo push runs/mine/preset me/my-gpt --license mit

    It then loads anywhere: `zoo generate hf://me/my-gpt`, or
    `zoo.from_preset("hf://me/my-gpt")`. Without a README.md in the folder, a card is
    generated from the preset and its run. The token is that of the environment variable
    HF_TOKEN, or of `hf auth login`.

    Attributes:
        source: a preset's folder, or a checkpoint that `zoo list` shows.
        target: `owner/name` on the hub; made if it does not exist.
        private: make the repository private; if it exists, it must be private already.
        license: for a generated card, as the hub writes it, such as mit or apache-2.0.
        message: of the commit.
        dry_run: print the card and the files, and upload nothing.
    """

    source: Name
    target: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="OWNER/NAME")]
    private: bool = False
    license: str = ""
    message: str = "Upload a preset of zoo"
    dry_run: bool = False
    json: Json = False


def run(config: PushConfig) -> None:
    """Uploads the folder and prints its address."""
    from zoo.commands.shared.printed import show_json
    from zoo.files.atomic import unchanged
    from zoo.program import waiting
    from zoo.store import sharing
    from zoo.store.names import look_up

    folder = look_up(config.source).folder
    if folder is None:
        raise ValueError(
            f"{config.source!r} must be a folder with weights, or a checkpoint that "
            "comes with zoo."
        )
    repository = sharing.check_address(config.target)
    with unchanged(folder):
        sharing.check_folder(folder)
        card = sharing.card_for(folder, repository, license=config.license)
        files = sorted({*sharing.files_of(folder), sharing.CARD})
        if not config.dry_run:
            with waiting(f"uploading {folder}"):
                address = sharing.push(
                    folder,
                    repository,
                    private=config.private or None,
                    license=config.license,
                    message=config.message,
                )
    if config.dry_run:
        if config.json:
            show_json({"repository": repository, "files": files, "card": card})
        else:
            print(card + "\nTo upload:", *files, sep="\n  ")
    elif config.json:
        show_json({"address": address, "files": files})
    else:
        print(f"Uploaded. To load it: zoo.from_preset({address!r})")
