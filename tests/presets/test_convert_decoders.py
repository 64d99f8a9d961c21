"""Today's decoders against `transformers`: logits, gradients, conversion both ways."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import ops

from zoo import GPT, GPTConfig
from zoo.engine.current import engine
from zoo.formats.huggingface import decoders, gpt
from zoo.layers import Rotary
from zoo.presets.weights import named_weights

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

IDS = np.random.default_rng(0).integers(31, size=(3, 16), dtype="int32")
TOLERANCE = 1e-4
SMALL = {
    "vocab_size": 31,
    "max_position_embeddings": 40,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "intermediate_size": 36,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
YARN = {
    "rope_type": "yarn",
    "rope_theta": 1000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 10,
    "beta_fast": 3.0,
    "beta_slow": 0.5,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 4.0,
    "original_max_position_embeddings": 10,
    "low_freq_factor": 0.5,
    "high_freq_factor": 2.0,
}
CASES = {
    "llama": ("Llama", {}),
    "llama_options": (
        "Llama",
        {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}
        | {"hidden_act": "gelu", "head_dim": 8, "rms_norm_eps": 1e-3},
    ),
    "llama_attention_bias": ("Llama", {"attention_bias": True}),
    "llama_yarn": ("Llama", {"rope_parameters": YARN}),
    "llama3": ("Llama", {"rope_parameters": LLAMA3, "num_key_value_heads": None}),
    "llama_linear": (
        "Llama",
        {"rope_parameters": {"rope_type": "linear", "factor": 3.0, "rope_theta": 1e3}},
    ),
    "mistral": ("Mistral", {"sliding_window": 5}),
    "qwen2": ("Qwen2", {}),
    "qwen2_windows": (
        "Qwen2",
        {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 0},
    ),
    "qwen3": ("Qwen3", {"head_dim": 8}),
    "qwen3_bias": ("Qwen3", {"head_dim": 4, "attention_bias": True}),
    "smollm3": ("SmolLM3", {"num_hidden_layers": 4, "no_rope_layer_interval": 2}),
    "gemma": ("Gemma", {"head_dim": 8}),
    "gpt_neox": ("GPTNeoX", {"rotary_pct": 0.5, "hidden_size": 48}),
    "gpt_neox_sequential": (
        "GPTNeoX",
        {"rotary_pct": 1.0, "use_parallel_residual": False, "hidden_act": "relu"}
        | {"attention_bias": False, "tie_word_embeddings": True},
    ),
}
# For GGUF's blocks of 32 values, and with room for a tokenizer.
OTHERS = {
    "llama_wide": (
        "Llama",
        {"hidden_size": 64, "intermediate_size": 96, "head_dim": 16}
        | {"num_attention_heads": 4},
    ),
    "llama_words": ("Llama", {"vocab_size": 300, "tie_word_embeddings": True}),
}
# One of each kind; the others are variations.
MAIN = ("llama", "qwen2", "qwen3", "gpt_neox")


def their_model(case):
    """Returns a random model whose logits vary."""
    name, options = (CASES | OTHERS)[case]
    fields = {k: v for k, v in (SMALL | options).items() if v is not None}
    fields |= {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    if name == "GPTNeoX":
        del fields["num_key_value_heads"]
    config = getattr(transformers, f"{name}Config")(**fields)
    config._attn_implementation = "eager"
    model = getattr(transformers, f"{name}ForCausalLM")(config).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            parameter.normal_(std=0.3)
            if "norm" in key and key.endswith("weight") and name != "Gemma":
                parameter.add_(1)
    return model


@pytest.fixture(scope="module", params=CASES)
def pair(request, tmp_path_factory):
    """A model of theirs, and its folder."""
    theirs = their_model(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    theirs.save_pretrained(folder)
    return request.param, theirs, folder


def logits(model):
    forward = engine().compile(lambda ids: model(ids), lambda: model.variables)
    return ops.convert_to_numpy(forward(IDS))


def test_logits_and_the_way_back(pair, tmp_path):
    _, theirs, folder = pair
    expected = theirs(torch.from_numpy(IDS).long()).logits.detach().numpy()
    ours = GPT.from_preset(folder)
    assert np.abs(logits(ours) - expected).max() < TOLERANCE
    assert ours.count_params() == sum(p.numel() for p in theirs.parameters())
    gpt.write(ours, tmp_path / "back")
    back = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "back")
    again = back(torch.from_numpy(IDS).long()).logits.detach().numpy()
    assert np.abs(again - expected).max() < TOLERANCE
    assert back.config.model_type in (theirs.config.model_type, "llama", "mistral")


@pytest.mark.parametrize("pair", MAIN, indirect=True)
def test_gradients(pair):
    _, theirs, folder = pair
    ids = torch.from_numpy(IDS).long()
    loss = theirs(ids, labels=ids).loss
    theirs.zero_grad()
    loss.backward()
    by_name = {name: p.grad.numpy() for name, p in theirs.named_parameters()}
    model = GPT.from_preset(folder)
    expected = decoders.convert(by_name, model.config)
    before = {
        k: ops.convert_to_numpy(w).copy() for k, w in named_weights(model).items()
    }
    model.compile(keras.optimizers.SGD(1.0))
    found = model.fit(IDS, verbose=0).history["loss"][0]
    assert found == pytest.approx(loss.item(), abs=1e-5)
    for name, weight in named_weights(model).items():
        gradient = before[name] - ops.convert_to_numpy(weight)
        assert np.abs(gradient - expected[name]).max() < TOLERANCE, name


@pytest.mark.parametrize("pair", [*MAIN, "mistral", "smollm3"], indirect=True)
def test_cached_decoding_equals_the_whole(pair):
    case, theirs, folder = pair
    ours = GPT.from_preset(folder)
    got = ours.generate(IDS[:, :5], 8, temperature=0)
    ids = torch.from_numpy(IDS[:, :5]).long()
    for _ in range(8):
        ids = torch.cat([ids, theirs(ids).logits[:, -1:].argmax(-1)], 1)
    assert np.array_equal(np.asarray(got), ids.numpy()), case


ROTARY = GPTConfig(31, 40, 2, 2, 16, positions="rotary", use_bias=False)


def test_our_own_rotary_models_become_gpt_neox(tmp_path):
    model = GPT(ROTARY)
    gpt.write(model, tmp_path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    assert theirs.config.model_type == "gpt_neox"
    expected = theirs(torch.from_numpy(IDS).long()).logits.detach().numpy()
    assert np.abs(logits(model) - expected).max() < TOLERANCE
    assert np.abs(logits(GPT.from_preset(tmp_path)) - expected).max() < TOLERANCE


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rotary": Rotary(pairs="neighbours")}, "gpt_neox.*rotary must be .*halves"),
        ({"norm": "rms"}, "llama.*gated must be True, got False"),
        ({"window": 3}, "gpt_neox.*window must be 0, got 3"),
        (
            {"norm": "rms", "gated": True, "sublayers": "parallel"},
            "llama.*sublayers must be 'sequential', got 'parallel'",
        ),
        (
            {"norm": "rms", "gated": True, "window": 4, "sinks": 2},
            "mistral.*sinks must be 0, got 2",
        ),
    ],
)
def test_what_none_of_theirs_computes_is_refused(changes, message, tmp_path):
    model = GPT(dataclasses.replace(ROTARY, **changes))
    with pytest.raises(ValueError, match=message):
        gpt.write(model, tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}},
            "rope_type must be one of .*got 'dynamic'",
        ),
        ({"hidden_act": "tanh"}, "hidden_act must be one of .*got 'tanh'"),
        ({"quantization_config": {"bits": 4}}, "quantization_config must be None"),
        (
            {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 4}
            | {"max_window_layers": 1},
            "layer_types must be the same for all layers, .*1 of 2",
        ),
        ({"rope_parameters": {"mscale": 1.0}}, "mscale must be None"),
        ({"num_key_value_heads": 4}, "num_heads must be a multiple"),
    ],
)
def test_options_that_ours_lack_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        GPTConfig(**decoders.config_fields({"model_type": "llama"} | SMALL | options))
