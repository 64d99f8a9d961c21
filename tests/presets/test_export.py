"""Exported models, in ONNX and as a SavedModel, compute what the model computes."""

import importlib.util
import json
import sys

import keras
import numpy as np
import pytest

import zoo
from zoo.presets import export
from zoo.presets.export import export_inference, largest_difference, run_exported

BERT = {
    "vocab_size": 31,
    "context_length": 9,
    "num_layers": 1,
    "num_heads": 2,
    "width": 8,
}
CASES = {
    "gpt": lambda: zoo.GPT(zoo.GPTConfig(17, 11, 1, 2, 8)),
    "gpt_rotary_untied": lambda: zoo.GPT(
        zoo.GPTConfig(17, 11, 1, 2, 8, positions="rotary", tie_embeddings=False)
    ),
    "gpt_window": lambda: zoo.GPT(zoo.GPTConfig(17, 11, 1, 2, 8, window=4)),
    "gpt_t5": lambda: zoo.GPT(zoo.GPTConfig(17, 11, 1, 2, 8, positions="t5_bias")),
    "gpt_xl": lambda: zoo.GPT(
        zoo.GPTConfig(17, 11, 1, 2, 8, positions="transformer_xl")
    ),
    "pretrainer": lambda: zoo.BertPretrainer(zoo.BertConfig(**BERT)),
    "backbone_without_pooler": lambda: zoo.BertBackbone(
        zoo.BertConfig(**BERT, pooler=False, position_offset=2, num_segments=0)
    ),
    "classifier": lambda: zoo.BertClassifier(
        zoo.BertClassifierConfig(**BERT, num_classes=3, head="roberta")
    ),
    "tagger": lambda: zoo.BertTagger(zoo.BertTaggerConfig(**BERT, num_classes=3)),
    "span_qa": lambda: zoo.BertSpanQA(zoo.BertConfig(**BERT)),
    "vae": lambda: zoo.VAE(
        zoo.VAEConfig(
            image_shape=(8, 8, 1),
            latent_dim=3,
            body="convolutional",
            hidden=(4, 6),
            activation="relu",
        )
    ),
    "diffusion": lambda: zoo.Diffusion(
        zoo.DiffusionConfig(
            image_shape=(4, 4, 1),
            num_classes=3,
            width=8,
            multipliers=(1, 2),
            num_residual_blocks=1,
            groups=4,
            num_heads=2,
        )
    ),
    "dcgan": lambda: zoo.DCGAN(zoo.DCGANConfig(width=4, latent_dim=5)),
    "dcgan_classes": lambda: zoo.DCGAN(
        zoo.DCGANConfig(width=4, latent_dim=5, num_classes=3, upsampling="resize")
    ),
    "cyclegan": lambda: zoo.CycleGAN(
        zoo.CycleGANConfig(
            (32, 32), (1, 3), 4, 1, discriminator_layers=2, identity_weight=0
        )
    ),
    "image_classifier": lambda: zoo.ImageClassifier(
        zoo.ImageClassifierConfig((8, 8, 1), 3, (4,))
    ),
}
BACKEND = keras.config.backend()
# What each backend writes. JAX writes through TensorFlow, which may be missing.
FORMATS = {
    "tensorflow": ("onnx", "saved_model"),
    "jax": ("saved_model",) if importlib.util.find_spec("tensorflow") else (),
    "torch": ("onnx",),
}[BACKEND]
SUFFIXES = {"onnx": ".onnx", "saved_model": ""}
# The rest takes minutes and differs little from these for an exporter.
QUICK = ("gpt", "vae")


def trained(model):
    """Sets weights other than zeros and ones, so that each one matters."""
    rng = np.random.default_rng(1)
    for weight in model.trainable_weights:
        weight.assign(weight + 0.1 * rng.normal(size=weight.shape))
    return model


@pytest.mark.parametrize(
    "case",
    [pytest.param(x, marks=() if x in QUICK else pytest.mark.slow) for x in CASES],
)
@pytest.mark.parametrize("form", FORMATS)
def test_outputs_are_the_models(case, form, tmp_path):
    if (BACKEND, case) == ("torch", "gpt_t5"):
        pytest.skip("see test_a_file_that_can_not_be_run")
    target = tmp_path / f"exported{SUFFIXES[form]}"
    found = export_inference(trained(CASES[case]()), target)
    assert largest_difference(found, target) < 1e-4
    sizes = [{k: x.shape for k, x in found.samples(seed).items()} for seed in (1, 2)]
    assert sizes[0] != sizes[1]  # batch sizes, and text and picture sizes
    if form == "onnx":
        import onnx

        proto = onnx.load(target)
        given = {x.name: x.type.tensor_type.shape.dim for x in proto.graph.input}
        assert {array.name for array in found.arrays} == set(given)
        for array in found.arrays:
            names = [getattr(side, "name", "") for side in array.shape]
            assert [dim.dim_param for dim in given[array.name]] == names
        assert [x.name for x in proto.graph.output] == list(found.names_of_outputs)
        assert list(tmp_path.iterdir()) == [target]


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "torch", reason="of torch's exporter")
def test_a_file_that_can_not_be_run(tmp_path):
    with pytest.raises(ValueError, match="KERAS_BACKEND=tensorflow"):
        export_inference(CASES["gpt_t5"](), tmp_path / "t5.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("model", "target", "message"),
    [
        (
            lambda: zoo.NgramLM(zoo.NgramConfig(5, order=2)),
            "x",
            "A NgramLM can.t be exported",
        ),
        (
            lambda: zoo.GPT(zoo.GPTConfig(17, 11, 1, 2, 8), dtype="bfloat16"),
            "x",
            r"from_preset\(name, dtype='float32'\)",
        ),
        (CASES["gpt"], "x.onnx", "tensorflow and torch can"),
        (CASES["gpt"], "x", "tensorflow and jax can"),
    ],
)
def test_what_can_not_be_exported(model, target, message, tmp_path):
    if message.startswith("tensorflow") and export.format_of(target) in FORMATS:
        pytest.skip(f"{BACKEND} writes it")
    with pytest.raises(ValueError, match=message):
        export_inference(model(), tmp_path / target)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_there_stays(tmp_path):
    (tmp_path / "own.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="a new folder"):
        export_inference(CASES["vae"](), tmp_path)


def test_a_file_too_large_for_onnx(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "LARGEST_ONNX", 1000)
    with pytest.raises(ValueError, match="SavedModel has no such limit"):
        export_inference(CASES["vae"](), tmp_path / "x.onnx")


def test_what_is_not_installed(tmp_path, monkeypatch):
    (tmp_path / "x.onnx").touch()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ValueError, match=r"pip install .*\[export\]'"):
        run_exported(tmp_path / "x.onnx", {})


# === Keras's model.export ===


@pytest.mark.parametrize("case", ["gpt", "tagger", "image_classifier"])
def test_keras_s_export_is_ours(case, tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(export, "export_inference", lambda *args: written.append(args))
    model = CASES[case]()
    model.export(tmp_path / "folder")
    model.export(str(tmp_path / "x.onnx"), format="onnx")
    assert written == [
        (model, tmp_path / "folder"),
        (model, str(tmp_path / "x.onnx")),
    ]
    for target, form in (("folder", "onnx"), ("x.onnx", "tf_saved_model")):
        with pytest.raises(ValueError, match=r"a file \*.onnx for ONNX"):
            model.export(tmp_path / target, form)


def test_keras_s_export_after_calls(tmp_path):
    if BACKEND != "tensorflow":
        pytest.skip("the others' exporters take longer, and are tested above")
    model = CASES["gpt"]()
    model.predict(np.zeros((2, 3), "int32"), verbose=0)
    model.export(tmp_path / "saved")
    assert largest_difference(export.served(model), tmp_path / "saved") < 1e-4


@pytest.mark.parametrize("case", ["vae", "dcgan_classes"])
def test_keras_s_export_names_what_is_wanted(case, tmp_path):
    with pytest.raises(
        ValueError,
        match=r"zoo.presets.export_inference\(model, .* writes its images from",
    ):
        CASES[case]().export(tmp_path / "x")


@pytest.mark.parametrize(
    "model",
    [
        lambda: zoo.RecurrentLM(zoo.RecurrentLMConfig(17, 8, 1, 8)),
        lambda: zoo.Transformer(zoo.TransformerConfig(17, 8, 1, 2, 8)),
        lambda: zoo.VQVAE(zoo.VQVAEConfig((8, 8, 1), num_codes=4, channels=4)),
        lambda: zoo.ELMo(zoo.ELMoConfig(17, 1, 4)),
        lambda: zoo.NgramLM(zoo.NgramConfig(5, order=2)),
    ],
)
def test_keras_s_export_of_what_is_not_exported(model, tmp_path):
    with pytest.raises(ValueError, match="needs input_signature=.*export_inference"):
        model().export(tmp_path / "x")


@pytest.mark.slow
@pytest.mark.skipif(BACKEND == "jax", reason="writes no ONNX")
def test_names_of_classes_are_in_the_file(tmp_path):
    import onnx

    model = CASES["image_classifier"]()
    model.class_names = ("cat", "dog", "eel")
    export_inference(model, tmp_path / "x.onnx")
    properties = {x.key: x.value for x in onnx.load(tmp_path / "x.onnx").metadata_props}
    assert json.loads(properties["class_names"]) == ["cat", "dog", "eel"]
