"""`push_to_hub`, for every model that is saved as a preset."""

import os
import tempfile
from pathlib import Path
from typing import Any

from zoo.engine.current import engine
from zoo.store import sharing
from zoo.store.cards import CARD


class PushToHub:
    """A mixin that uploads what `save_to_preset` writes."""

    def push_to_hub(
        self,
        name: str,
        *,
        private: bool | None = None,
        token: str | None = None,
        license: str = "",
        card: str | os.PathLike[str] | None = None,
        message: str = "Upload a preset of zoo",
    ) -> str:
        """Uploads the model to the Hugging Face hub, as a preset with a card.

            address = model.push_to_hub("me/my-vae", private=True, license="mit")
            same = zoo.from_preset(address)

        Args:
            name: `owner/name`; the repository is made if it does not exist. A preset
                that is already there is replaced, in one commit.
            private: whether only its owner sees it; None for the hub's settings, or
                leaves it as it is.
            token: a token of the hub with write access; by default the one in the
                environment variable HF_TOKEN, or of `hf auth login`.
            license: as the hub writes it, such as "mit", for the generated card.
            card: a Markdown file to upload as the card, instead of a generated one.
            message: of the commit.

        Returns:
            The address that `from_preset` takes, `hf://owner/name`.

        Raises:
            ValueError: the name is no place on the hub, there is no token, or the
                repository exists and is not `private` as asked.
            OSError: the hub refused or could not be reached, or ZOO_OFFLINE is set.
        """
        # Before the weights are gathered and written.
        address = sharing.hub.PREFIX + sharing.check_address(name)
        token = sharing.check_access(token)
        text = None if card is None else Path(card).read_text("utf-8")
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "preset"
            model: Any = self
            model.save_to_preset(folder)
            if engine().is_main:
                if text is not None:
                    (folder / CARD).write_text(text, "utf-8")
                sharing.push(
                    folder,
                    name,
                    private=private,
                    token=token,
                    license=license,
                    message=message,
                )
            engine().wait()
        return address
