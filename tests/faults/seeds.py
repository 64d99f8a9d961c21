"""Small intact files of every kind that zoo reads, to be mutated."""

import dataclasses
import gzip
import json
import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np

import zoo
from tests.presets.tensorflow_writer import write
from zoo.catalog import architectures
from zoo.models.bert.tasks import BertClassifierConfig
from zoo.presets import export_bert, export_gpt2, export_keras_hub
from zoo.presets.registry import model_class
from zoo.store.manifest import MANIFEST, with_hashes
from zoo.training.runs.checkpoint import save_checkpoint

TEXT = "the cat sat on the mat and ran"
PICTURES = ("png", "jpg", "gif", "webp", "tiff", "bmp")
PARTS = ("train", "dev", "test")
SIDES = [f"{part}.{side}" for part in ("train", "val", "test") for side in ("en", "de")]


def make(folder: Path) -> None:
    """Writes all of them into a new folder."""
    folder.mkdir(parents=True)
    _presets(folder)
    _tokenizers(folder)
    _arrays(folder)
    _pictures(folder)
    _tables(folder)


def vae() -> zoo.VAE:
    """Returns the small compiled model whose checkpoint is among the files."""
    model = zoo.VAE(zoo.VAEConfig((4, 4, 1), 2, hidden=(4,)))
    model.compile("adam")
    return model


def _presets(folder: Path) -> None:
    for name in architectures():
        place = folder / "configs" / name
        place.mkdir(parents=True)
        (place / "config.json").write_text(json.dumps(_config_of(name)))
    bpe = zoo.Tokenizer.train_bpe([TEXT * 20], 270)
    gpt = zoo.GPT(zoo.GPTConfig(bpe.vocab_size, 16, 1, 2, 8))
    gpt.tokenizer = bpe
    gpt.save_to_preset(folder / "gpt")
    export_gpt2(gpt, folder / "hf_gpt2")
    pieces = zoo.Tokenizer.train_wordpiece(TEXT * 30, 60)
    sizes = (pieces.vocab_size, 16, 1, 2, 8)
    config = BertClassifierConfig(*sizes, activation="gelu_tanh")  # as in Keras Hub
    bert = zoo.BertClassifier(config)
    bert.tokenizer = pieces
    bert.save_to_preset(folder / "bert")
    export_bert(bert, folder / "hf_bert")
    export_keras_hub(bert, folder / "keras_hub")
    model = vae()
    model.save_to_preset(folder / "vae")
    model.fit(np.zeros((4, 4, 4, 1), "float32"), verbose=0)
    save_checkpoint(folder / "checkpoint.safetensors", model, rows=[{"update": 1}])
    whole = (folder / "checkpoint.safetensors").read_bytes()
    (folder / "unsigned.safetensors").write_bytes(
        whole.replace(b'"sha256"', b'"sha_of"')
    )
    shutil.copytree(folder / "vae", folder / "listed")
    words = "architecture summary source license preprocessing zoo_version"
    text = "".join(f'{name} = "x"\n' for name in words.split())
    text += 'parameters = 3\n\n[evaluation]\ncommand = "c"\nfigures = { a = 1.0 }\n'
    text += "tolerances = { a = 0.1 }\n"
    (folder / "listed" / MANIFEST).write_text(with_hashes(text, folder / "listed"))
    # Sharded, with an index.
    parts = shutil.copytree(folder / "hf_gpt2", folder / "parts")
    weights = parts / "model.safetensors"
    first = weights.rename(parts / "model-00001-of-00001.safetensors")
    length = int.from_bytes(first.read_bytes()[:8], "little")
    names = set(json.loads(first.read_bytes()[8 : 8 + length])) - {"__metadata__"}
    places = {"weight_map": dict.fromkeys(names, first.name)}
    (parts / "model.safetensors.index.json").write_text(json.dumps(places))


def _tokenizers(folder: Path) -> None:
    words = folder / "words"
    words.mkdir()
    (words / "vocab.txt").write_text(
        "\n".join("[PAD] [UNK] [CLS] [SEP] [MASK] a b ##c the cat".split()) + "\n"
    )
    settings = {
        "do_lower_case": True,
        "tokenize_chinese_chars": True,
        "strip_accents": None,
        "added_tokens_decoder": {"10": {"content": "<new>", "special": True}},
        "pad_token": "[PAD]",
    }
    (words / "tokenizer_config.json").write_text(json.dumps(settings))
    older = shutil.copytree(words, folder / "older_words")
    (older / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    (older / "added_tokens.json").write_text('{"<new>": 10}')
    (older / "special_tokens_map.json").write_text(
        '{"pad_token": "[PAD]", "additional_special_tokens": ["<new>"]}'
    )
    pairs = folder / "pairs"
    pairs.mkdir()
    model = json.loads((folder / "gpt" / "tokenizer.json").read_text())["model"]
    merges = [x if isinstance(x, str) else " ".join(x) for x in model["merges"]]
    (pairs / "vocab.json").write_text(json.dumps(model["vocab"]))
    (pairs / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")


def _arrays(folder: Path) -> None:
    import torch
    from safetensors.numpy import load_file

    state = {"a.weight": torch.ones(3, 4), "b": torch.zeros(2).half()}
    torch.save(state, folder / "new.pth")
    torch.save(state, folder / "old.pth", _use_new_zipfile_serialization=False)
    zoo.data.write_tokens(folder / "tokens.npy", np.arange(50))
    idx = bytes([0, 0, 8, 3]) + struct.pack(">III", 3, 4, 4) + bytes(48)
    (folder / "images.idx").write_bytes(idx)
    (folder / "images.gz").write_bytes(gzip.compress(idx))
    (folder / "trainings.csv").write_text(
        "parameters,tokens,loss\n1e6,2e7,3.5\n2e6,3e7,3\n"
    )
    # The classifier's backbone in the format of BERT's authors.
    google = folder / "google"
    google.mkdir()
    theirs = load_file(folder / "hf_bert" / "model.safetensors")
    arrays = {}
    for name, x in theirs.items():
        if not name.startswith("bert."):
            continue
        ours = name.replace("encoder.layer.", "encoder.layer_").replace(".", "/")
        ours = ours.replace("_embeddings/weight", "_embeddings")
        norm = "LayerNorm" in ours
        ours = ours.replace("/weight", "/gamma" if norm else "/kernel")
        ours = ours.replace("/bias", "/beta") if norm else ours
        arrays[ours] = x.T if ours.endswith("/kernel") else x
    write(google / "bert_model.ckpt", arrays)
    config = (folder / "hf_bert" / "config.json").read_bytes()
    (google / "bert_config.json").write_bytes(config)


def _pictures(folder: Path) -> None:
    from PIL import Image

    values = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in PICTURES:
        options = {"exif": exif} if kind in ("jpg", "webp", "tiff", "png") else {}
        Image.fromarray(values).save(folder / f"picture.{kind}", **options)
    png = (folder / "picture.png").read_bytes()
    with zipfile.ZipFile(folder / "unpaired.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for part in ("trainA", "trainB", "testA", "testB"):
            for index in range(2):
                archive.writestr(f"x/{part}/{index}.png", png)


def _tables(folder: Path) -> None:
    tsv, conll, squad, parallel, text = (
        folder / name for name in ("tsv", "conll", "squad", "parallel", "text")
    )
    for made in (tsv, conll, squad, parallel, text):
        made.mkdir()
    for part in PARTS:
        (tsv / f"{part}.tsv").write_text("a good film\t1\nbad film\t0\nworse\t0\n")
        (conll / f"{part}.conll").write_text("London B-LOC\nis O\n\nBob B-PER\n\n")
    answer = {"text": "cat", "answer_start": 4}
    question = {"id": "1", "question": "who", "answers": [answer]}
    paragraph = {"context": "the cat sat", "qas": [question]}
    articles = {"data": [{"title": "t", "paragraphs": [paragraph]}]}
    for part in ("train", "dev"):
        (squad / f"{part}-v1.1.json").write_text(json.dumps(articles))
    for name in SIDES:
        (parallel / name).write_text("a man\nb dog\nc cat\n")
    (text / "a.txt").write_text("hello\n\nworld\n\n" * 5)


def _config_of(name: str) -> dict:
    """Returns a small configuration of an architecture, as in a preset."""
    sizes = {
        "vocab_size": 17,
        "context_length": 8,
        "num_layers": 1,
        "num_heads": 2,
        "width": 8,
        "num_classes": 3,
    }
    cls = model_class(name).Config
    given = {
        field.name: sizes[field.name]
        for field in dataclasses.fields(cls)
        if field.default is dataclasses.MISSING
    }
    settings = {"architecture": name, "config": dataclasses.asdict(cls(**given))}
    return settings | {"dtype": "float32", "zoo_version": zoo.__version__}
