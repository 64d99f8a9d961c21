"""Checkpoints of the Hugging Face hub, kept in a cache of ours.

Downloads go on where they were cut off and take their place whole, so that several
processes may fetch the same one at once: that is `huggingface_hub`'s, which compares
sizes. What was downloaded is compared with the hub's hash here, once. Configurations,
tokenizers and safetensors files alone are fetched; nothing of them is run.
"""

import hashlib
import os
import time
from pathlib import Path

PREFIX = "hf://"
# Names of well-known checkpoints, by where they are.
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
WANTED = ["*.json", "*.safetensors", "vocab.txt", "merges.txt"]
# What other libraries keep beside the weights.
UNWANTED = ["onnx/*", "coreml/*", "openvino/*", "*/*.safetensors"]


def home() -> Path:
    """Where downloads are kept: ZOO_HOME, or .cache/zoo in the user's folder."""
    return Path(os.environ.get("ZOO_HOME", "~/.cache/zoo")).expanduser()


def is_offline() -> bool:
    """Whether ZOO_OFFLINE or HF_HUB_OFFLINE says that there is no network."""
    names = ("ZOO_OFFLINE", "HF_HUB_OFFLINE")
    return any(os.environ.get(name, "0") not in ("", "0") for name in names)


def address(preset: str) -> str | None:
    """The hub's name for a preset; None if it is not one of the hub's."""
    if preset.startswith(PREFIX):
        return preset.removeprefix(PREFIX)
    return NAMES.get(preset)


def fetched(name: str) -> Path | None:
    """The folder of a checkpoint that was downloaded before, without a network."""
    from huggingface_hub import try_to_load_from_cache

    repository, _, revision = name.partition("@")
    file = try_to_load_from_cache(
        repository, "config.json", cache_dir=home() / "hub", revision=revision or None
    )
    return Path(file).parent if isinstance(file, str) else None


def fetch(name: str) -> Path:
    """The folder of a checkpoint, downloaded unless it is there.

    Args:
        name: `owner/name`, or `owner/name@revision`.

    Raises:
        ValueError: there is no such checkpoint.
        OSError: it could not be fetched; what was fetched stays for the next time.
    """
    from huggingface_hub import errors, snapshot_download

    repository, _, revision = name.partition("@")
    if repository.count("/") != 1:
        raise ValueError(
            f"{PREFIX}{name} is no address of a checkpoint: expected hf://owner/name "
            "or hf://owner/name@revision."
        )
    started = time.time()
    try:
        folder = snapshot_download(
            repository,
            revision=revision or None,
            cache_dir=home() / "hub",
            allow_patterns=WANTED,
            ignore_patterns=UNWANTED,
            local_files_only=is_offline(),
        )
    except errors.HFValidationError as error:
        raise ValueError(f"{PREFIX}{name} is no address: {error}") from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise ValueError(
            f"The hub has no checkpoint {name!r}, or it asks for a login: "
            "https://huggingface.co/settings/tokens gives a token, which the "
            "environment's HF_TOKEN may hold."
        ) from error
    except errors.LocalEntryNotFoundError as error:
        why = "ZOO_OFFLINE is set" if is_offline() else "the hub could not be reached"
        raise OSError(
            f"{name!r} is not in {home() / 'hub'}, and {why}. With a network it is "
            "fetched once; or pass a folder that holds config.json and "
            "model.safetensors."
        ) from error
    except (errors.HfHubHTTPError, ConnectionError, TimeoutError) as error:
        raise OSError(
            f"{name!r} could not be fetched: {error}. Try again: what was fetched "
            "is kept."
        ) from error
    _verify(Path(folder), started - 1)
    return Path(folder)


def _verify(folder: Path, since: float) -> None:
    """Raises, and removes it, if a file written since then is not what the hub says.

    Each is a link to a file whose name is the hash that the hub gave: SHA-256 of large
    ones, and Git's of the others.
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
                f"{link} is not the file that the hub has: its hash is {found[:12]}... "
                f"and not {file.name[:12]}... It was removed. Try again."
            )
