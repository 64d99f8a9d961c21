"""Checkpoints from the Hugging Face hub, kept in zoo's own cache.

`huggingface_hub` resumes interrupted downloads, moves whole files into place, so that
several processes may fetch the same checkpoint at once, and compares sizes. Here each
download is also compared once with the hub's hash. Only configurations, tokenizers and
safetensors files are fetched, and no code in them is run. `sharing` uploads.
"""

import hashlib
import os
import time
from pathlib import Path

from zoo.files.json_files import read_json

PREFIX = "hf://"
# Well-known checkpoints: zoo's names and the hub's.
NAMES = {
    "gpt2.webtext": "openai-community/gpt2",
    "gpt2_medium.webtext": "openai-community/gpt2-medium",
    "gpt2_large.webtext": "openai-community/gpt2-large",
    "gpt2_xl.webtext": "openai-community/gpt2-xl",
    "bert_base.uncased": "google-bert/bert-base-uncased",
    "bert_base.cased": "google-bert/bert-base-cased",
    "bert_large.uncased": "google-bert/bert-large-uncased",
    "roberta_base.english": "FacebookAI/roberta-base",
    "albert_base.english": "albert/albert-base-v2",
    "electra_small.english": "google/electra-small-discriminator",
    "distilbert_base.uncased": "distilbert/distilbert-base-uncased",
}
WANTED = ["*.json", "*.safetensors", "vocab.txt", "merges.txt", "manifest.toml"]
# What other libraries keep beside the weights.
UNWANTED = ["onnx/*", "coreml/*", "openvino/*"]
NESTED = "*/*.safetensors"


def home() -> Path:
    """The folder of downloads: ZOO_HOME, or .cache/zoo in the user's home."""
    return Path(os.environ.get("ZOO_HOME", "~/.cache/zoo")).expanduser()


def is_offline() -> bool:
    """Whether ZOO_OFFLINE or HF_HUB_OFFLINE is set, to use no network."""
    names = ("ZOO_OFFLINE", "HF_HUB_OFFLINE")
    return any(os.environ.get(name, "0") not in ("", "0") for name in names)


def address(preset: str) -> str | None:
    """The hub's name for a preset; None if it is not on the hub."""
    if preset.startswith(PREFIX):
        return preset.removeprefix(PREFIX)
    return NAMES.get(preset)


def fetched(name: str) -> Path | None:
    """The folder of a checkpoint that is already downloaded; None if it isn't."""
    from huggingface_hub import try_to_load_from_cache

    repository, _, revision = name.partition("@")
    file = try_to_load_from_cache(
        repository, "config.json", cache_dir=home() / "hub", revision=revision or None
    )
    return Path(file).parent if isinstance(file, str) else None


def fetch(name: str) -> Path:
    """The folder of a checkpoint, downloaded if it is not in the cache.

    Args:
        name: `owner/name`, or `owner/name@revision`.

    Raises:
        ValueError: there is no such checkpoint.
        OSError: the download failed; the next one resumes it.
    """
    from huggingface_hub import errors, snapshot_download

    repository, _, revision = name.partition("@")
    if repository.count("/") != 1:
        raise ValueError(
            f"A checkpoint's address must be {PREFIX}owner/name or "
            f"{PREFIX}owner/name@revision, got {PREFIX}{name}."
        )
    started = time.time()

    def downloaded(unwanted: list[str]) -> Path:
        folder = snapshot_download(
            repository,
            revision=revision or None,
            cache_dir=home() / "hub",
            allow_patterns=WANTED,
            ignore_patterns=unwanted,
            local_files_only=is_offline(),
        )
        return Path(folder)

    try:
        folder = downloaded([*UNWANTED, NESTED])
        if _is_of_parts(folder):
            folder = downloaded(UNWANTED)
    except errors.HFValidationError as error:
        raise ValueError(f"{PREFIX}{name} is not an address: {error}") from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise ValueError(
            f"The hub has no checkpoint {name!r}, or it requires a login: get a token "
            "from https://huggingface.co/settings/tokens, and set the environment "
            "variable HF_TOKEN to it."
        ) from error
    except errors.LocalEntryNotFoundError as error:
        why = "ZOO_OFFLINE is set" if is_offline() else "the hub could not be reached"
        raise OSError(
            f"{name!r} is not in {home() / 'hub'}, and {why}. Fetch it once with a "
            "network, or pass a folder that holds config.json and model.safetensors."
        ) from error
    except (errors.HTTPError, ConnectionError, TimeoutError) as error:
        raise OSError(
            f"{name!r} could not be fetched: {error}. Try again: the download resumes."
        ) from error
    _verify(folder, started - 1)
    return folder


def _is_of_parts(folder: Path) -> bool:
    """Whether it is zoo's, and consists of presets in folders of their own."""
    try:
        settings = read_json(folder / "config.json")
    except (OSError, ValueError):  # reading the preset says what is wrong
        return False
    return "architecture" in settings and any(folder.glob("*/config.json"))


def _verify(folder: Path, since: float) -> None:
    """Checks the hashes of files written since a time; deletes those that differ.

    Each is a link to a file whose name is the hash that the hub gave: SHA-256 for large
    files, and Git's hash for the others.

    Raises:
        OSError: a file's hash differs.
    """
    for link in folder.rglob("*"):
        file = link.resolve()
        if not link.is_symlink() or file.stat().st_mtime < since:
            continue
        with open(file, "rb") as opened:
            if len(file.name) == 64:
                found = hashlib.file_digest(opened, "sha256").hexdigest()
            else:
                head = b"blob %d\0" % file.stat().st_size
                found = hashlib.sha1(head + opened.read()).hexdigest()
        if found != file.name:
            link.unlink()
            file.unlink()
            raise OSError(
                f"{link} is not the file that the hub has: its hash must be "
                f"{file.name[:12]}..., got {found[:12]}... It was deleted. Try again."
            )
