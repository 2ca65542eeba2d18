#!/usr/bin/env python3
"""Makes GGUF files with the Python package gguf, and what it and transformers make of them.

    python3 make_gguf_goldens.py architectures tokenizers/byte-bpe ../../examples/data/stories260k gguf

Needs gguf 0.19.0 beside what the other scripts need. Metadata and forms of tensors are those of llama.cpp's
convert_hf_to_gguf.py; `--check` has transformers load each file and compares all weights with the folder that it was
made of.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from make_architecture_goldens import FLOAT32, double_precision, load_double
from safetensors.numpy import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

BLOCKS = 24
FORMATS = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"]
# Where the half-precision numbers of a block stand, bytes from its start.
HALVES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q4_K": [0, 2], "Q5_K": [0, 2]}
HALVES["Q6_K"] = [208]
# 1, -0, the smallest subnormal, the largest one, the largest number, infinities, a NaN
EDGES = [0x3C00, 0x8000, 0x0001, 0x83FF, 0x7BFF, 0x7C00, 0xFC00, 0x7E00]
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
VOCABULARY = 80


def make_formats(out):
    """Blocks of random bytes, the first with edge cases as their scales, and what gguf decodes them to."""
    random = np.random.default_rng(14)
    tensors = {}
    for name in FORMATS:
        kind = Type[name]
        block, size = gguf.GGML_QUANT_SIZES[kind]
        blocks = random.integers(0, 256, (BLOCKS if block > 1 else 64, size), dtype=np.uint8)
        for i, edge in enumerate(EDGES):
            for at in HALVES.get(name, []):
                blocks[i, at : at + 2] = np.frombuffer(np.uint16(edge).tobytes(), np.uint8)
            if name in ("F16", "BF16"):
                blocks[i] = np.frombuffer(np.uint16(edge).tobytes(), np.uint8)
        blocks[len(EDGES)] = 0
        blocks[len(EDGES) + 1, :] = 0xFF
        with np.errstate(all="ignore"):
            values = gguf.quants.dequantize(blocks, kind)
        tensors[f"{name}.blocks"] = blocks
        tensors[f"{name}.values"] = np.ascontiguousarray(values, dtype=np.float32).reshape(len(blocks), block)
    save_file(tensors, out / "formats.safetensors")


def permute(weights, heads):
    """As convert_hf_to_gguf.py does for queries and keys of the architecture llama."""
    shape = weights.shape
    return weights.reshape(heads, 2, shape[0] // heads // 2, *shape[1:]).swapaxes(1, 2).reshape(shape)


def add_byte_level_tokenizer(writer, folder):
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    pieces = sorted(vocabulary, key=vocabulary.get)
    special = {token["content"] for token in tokenizer["added_tokens"] if token["special"]}
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(pieces)
    writer.add_token_types([CONTROL if piece in special else NORMAL for piece in pieces])
    writer.add_token_merges(merges)


def rope_factors(theta, head_dim, factor, low, high, original):
    lengths = [2 * np.pi * theta ** (2 * i / head_dim) for i in range(head_dim // 2)]
    smooth = [min(max((original / length - low) / (high - low), 0), 1) for length in lengths]
    return np.array([1 / ((1 - s) / factor + s) for s in smooth], dtype=np.float32)


def add_decoder(writer, config):
    """The keys of architectures under Llama's names."""
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    rope = config["rope_parameters"]
    if config["model_type"] == "gemma3_text":
        writer.add_rope_freq_base_swa(rope["sliding_attention"]["rope_theta"])
        writer.add_sliding_window(config["sliding_window"])
        writer.add_sliding_window_pattern(2)
        rope = rope["full_attention"]
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_rope_dimension_count(int(head_dim * rope.get("partial_rotary_factor", 1)))
    if "head_dim" in config:
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    if rope["rope_type"] == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    if "rms_norm_eps" in config:
        writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    for field in ("layer_norm_eps", "norm_epsilon"):
        if field in config:
            writer.add_layer_norm_eps(config[field])
    if config["model_type"] == "stablelm":
        writer.add_parallel_residual(config["use_parallel_residual"])
    if config["model_type"] == "phi3" and config.get("sliding_window"):
        writer.add_sliding_window(config["sliding_window"])
        writer.add_rope_scaling_orig_ctx_len(config["original_max_position_embeddings"])


def add_gpt2(writer, config):
    writer.add_context_length(config["n_positions"])
    writer.add_embedding_length(config["n_embd"])
    writer.add_block_count(config["n_layer"])
    writer.add_head_count(config["n_head"])
    writer.add_feed_forward_length(config["n_inner"])
    writer.add_layer_norm_eps(config["layer_norm_epsilon"])


def write(path, config, tensors, add_tokenizer, quantise=lambda name, value: Type.F32):
    model_type = config["model_type"].removesuffix("_text")
    writer = gguf.GGUFWriter(path, model_type)
    writer.add_name("tiny " + model_type)
    (add_gpt2 if model_type == "gpt2" else add_decoder)(writer, config)
    writer.add_vocab_size(config["vocab_size"])
    for role, add in (
        ("bos_token_id", writer.add_bos_token_id),
        ("eos_token_id", writer.add_eos_token_id),
        ("pad_token_id", writer.add_pad_token_id),
    ):
        if config.get(role) is not None:
            add(config[role])
    add_tokenizer(writer)
    layers = config.get("num_hidden_layers") or config["n_layer"]
    arch = next(key for key, value in gguf.MODEL_ARCH_NAMES.items() if value == model_type)
    names = gguf.get_tensor_name_map(arch, layers)
    rope = config.get("rope_parameters", {})
    if rope.get("rope_type") == "llama3":
        numbers = [rope[k] for k in ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")]
        writer.add_tensor("rope_freqs.weight", rope_factors(rope["rope_theta"], config["head_dim"], *numbers))
    for name, value in tensors.items():
        gguf_name = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert gguf_name, name
        if model_type == "gpt2" and any(
            part in name for part in ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")
        ):
            value = np.ascontiguousarray(value.T)
        if model_type == "llama" and ".q_proj." in name:
            value = permute(value, config["num_attention_heads"])
        if model_type == "llama" and ".k_proj." in name:
            value = permute(value, config["num_key_value_heads"])
        if model_type == "gemma3" and name.endswith("norm.weight"):
            value = value + np.float32(1)
        kind = quantise(name, value)
        data = gguf.quants.quantize(np.ascontiguousarray(value, dtype=np.float32), kind)
        writer.add_tensor(gguf_name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def expressible(config):
    """The configuration without what GGUF's metadata cannot say."""
    config = dict(config)
    rope = dict(config.get("rope_parameters", {}))
    if config["model_type"] == "llama":
        rope |= {"original_max_position_embeddings": 8192, "rope_theta": 5e8}
    if rope.get("rope_type") == "dynamic" or (rope.get("rope_type") == "yarn" and "beta_fast" in rope):
        rope = {k: rope[k] for k in ("rope_theta", "partial_rotary_factor") if k in rope} | {"rope_type": "default"}
    if rope:
        config["rope_parameters"] = rope
    if config["model_type"] == "gemma3_text":
        config["query_pre_attn_scalar"] = config["head_dim"]
    elif config["model_type"] != "phi3":
        for field in ("sliding_window", "layer_types", "max_window_layers", "use_sliding_window"):
            config.pop(field, None)
    if config["model_type"] == "starcoder2":
        config["sliding_window"] = None
    return config


def make_architecture(name, folder, byte_level, out, check):
    config = expressible(json.loads((folder / "config.json").read_text()))
    tensors = load_file(folder / "model.safetensors")
    path = out / f"{name}.gguf"
    write(path, config, tensors, lambda w: add_byte_level_tokenizer(w, byte_level) if name == "llama3" else None)
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch) / name
        model.mkdir()
        shutil.copy(folder / "model.safetensors", model)
        (model / "config.json").write_text(json.dumps(config))
        if check:
            compare(path, model)
        with double_precision():
            loaded = load_double(model)
            batch = json.loads((folder / "golden.json").read_text())
            with torch.no_grad():
                logits = [loaded(input_ids=torch.tensor([ids])).logits[0] for ids in batch["input_ids"]]
    save_file(
        {f"logits.{i}": value.to(FLOAT32).numpy() for i, value in enumerate(logits)}, out / f"{name}.logits.safetensors"
    )
    (out / f"{name}.json").write_text(json.dumps({"config": config, "input_ids": batch["input_ids"]}) + "\n")


def compare(path, folder):
    """transformers' own reading of the GGUF file has the folder's weights. It is given the configuration: of metadata
    it takes neither biases nor Qwen3's size of heads."""
    config = AutoConfig.from_pretrained(folder)
    ours = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, config=config, dtype=torch.float32
    ).state_dict()
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).state_dict()
    assert ours.keys() == theirs.keys(), ours.keys() ^ theirs.keys()
    for name in theirs:
        if not torch.equal(ours[name], theirs[name]):
            print(f"{path.name}: {name} differs by {(ours[name] - theirs[name]).abs().max()}")
    print(f"{path.name}: transformers has read {len(theirs)} tensors")


def make_stories(folder, out, check):
    """stories260K in 8 bits, with its SentencePiece tokenizer, and transformers' logits of the file."""
    config = json.loads((folder / "config.json").read_text())
    config["rope_parameters"] = {"rope_theta": config["rope_theta"], "rope_type": "default"}
    vocabulary = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    pieces = sorted(vocabulary["vocab"], key=vocabulary["vocab"].get)
    # The scores of SentencePiece's BPE: the earlier a piece was learnt, the higher.
    learnt = []
    for left, right in vocabulary["merges"]:
        if left + right not in learnt:
            learnt.append(left + right)
    scores = [-float(learnt.index(piece)) if piece in learnt else -1e4 for piece in pieces]
    types = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [NORMAL] * (len(pieces) - 259)

    def add_tokenizer(writer):
        writer.add_tokenizer_model("llama")
        writer.add_token_list(pieces)
        writer.add_token_scores(scores)
        writer.add_token_types(types)
        writer.add_unk_token_id(0)
        writer.add_chat_template("{% for m in messages %}{{ m.content }}{% endfor %}")

    def quantise(name, value):
        if value.ndim == 1:
            return Type.F32
        return Type.F16 if value.shape[1] % 32 else Type.Q8_0

    path = out / "stories260k.gguf"
    write(path, config, load_file(folder / "model.safetensors"), add_tokenizer, quantise)
    model = AutoModelForCausalLM.from_pretrained(out, gguf_file=path.name, dtype=torch.float32, attn_implementation="eager")
    ids = [1, 403, 407, 261, 378, 432, 429]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0]
    save_file({"logits.0": logits.numpy()}, out / "stories260k.logits.safetensors")
    (out / "stories260k.json").write_text(json.dumps({"config": config, "input_ids": [ids]}) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("architectures", type=Path)
    parser.add_argument("byte_level", type=Path)
    parser.add_argument("stories260k", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    args.out.mkdir(exist_ok=True)
    make_formats(args.out)
    for name in ("llama3", "qwen2", "qwen3", "gpt2", "gemma3", "phi3", "stablelm", "starcoder2"):
        make_architecture(name, args.architectures / name, args.byte_level, args.out, args.check)
    make_stories(args.stories260k, args.out, args.check)


if __name__ == "__main__":
    main()
