"""GPT-2 against `transformers`: logits, gradients, text, conversion both ways."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from zoo import GPT, GPTConfig, Tokenizer
from zoo.engine.current import engine
from zoo.formats.huggingface.gpt2 import config_fields, convert
from zoo.presets import export_gpt2
from zoo.presets.weights import named_weights

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

RNG = np.random.default_rng(0)
IDS = RNG.integers(31, size=(3, 16), dtype="int32")
TOLERANCE = 1e-4


def far(model, theirs) -> float:
    """Returns the largest difference between our logits for `IDS` and theirs."""
    forward = engine().compile(lambda ids: model(ids), lambda: model.variables)
    return np.abs(ops.convert_to_numpy(forward(IDS)) - theirs.detach().numpy()).max()


def their_model(**options):
    """Returns a random model whose text is varied."""
    fields = {
        "vocab_size": 31,
        "n_positions": 40,
        "n_embd": 24,
        "n_layer": 2,
        "n_head": 3,
        "n_inner": 36,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "bos_token_id": None,
        "eos_token_id": None,
    }
    config = transformers.GPT2Config(**fields | options)
    model = transformers.GPT2LMHeadModel(config).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(std=0.3)
            if ".ln_" in name and name.endswith("weight"):
                parameter.add_(1)
    return model


def saved(model, folder):
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def theirs():
    return their_model()


@pytest.fixture(scope="module")
def folder(theirs, tmp_path_factory):
    return saved(theirs, tmp_path_factory.mktemp("gpt2"))


@pytest.fixture(scope="module")
def ours(folder):
    return GPT.from_preset(folder)


def test_logits(theirs, ours):
    expected = theirs(torch.from_numpy(IDS).long()).logits
    assert far(ours, expected) < TOLERANCE
    assert ours.config.feed_forward_width == 36
    assert ours.count_params() == sum(p.numel() for p in theirs.parameters())


def test_gradients(theirs, folder):
    ids = torch.from_numpy(IDS).long()
    loss = theirs(ids, labels=ids).loss
    theirs.zero_grad()
    loss.backward()
    by_name = {name: p.grad.numpy() for name, p in theirs.named_parameters()}
    model = GPT.from_preset(folder)
    expected = convert(by_name, model.config)
    # One step of plain gradient descent at rate 1 moves each weight by its gradient.
    before = {
        k: ops.convert_to_numpy(w).copy() for k, w in named_weights(model).items()
    }
    model.compile(keras.optimizers.SGD(1.0))
    found = model.fit(IDS, verbose=0).history["loss"][0]
    assert found == pytest.approx(loss.item(), abs=1e-5)
    for name, weight in named_weights(model).items():
        gradient = before[name] - ops.convert_to_numpy(weight)
        assert np.abs(gradient - expected[name]).max() < TOLERANCE, name


@pytest.mark.parametrize(
    "options",
    [
        {"activation_function": "gelu", "tie_word_embeddings": False},
        {"activation_function": "relu", "layer_norm_epsilon": 1e-2, "n_inner": None},
    ],
)
def test_logits_with_other_options(options, tmp_path):
    theirs = their_model(n_layer=1, **options)
    ours = GPT.from_preset(saved(theirs, tmp_path / "theirs"))
    expected = theirs(torch.from_numpy(IDS).long()).logits
    assert far(ours, expected) < TOLERANCE
    export_gpt2(ours, tmp_path / "ours")
    loaded = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "ours")
    assert torch.equal(loaded(torch.from_numpy(IDS).long()).logits, expected)


def test_the_body_alone_without_the_prefix(theirs, ours, tmp_path):
    loaded = GPT.from_preset(saved(theirs.transformer, tmp_path))
    for a, b in zip(loaded.get_weights(), ours.get_weights(), strict=True):
        assert np.array_equal(a, b)


def test_half_precision_checkpoints(theirs, tmp_path):
    import copy

    half = saved(copy.deepcopy(theirs).to(torch.bfloat16), tmp_path)
    for a, b in zip(
        GPT.from_preset(half).get_weights(),
        GPT.from_preset(half, dtype="mixed_bfloat16").get_weights(),
        strict=True,
    ):
        assert a.dtype == b.dtype == np.float32
        assert np.array_equal(a, b)


def test_there_and_back_is_exact(theirs, ours, tmp_path):
    export_gpt2(ours, tmp_path)
    back = GPT.from_preset(tmp_path)
    assert back.config == ours.config
    for a, b in zip(back.get_weights(), ours.get_weights(), strict=True):
        assert np.array_equal(a, b)
    loaded, report = transformers.GPT2LMHeadModel.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not any(report.values())
    for (name, a), (_, b) in zip(
        theirs.named_parameters(), loaded.named_parameters(), strict=True
    ):
        assert torch.equal(a, b), name


def test_rates_of_dropout_go_there_and_back(tmp_path):
    theirs = their_model(resid_pdrop=0.3, attn_pdrop=0.2)
    ours = GPT.from_preset(saved(theirs, tmp_path / "theirs"))
    assert (ours.config.dropout, ours.config.attention_dropout) == (0.3, 0.2)
    export_gpt2(ours, tmp_path / "back")
    back = transformers.AutoConfig.from_pretrained(tmp_path / "back")
    assert (back.resid_pdrop, back.attn_pdrop) == (0.3, 0.2)


def test_without_biases_there_are_zeros(tmp_path):
    model = GPT(GPTConfig(31, 40, 1, 3, 24, use_bias=False, initial_stddev=0.3))
    export_gpt2(model, tmp_path)
    loaded = transformers.GPT2LMHeadModel.from_pretrained(tmp_path)
    assert far(model, loaded(torch.from_numpy(IDS).long()).logits) < TOLERANCE


def test_tokenizer_goes_along(tmp_path):
    model = GPT(GPTConfig(300, 40, 1, 3, 24))
    text = "Cafés — 東京, <|endoftext|> don't  stop\n"
    for tokenizer in (Tokenizer.train_bpe("the cat sat " * 9, 300),
                      Tokenizer.characters(text)):  # fmt: skip
        model.tokenizer = tokenizer
        export_gpt2(model, tmp_path)
        loaded = transformers.AutoTokenizer.from_pretrained(tmp_path)
        assert loaded(text)["input_ids"] == tokenizer.encode(text).tolist()
        assert loaded.decode(tokenizer.encode(text)) == text
        assert GPT.from_preset(tmp_path).tokenizer == tokenizer
    model.tokenizer = None
    export_gpt2(model, tmp_path)
    assert GPT.from_preset(tmp_path).tokenizer is None


# === Text ===


PROMPTS = IDS[:, :10]


def their_text(model, max_new_tokens, **options) -> list[list[int]]:
    """Returns their continuation of each prompt."""
    ids = torch.from_numpy(PROMPTS).long()
    found = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=max_new_tokens,
        do_sample=False,
        pad_token_id=0,
        **options,
    )
    return found[:, PROMPTS.shape[1] :].tolist()


def our_text(model, max_new_tokens, **options) -> list[list[int]]:
    found = model.generate([row.tolist() for row in PROMPTS], max_new_tokens, **options)
    return [row[PROMPTS.shape[1] :] for row in found]


@pytest.mark.parametrize("options", [{}, {"repetition_penalty": 1.5}])
def test_greedy_text(theirs, ours, options):
    found = our_text(ours, 24, temperature=0, **options)
    assert found == their_text(theirs, 24, **options)
    assert len({token for row in found for token in row}) > 5


def test_beam_text(theirs, ours):
    found = our_text(ours, 12, num_beams=4)
    assert found == their_text(theirs, 12, num_beams=4, length_penalty=1.0)
    assert found != our_text(ours, 12, temperature=0)


def test_beam_text_with_an_end(theirs, ours):
    # They discard hypotheses that end outside the best `num_beams`. We do not, and
    # sometimes find better ones: under length_penalty=0.5, for 8 of 31 end tokens here.
    # Under 1.0 and 2.0 both find the same for all 31.
    end = 14
    found = our_text(ours, 12, num_beams=4, stop=end)
    expected = their_text(
        theirs, 12, num_beams=4, eos_token_id=end, early_stopping="never"
    )
    expected = [row[: [*row, end].index(end)] for row in expected]
    assert any(len(row) < 12 for row in found)
    assert found == expected


# === What does not fit ===


def edited(folder, tmp_path, edit, **fields):
    """Returns a copy with other weights and settings."""
    from safetensors.numpy import load_file, save_file

    arrays = load_file(folder / "model.safetensors")
    edit(arrays)
    save_file(arrays, tmp_path / "model.safetensors")
    settings = json.loads((folder / "config.json").read_text()) | fields
    (tmp_path / "config.json").write_text(json.dumps(settings))
    return tmp_path


def test_known_buffers_and_a_tied_head_are_passed_over(folder, ours, tmp_path):
    def edit(arrays):
        arrays["transformer.h.0.attn.bias"] = np.ones((1, 1, 40, 40), "float32")
        arrays["transformer.h.1.attn.masked_bias"] = np.full((1,), -1e4, "float32")
        arrays["lm_head.weight"] = arrays["transformer.wte.weight"].copy()

    loaded = GPT.from_preset(edited(folder, tmp_path, edit))
    for a, b in zip(loaded.get_weights(), ours.get_weights(), strict=True):
        assert np.array_equal(a, b)


def test_a_tied_head_must_be_equal(folder, tmp_path):
    def edit(arrays):
        arrays["lm_head.weight"] = arrays["transformer.wte.weight"] + 1

    with pytest.raises(ValueError, match="tie_word_embeddings to false"):
        GPT.from_preset(edited(folder, tmp_path, edit))


def test_leftover_and_missing_keys_are_named(folder, tmp_path):
    def edit(arrays):
        del arrays["transformer.h.1.mlp.c_fc.bias"]
        arrays["score.weight"] = np.ones((2, 24), "float32")

    with pytest.raises(
        ValueError, match=r"Missing: h.1.mlp.c_fc.bias. Unexpected: score.weight."
    ):
        GPT.from_preset(edited(folder, tmp_path, edit))


def test_more_blocks_than_the_configuration_says(folder, tmp_path):
    with pytest.raises(ValueError, match="Unexpected: h.1.attn.c_attn.bias"):
        GPT.from_preset(edited(folder, tmp_path, lambda arrays: None, n_layer=1))


def test_a_wrong_shape_is_named(folder, tmp_path):
    def edit(arrays):
        name = "transformer.h.0.attn.c_attn.weight"
        arrays[name] = np.ascontiguousarray(arrays[name][:, :60])

    message = (
        r"block_0/attention/query_key_value/kernel is \(24, 60\) in the file and "
        r"\(24, 72\) in the model"
    )
    with pytest.raises(ValueError, match=message):
        GPT.from_preset(edited(folder, tmp_path, edit))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("scale_attn_by_inverse_layer_idx", True),
        ("scale_attn_weights", False),
        ("add_cross_attention", True),
        ("activation_function", "tanh"),
        ("pruned_heads", {"0": [1]}),
        ("quantization_config", {"bits": 8}),
    ],
)
def test_unsupported_options_are_named(option, value):
    settings = transformers.GPT2Config().to_dict()
    assert config_fields(settings) == config_fields({})
    with pytest.raises(ValueError, match=f"{option}="):
        config_fields(settings | {option: value})


@pytest.mark.parametrize(
    "fields", [{"norm_position": "post"}, {"positions": "rotary"}, {"window": 8}]
)
def test_models_that_are_no_gpt2_are_not_exported(fields, tmp_path):
    model = GPT(GPTConfig(31, 40, 1, 3, 24, **fields))
    with pytest.raises(ValueError, match=next(iter(fields))):
        export_gpt2(model, tmp_path)
    assert not list(tmp_path.iterdir())


def test_other_model_types(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    with pytest.raises(
        ValueError, match=r"\(gpt2, llama, .*bert.*\); its model_type is 't5'"
    ):
        GPT.from_preset(tmp_path)
