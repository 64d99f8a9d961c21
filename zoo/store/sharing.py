"""Uploads presets to the Hugging Face hub, with `huggingface_hub`.

What is uploaded loads again by its address, `hf://owner/name`.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from zoo.store import hub
from zoo.store.cards import CARD, generated
from zoo.store.manifest import MANIFEST, Manifest
from zoo.store.names import saved_settings

# What a preset consists of, and what its card shows.
SHARED = (*hub.WANTED, CARD, "LICENSE*", "*.png", "*.jpg")
# Files of an earlier preset in the same place, which would be read with the new ones.
REPLACED = (
    "config.json",
    "model*.safetensors",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    MANIFEST,
)


def check_address(name: str) -> str:
    """The repository that a name stands for, `owner/name`.

    Raises:
        ValueError: it is none, or it names a revision.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    repository = name.removeprefix(hub.PREFIX)
    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise ValueError(f"{name!r} must be owner/name: {error}") from error
    if repository.count("/") != 1:
        raise ValueError(
            f"The place on the hub must be owner/name, got {name!r}. The owner is your "
            "user name or an organization's."
        )
    return repository


def check_access(token: str | None = None) -> str:
    """The token to upload with.

    Args:
        token: a token of the hub; by default the one in the environment variable
            HF_TOKEN, or of `hf auth login`.

    Raises:
        ValueError: there is no token.
        OSError: the network must not be used.
    """
    from huggingface_hub import get_token

    if hub.is_offline():
        raise OSError(
            "Nothing is uploaded, since ZOO_OFFLINE or HF_HUB_OFFLINE is set. Unset it."
        )
    found = token or get_token()
    if not found:
        raise ValueError(
            "Uploading needs a token of the Hugging Face hub with write access, got "
            "none. Get one from https://huggingface.co/settings/tokens, and set the "
            "environment variable HF_TOKEN to it or run `hf auth login`."
        )
    return found


def files_of(folder: Path) -> Iterator[str]:
    """The paths, within a preset's folder, of the files to upload."""
    for file in sorted(folder.rglob("*")):
        path = file.relative_to(folder)
        hidden = any(part.startswith(".") for part in path.parts)
        if file.is_file() and not hidden:
            if any(fnmatch(path.as_posix(), pattern) for pattern in SHARED):
                yield path.as_posix()


def card_for(folder: Path, name: str, *, license: str = "") -> str:
    """The card to upload: the folder's own, or else a generated one.

    Raises:
        ValueError: a licence is given, but the folder has a card, which states its own.
    """
    if not (folder / CARD).is_file():
        return generated(folder, name, license=license)
    if license:
        raise ValueError(
            f"The licence must be in {folder / CARD}, which is uploaded as it is, got "
            f"license={license!r} besides. Leave it out."
        )
    return (folder / CARD).read_text("utf-8")


def push(
    folder: Path,
    name: str,
    *,
    private: bool | None = None,
    token: str | None = None,
    license: str = "",
    message: str = "Upload a preset of zoo",
) -> str:
    """Uploads a preset's folder, in one commit.

    Its files replace those of a preset that is already there. Without a card,
    `README.md`, one is generated.

    Args:
        folder: a folder in zoo's format.
        name: `owner/name`; the repository is made if it does not exist.
        private: whether only its owner sees the repository; None leaves that to the
            hub's settings, or as it is.
        token: see `check_access`.
        license: see `generated`.
        message: of the commit.

    Returns:
        The address that `from_preset` takes.

    Raises:
        ValueError: the name is no place on the hub, there is no token, the folder is
            not zoo's, or the repository exists and is not `private` as asked.
        OSError: the hub refused, or could not be reached.
    """
    from huggingface_hub import HfApi, errors

    repository, token = check_address(name), check_access(token)
    check_folder(folder)
    card = card_for(folder, repository, license=license)
    names = [*files_of(folder)]
    within = {Path(each).parent.as_posix() for each in names} - {"."}
    replaced = [*REPLACED, *(f"{part}/{x}" for part in within for x in REPLACED)]
    api = HfApi(token=token)
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        if private is not None:
            _check_visibility(api, repository, private)
        with tempfile.TemporaryDirectory() as temporary:
            copied = Path(temporary)
            for each in names:
                (copied / each).parent.mkdir(parents=True, exist_ok=True)
                _link(folder / each, copied / each)
            (copied / CARD).unlink(missing_ok=True)
            (copied / CARD).write_text(card, "utf-8")
            api.upload_folder(
                repo_id=repository,
                folder_path=copied,
                commit_message=message,
                delete_patterns=replaced,
            )
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status in (401, 403):
            owner = repository.partition("/")[0]
            raise PermissionError(
                f"The hub refused to write {repository!r} (status {status}): the token "
                f"must be valid and have write access to {owner!r}."
            ) from error
        raise OSError(f"{repository!r} could not be uploaded: {error}") from error
    except (errors.HTTPError, ConnectionError, TimeoutError) as error:
        raise OSError(
            f"{repository!r} could not be uploaded, since the hub could not be "
            f"reached: {error}. Try again."
        ) from error
    return hub.PREFIX + repository


def check_folder(folder: Path) -> None:
    """Raises ValueError unless a folder is a whole preset in zoo's format."""
    if "architecture" not in saved_settings(folder):
        raise ValueError(
            f"{folder} must be a preset in zoo's format, and is another library's. "
            "Upload it with that library, or convert it: zoo convert FOLDER TARGET"
        )
    if not any(folder.rglob("*.safetensors")):
        raise ValueError(f"{folder} must hold weights, *.safetensors, and has none.")
    if (folder / MANIFEST).is_file():
        Manifest.read(folder).verify()


def _check_visibility(api: object, repository: str, private: bool) -> None:
    found = api.repo_info(repository).private  # type: ignore[attr-defined]
    if found != private:
        kinds = {True: "private", False: "public"}
        raise ValueError(
            f"{repository!r} exists and is {kinds[found]}, not {kinds[private]} as "
            "asked. Change that in its settings on the hub, or choose another name."
        )


def _link(file: Path, copy: Path) -> None:
    """Makes the same file appear in another place; copies it if need be."""
    try:
        os.link(file.resolve(), copy)
    except OSError:
        shutil.copyfile(file, copy)
