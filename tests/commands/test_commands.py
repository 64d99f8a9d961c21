"""The subcommands, run on the checkpoints in the repository."""

import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.cli import main
from zoo.commands import translate
from zoo.commands.convert import WRITERS
from zoo.commands.evaluate import EvaluateConfig
from zoo.commands.shared import backend, compared
from zoo.commands.translate import TranslateConfig
from zoo.evaluation.measures import _validation_text
from zoo.presets import weights
from zoo.store.manifest import Manifest, checkpoints

SMALL = zoo.GPTConfig(17, 12, 1, 2, 8)


def test_list(capsys):
    main(["list"])
    out = capsys.readouterr().out
    assert "classifier.mnist" in out and "gpt2_medium" in out


@pytest.mark.host
def test_a_reader_that_stops_is_no_error():
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "zoo.cli", "list"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_info(capsys):
    main(["info", "gpt.shakespeare_char"])
    out = " ".join(capsys.readouterr().out.split())
    found = Manifest.read(checkpoints()["gpt.shakespeare_char"])
    for expected in ("795,904", "sha256", "Apache-2.0", "rotary", "val_loss"):
        assert expected in out
    assert found.files[0].name in out


def test_generate(capsys):
    main("generate gpt.shakespeare_char ROMEO: --max-new-tokens 20 --seed 1".split())
    out = capsys.readouterr().out
    assert out.startswith("ROMEO:") and len(out) == len("ROMEO:") + 20 + 1


def test_generate_stops_and_forgets(capsys):
    command = (
        "generate gpt.shakespeare_char ROMEO: --seed 1 --max-new-tokens 90".split()
    )
    main([*command, "--window", "32"])
    out = capsys.readouterr().out
    assert len(out) == len("ROMEO:") + 90 + 1
    stop = out[80:84]
    main([*command, "--window", "32", "--stop", "never", stop])
    expected = out[: out.index(stop, len("ROMEO:"))]
    assert capsys.readouterr().out == expected + "\n"


def given(monkeypatch, data):
    """Makes this the standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_generate_from_standard_input_as_json(monkeypatch, capsys):
    given(monkeypatch, b"ROMEO:\n")
    options = "--max-new-tokens 20 --seed 1 --json".split()
    main(["generate", "gpt.shakespeare_char", "-", *options])
    found = json.loads(capsys.readouterr().out)
    assert found["prompt"] == "ROMEO:" and len(found["continuation"]) == 20


def test_fill_mask_from_standard_input(monkeypatch, capsys):
    command = ["fill-mask", "bert_tiny.docs", "-", "--top", "2"]
    given(monkeypatch, b"A [MASK] is a sequence of bytes.\n")
    main([*command, "--json"])
    found = json.loads(capsys.readouterr().out)
    (gap,) = found["gaps"]
    assert len(gap) == 2 and gap[0]["token"] == "sequence"
    given(monkeypatch, b"A [MASK] is a sequence of bytes.\n")
    main(command)
    assert f"{gap[0]['probability']:.3f}  sequence" in capsys.readouterr().out


def test_generate_without_a_context(tmp_path, capsys):
    model = zoo.NgramLM(zoo.NgramConfig(3, 2))
    model.tokenizer = zoo.Tokenizer.characters("abc")
    model.fit("abc" * 9).save_to_preset(tmp_path)
    main(["generate", str(tmp_path), "a", "--temperature", "0"])
    assert capsys.readouterr().out == ("abc" * 67) + "\n"


@pytest.mark.parametrize(
    ("name", "options", "count"),
    [
        ("vae.mnist", ["--count", "5"], 5),
        ("dcgan.mnist", ["--count", "4"], 4),
        ("vqvae.mnist", ["--prompts", "3", "1"], 2),
    ],
)
def test_sample(name, options, count, tmp_path, capsys):
    main(["sample", name, *options, "--out", str(tmp_path / "grid.png")])
    assert f"{count} pictures in" in capsys.readouterr().out
    assert np.asarray(Image.open(tmp_path / "grid.png")).std() > 10


def test_sample_to_standard_output(capsysbinary):
    main("sample vae.mnist --count 2 --out -".split())
    assert Image.open(io.BytesIO(capsysbinary.readouterr().out)).format == "PNG"


def test_sample_tells_what_it_wrote(tmp_path, capsys):
    file = str(tmp_path / "pi.png")
    command = f"sample vqvae.mnist --prompts 3 1 --temperature 0 --out {file} --json"
    main(command.split())
    found = json.loads(capsys.readouterr().out)
    assert found == {"file": file, "count": 2, "seed": 0, "prompts": [3, 1]}


def test_translate_through_pipes(monkeypatch, capsysbinary):
    digit = np.zeros((28, 28), "uint8")
    digit[4:24, 12:16] = 255
    file = io.BytesIO()
    Image.fromarray(digit).save(file, "PNG")
    given(monkeypatch, file.getvalue())
    main(["translate", "cyclegan.digits", "-", "-"])
    found = Image.open(io.BytesIO(capsysbinary.readouterr().out))
    assert found.format == "PNG" and found.size == (28, 28)


def test_translate_sentences_line_by_line(monkeypatch, capsys, tmp_path):
    model = SimpleNamespace(generate=lambda texts, num_beams: [texts[0].upper()])
    config = TranslateConfig("x", "-")
    given(monkeypatch, b"one\ntwo\n")
    translate._sentences(model, config)
    assert capsys.readouterr().out == "ONE\nTWO\n"
    translate._sentences(model, replace(config, source="one", json=True))
    (found,) = json.loads(capsys.readouterr().out)
    assert found == {"source": "one", "translation": "ONE"}
    with pytest.raises(ValueError, match="leave the target a.png out"):
        translate._sentences(model, replace(config, target=Path("a.png")))


def test_translate_a_picture(tmp_path):
    digit = np.zeros((28, 28), "uint8")
    digit[4:24, 12:16] = 255
    Image.fromarray(digit).save(tmp_path / "one.png")
    files = [str(tmp_path / "one.png"), str(tmp_path / "outline.png")]
    main(["translate", "cyclegan.digits", *files])
    outline = np.asarray(Image.open(files[1])) / 255
    assert outline.shape == (28, 28)
    # The stroke is now hollow; its edge stays.
    assert outline[10:18, 13:15].mean() < 0.3 < 0.5 < outline[10:18, 10:18].max()


@pytest.mark.parametrize("name", ["gpt.shakespeare_char", "bert_tiny.docs"])
def test_evaluate(name, tmp_path, capsys):
    line = "ROMEO: what light through yonder window breaks? It is the east.\n\n"
    (tmp_path / "text.txt").write_text(line * 400)
    data = ["--dataset", "text", "--data-dir", str(tmp_path), "--out", str(tmp_path)]
    main(["evaluate", name, *data])
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert 1.0 < summary["val_loss"] < 12.0
    assert f"val_loss: {summary['val_loss']:.6g}" in capsys.readouterr().out


def test_evaluate_a_text_from_standard_input(monkeypatch, tmp_path, capsys):
    line = b"ROMEO: what light through yonder window breaks? It is the east.\n\n"
    given(monkeypatch, line * 30)
    data = ["--dataset", "text", "--data-dir", "-", "--out", str(tmp_path)]
    main(["evaluate", "gpt.shakespeare_char", *data, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((tmp_path / "summary.json").read_text())
    assert 1.0 < found["val_loss"] < 12.0


@pytest.fixture
def classified(tmp_path):
    """Returns a classifier that always predicts one class, and pictures of two."""
    config = zoo.ImageClassifierConfig((4, 4, 1), 2, hidden=(2,), num_features=2)
    model = zoo.ImageClassifier(config)
    kernel, bias = model.head.weights
    kernel.assign(np.zeros(kernel.shape))
    bias.assign([0.0, 5.0])
    model.save_to_preset(tmp_path / "model")
    for part, count in (("train", 1), ("test", 40)):
        for name in "ab":
            (tmp_path / "data" / part / name).mkdir(parents=True)
            for i in range(count):
                picture = Image.new("RGB", (6, 5))  # another size than the model's
                picture.save(tmp_path / "data" / part / name / f"{i:02}.png")
    return tmp_path


def evaluated(folder, *options):
    data = ["--dataset", "images", "--data-dir", str(folder / "data")]
    args = ["evaluate", str(folder / "model"), *data, "--out", str(folder), *options]
    main(args)
    return json.loads((folder / "summary.json").read_text())


def test_evaluate_a_part_of_a_folder(classified):
    rows = zoo.data.fixed_subset(80, 20)
    share = float(np.mean(rows >= 40))  # the second folder's
    assert 0.2 < share < 0.8
    found = evaluated(classified, "--images", "20")
    assert found["val_accuracy"] == pytest.approx(share, abs=1e-6)
    assert evaluated(classified)["val_accuracy"] == pytest.approx(0.5, abs=1e-6)
    with pytest.raises(SystemExit, match="images must be a whole number from 0"):
        evaluated(classified, "--images", "-3")


def test_evaluate_refuses_pictures_of_other_classes(classified):
    data = classified / "data"
    for name in "ab":
        for part in ("train", "test"):
            Image.new("RGB", (6, 5)).save(data / part / f"{name}.png")
            for file in (data / part / name).iterdir():
                file.unlink()
            (data / part / name).rmdir()
    with pytest.raises(SystemExit, match="has 2, but 'images' .* has none"):
        evaluated(classified)
    for name in "abc":
        (data / name).mkdir()
        Image.new("RGB", (6, 5)).save(data / name / "0.png")
    for part in ("train", "test"):
        (data / part).rename(classified / part)
    with pytest.raises(SystemExit, match=r"has 2, but .* has \['a', 'b', 'c'\]"):
        evaluated(classified)


def test_evaluate_finds_classes_by_their_names(classified):
    model = zoo.ImageClassifier.from_preset(classified / "model")
    for names in (("x", "b"), ("b", "a")):
        model.class_names = names
        model.save_to_preset(classified / "model")
        if "x" in names:
            with pytest.raises(SystemExit, match=r"has \['x', 'b'\], but"):
                evaluated(classified)
    # The classifier always predicts the second class, a; b is not in the folder.
    for part in ("train", "test"):
        shutil.rmtree(classified / "data" / part / "b")
    assert evaluated(classified)["val_accuracy"] == 1.0


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16", "bfloat16"])
@pytest.mark.parametrize(
    "form",
    ["zoo", "huggingface", "keras_hub", pytest.param("onnx", marks=pytest.mark.slow)],
)
def test_convert_what_was_trained_in_another_precision(
    precision, form, tmp_path, capsys
):
    if form == "onnx" and keras.config.backend() not in WRITERS["onnx"]:
        pytest.skip("the backend writes no ONNX")
    if form == "onnx" and precision != "mixed_bfloat16":
        pytest.skip("one is enough, of what takes seconds")
    model = zoo.GPT(SMALL, dtype=precision)
    for number, weight in enumerate(model.weights):  # spread like trained weights
        noise = np.random.default_rng(number).normal(0, 0.3, weight.shape)
        weight.assign(weight + noise)
    model.save_to_preset(tmp_path / "ours")
    target = tmp_path / ("new.onnx" if form == "onnx" else "new")
    main(["convert", str(tmp_path / "ours"), str(target), "--to", form])
    out = capsys.readouterr().out
    if form == "zoo":
        again = zoo.from_preset(target)
        assert again.dtype_policy.name == precision
        for name, array in weights.arrays_of(model).items():
            np.testing.assert_array_equal(weights.arrays_of(again)[name], array)
    elif "is not installed" not in out:
        assert float(out.split("at most ")[1].split()[0]) < 1e-4


def gpt():
    return zoo.GPT(SMALL)


def bert():
    sizes = zoo.BertClassifierConfig(
        17, 12, 1, 2, 8, activation="gelu_tanh", num_classes=3
    )
    return zoo.BertClassifier(sizes)


@pytest.mark.parametrize("make", [gpt, bert])
@pytest.mark.parametrize("form", ["zoo", "huggingface", "keras_hub"])
def test_convert(form, make, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    model = make()
    model.save_to_preset(tmp_path / "ours")
    main(["convert", str(tmp_path / "ours"), str(tmp_path / "new"), "--to", form])
    out = capsys.readouterr().out
    assert "block_0/attention/output/kernel" in out and "0.0e+00" in out
    again = zoo.from_preset(tmp_path / "new")
    assert again.config.width == model.config.width
    if form == "zoo":
        return
    there = {
        (gpt, "huggingface"): "h.0.attn.c_attn.weight",
        (bert, "huggingface"): "bert.encoder.layer.0.attention.self.key.weight",
        (
            gpt,
            "keras_hub",
        ): "layers/transformer_decoder/_feedforward_layer_norm",
        (bert, "keras_hub"): "layers/dense/vars/0",
    }[make, form]
    assert there in out
    if form == "keras_hub" and "keras_hub is not installed" in out:
        return
    assert float(out.split("at most ")[1].split()[0]) < 1e-4
    # And back, under the same names and with the same check.
    main(["convert", str(tmp_path / "new"), str(tmp_path / "back")])
    out = capsys.readouterr().out
    assert "at most" in out
    same = weights.arrays_of(zoo.from_preset(tmp_path / "back"))
    for name, array in weights.arrays_of(model).items():
        np.testing.assert_array_equal(same[name], array)


@pytest.mark.parametrize("target", ["decoder.onnx", "decoder"])
def test_convert_for_inference(target, tmp_path, capsys):
    form = "onnx" if target.endswith(".onnx") else "saved_model"
    args = ["convert", "vae.mnist", str(tmp_path / target), "--to", form]
    if keras.config.backend() not in WRITERS[form]:
        backend_cannot = f"{keras.config.backend()} backend can't write"
        with pytest.raises(SystemExit, match=backend_cannot):
            main(args)
        return
    main(args)
    out = capsys.readouterr().out
    assert "latents" in out and "images" in out
    assert float(out.split("at most ")[1].split()[0]) < 1e-4


def test_compared_with_what_a_folder_has(tmp_path):
    """Covers heads that we omit, and a padding token without a RoBERTa position."""
    transformers = pytest.importorskip("transformers")
    sizes = {
        "vocab_size": 37,
        "hidden_size": 12,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    for name, config, options in (
        ("ElectraForPreTraining", "ElectraConfig", {"embedding_size": 12}),
        ("BertForNextSentencePrediction", "BertConfig", {}),
        ("RobertaModel", "RobertaConfig", {"type_vocab_size": 1, "pad_token_id": 1}),
    ):
        options = sizes | options
        made = getattr(transformers, name)(getattr(transformers, config)(**options))
        made.save_pretrained(tmp_path / name)
        whole = name == "BertForNextSentencePrediction"
        load = zoo.from_preset if whole else zoo.BertBackbone.from_preset
        model = load(tmp_path / name)
        ((_, difference),) = compared.differences(model, tmp_path / name)
        assert difference < 1e-4, name


def test_gaps_are_not_filled_by_chance(tmp_path):
    sizes = zoo.BertConfig(17, 12, 1, 2, 8)
    encoder = zoo.BertBackbone(sizes)
    encoder.save_to_preset(tmp_path)
    with pytest.raises(SystemExit, match="has no head for masked tokens. Pretrain it"):
        main(["fill-mask", str(tmp_path), "a [MASK]"])


@pytest.mark.host
def test_train_runs_a_recipe(capsys):
    command = [sys.executable, "-m", "zoo.cli", "train", "gan_1d", "--help"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.startswith("usage: zoo train gan_1d"), done.stderr
    main(["train"])
    names = capsys.readouterr().out.split()
    assert "gan_1d" in names and "_shared" not in names
    with pytest.raises(SystemExit, match="Did you mean 'gpt_text'[?] Recipes: auto"):
        main(["train", "gpt-text"])
    with pytest.raises(SystemExit, match="no recipe '_shared'. Recipes"):
        main(["train", "_shared"])


@pytest.mark.host
@pytest.mark.parametrize("strangers", [False, True])
def test_train_runs_no_recipe_of_another_project(strangers, tmp_path, monkeypatch):
    found = SimpleNamespace(submodule_search_locations=[str(tmp_path / "x")])
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: found if strangers else None
    )
    with pytest.raises(SystemExit, match="can't be imported from here. Change into"):
        main(["train", "gpt_text"])
    monkeypatch.setattr(zoo, "__file__", str(tmp_path / "zoo" / "__init__.py"))
    with pytest.raises(SystemExit, match="recipes is missing.*Install it again"):
        main(["train", "gpt_text"])


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("info gpt7", "Checkpoints: bert_tiny.docs"),
        ("generate vae.mnist x", "needs a language model"),
        ("generate gpt.shakespeare_char x --max-new-tokens 100", "context_length=64"),
        (
            "generate gpt.shakespeare_char x --max-new-tokens -3",
            "max_new_tokens must be",
        ),
        ("generate gpt.shakespeare_char x --temperature nan", "temperature must be"),
        ("generate gpt.shakespeare_char x --temperature -1", "temperature must be 0"),
        ("generate gpt.shakespeare_char x --top-k -1", "top_k must be a whole number"),
        ("generate gpt.shakespeare_char x --top-p 0", "top_p must be in"),
        ("generate gpt.shakespeare_char x --seed -1", "seed must be a whole number"),
        (
            "generate gpt.shakespeare_char x --window 64",
            "window must be a whole number",
        ),
        ("sample gpt.shakespeare_char", "can't sample pictures"),
        ("sample vqvae.mnist --prompts 10", "from 0 to 9"),
        ("sample vqvae.mnist --prompts 3 x", "from 0 to 9; got --prompts 'x'"),
        ("sample vae.mnist --prompts 3", "takes no prompts"),
        ("sample vae.mnist --count 0", "count"),
        ("sample vae.mnist --temperature 1", "draws no tokens"),
        (f"translate vae.mnist {__file__} b.png", "needs a CycleGAN or a Transformer"),
        ("translate cyclegan.digits a.png", "needs a target file"),
        ("translate cyclegan.digits /no/where.png b.png", "/no/where.png"),
        ("evaluate cyclegan.digits --dataset digits", "digits"),
        ("convert vae.mnist /tmp/x --to huggingface", "no model. --to takes zoo"),
        ("convert vae.mnist /tmp/x --to keras_hub", "no model. --to takes zoo"),
        ("convert vae.mnist x.onnx --to zoo", "a file *.onnx for ONNX"),
        ("convert vqvae.mnist x", "must be a single preset"),
        ("convert vae.mnist x --to onnx", "a file *.onnx for ONNX"),
        ("fill-mask vae.mnist x", "is a VAE, not a BertPretrainer"),
    ],
)
def test_bad_requests_are_one_line(args, message):
    with pytest.raises(SystemExit) as stopped:
        main(args.split())
    assert message in stopped.value.code and "\n" not in stopped.value.code.strip()


def test_a_backend_is_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND")
    monkeypatch.setattr(backend, "installed", lambda: ["torch"])
    backend.choose()
    assert backend.os.environ["KERAS_BACKEND"] == "torch"
    monkeypatch.setattr(backend, "installed", lambda: ["jax", "torch"])
    for able, taken in (((), "jax"), (("tensorflow", "torch"), "torch")):
        monkeypatch.delenv("KERAS_BACKEND")
        backend.choose(able)
        assert backend.os.environ["KERAS_BACKEND"] == taken
    # Keras writes its default there on first import, installed or not.
    (tmp_path / "keras.json").write_text('{"backend": "tensorflow"}')
    for found, taken in ((["torch"], "torch"), (["jax", "tensorflow"], None)):
        monkeypatch.delenv("KERAS_BACKEND")
        monkeypatch.setattr(backend, "installed", lambda found=found: found)
        backend.choose()
        assert backend.os.environ.get("KERAS_BACKEND") == taken
    monkeypatch.setattr(backend, "installed", lambda: ["torch"])
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with pytest.raises(ValueError, match=r"pip install .*\[jax\]'"):
        backend.choose()


@pytest.mark.host
def test_doctor_says_what_installs_a_backend(monkeypatch, capsys):
    monkeypatch.setattr(backend, "installed", lambda: [])
    with pytest.raises(SystemExit, match="no backend works here"):
        main(["doctor"])
    out = capsys.readouterr().out
    for name in backend.PREFERRED:
        assert f"[{name}]'" in out
    assert "pip install 'zoo" not in out  # which is another project


@pytest.mark.slow
def test_doctor(capsys):
    main(["doctor"])
    assert "works" in capsys.readouterr().out


@pytest.mark.host
def test_doctor_as_json(monkeypatch, capsys):
    monkeypatch.setattr(backend, "installed", lambda: ["jax"])
    works = dict.fromkeys(("float32", "mixed_bfloat16", "mixed_float16"), "works")
    said = {"version": "1", "devices": ["cpu:0"], "precision": works}
    answer = SimpleNamespace(returncode=0, stdout=f"noise\n{json.dumps(said)}\n")
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: answer)
    main(["doctor", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["works"] and found["backends"]["jax"] == {"installed": True} | said
    assert found["backends"]["torch"] == {"installed": False}
    main(["doctor"])
    assert "cpu:0" in capsys.readouterr().out


def test_evaluate_skips_bad_lines_of_a_text_if_asked(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"one\n\xff\n" + b"two\n" * 9)
    model = SimpleNamespace(tokenizer=True)
    config = EvaluateConfig("gpt", "text", tmp_path)
    with pytest.raises(ValueError, match=r"line 2 of .*a\.txt is not UTF-8"):
        _validation_text(model, config)
    config = replace(config, on_bad="skip")
    with pytest.warns(UserWarning, match=r"1 bad .* line 2 of .*a\.txt"):
        assert _validation_text(model, config) == "two\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "zoo.cli generate gpt.shakespeare_char ROMEO: --max-new-tokens 5 --seed 1",
        "zoo.cli translate cyclegan.digits {three} {tmp}/outline.png",
        "recipes.gpt_text --variant demo --dataset docs --smoke --out {tmp}/run",
    ],
)
def test_no_noise_of_a_backend(command, tmp_path):
    """Into pipes, programs write nothing to standard error."""
    three = checkpoints()["cyclegan.digits"] / "three.png"
    words = command.format(tmp=tmp_path, three=three).split()
    env = {k: x for k, x in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, "-m", *words], capture_output=True, text=True, env=env
    )
    assert (done.returncode, done.stderr) == (0, "")
