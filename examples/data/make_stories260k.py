#!/usr/bin/env python3
"""Converts llama2.c's stories260K (a legacy v0 checkpoint and its tokenizer) to a Hugging Face Llama folder.

    python3 make_stories260k.py --checkpoint stories260K.bin --tokenizer tok512.bin --out stories260k

Needs numpy and safetensors. Writes config.json, generation_config.json, model.safetensors (float32), tokenizer.json,
tokenizer_config.json and special_tokens_map.json.
"""

import argparse
import json
import struct
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

SPACE = "\u2581"  # SentencePiece's visible space
UNK, BOS, EOS = 0, 1, 2
FIRST_BYTE = 3


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def rope_halves(weight, heads):
    """Reorders the rows of a query or key projection: llama2.c rotates rows (2i, 2i+1) of a head, transformers (i, i + head_dim/2)."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).transpose(0, 2, 1, 3).reshape(rows, columns)


def read_checkpoint(path):
    raw = path.read_bytes()
    dim, ffn, layers, heads, kv_heads, vocab, context = struct.unpack("<7i", raw[:28])
    if vocab < 0:
        raise SystemExit(f"{path}: untied classifier (vocab {vocab}); only the tied form is converted")
    floats = np.frombuffer(raw, "<f4", offset=28)
    kv_dim = dim // heads * kv_heads
    position = 0

    def take(*shape):
        nonlocal position
        count = int(np.prod(shape))
        values = floats[position : position + count].reshape(shape)
        position += count
        return values

    embedding = take(vocab, dim)
    attention_norm = take(layers, dim)
    wq, wk, wv, wo = (
        take(layers, dim, dim),
        take(layers, kv_dim, dim),
        take(layers, kv_dim, dim),
        take(layers, dim, dim),
    )
    ffn_norm = take(layers, dim)
    w1, w2, w3 = take(layers, ffn, dim), take(layers, dim, ffn), take(layers, ffn, dim)
    final_norm = take(dim)
    rope_tables = context * dim // heads
    if position + rope_tables != floats.size:
        raise SystemExit(f"{path}: expected {position + rope_tables} floats, got {floats.size}")

    tensors = {"model.embed_tokens.weight": embedding, "model.norm.weight": final_norm}
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        tensors |= {
            prefix + "input_layernorm.weight": attention_norm[layer],
            prefix + "self_attn.q_proj.weight": rope_halves(wq[layer], heads),
            prefix + "self_attn.k_proj.weight": rope_halves(wk[layer], kv_heads),
            prefix + "self_attn.v_proj.weight": wv[layer],
            prefix + "self_attn.o_proj.weight": wo[layer],
            prefix + "post_attention_layernorm.weight": ffn_norm[layer],
            prefix + "mlp.gate_proj.weight": w1[layer],
            prefix + "mlp.down_proj.weight": w2[layer],
            prefix + "mlp.up_proj.weight": w3[layer],
        }
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "hidden_act": "silu",
        "hidden_size": dim,
        "initializer_range": 0.02,
        "intermediate_size": ffn,
        "max_position_embeddings": context,
        "mlp_bias": False,
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "num_key_value_heads": kv_heads,
        "rms_norm_eps": 1e-05,
        "rope_scaling": None,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
        "use_cache": True,
        "vocab_size": vocab,
    }
    return config, {name: np.ascontiguousarray(value) for name, value in tensors.items()}


def read_pieces(path, vocab):
    raw = path.read_bytes()
    position, pieces = 4, []
    for _ in range(vocab):
        score, length = struct.unpack_from("<fi", raw, position)
        text = raw[position + 8 : position + 8 + length].decode("utf-8")
        position += 8 + length
        pieces.append((text.replace(" ", SPACE), score))
    if position != len(raw):
        raise SystemExit(f"{path}: {len(raw) - position} bytes follow the {vocab} pieces")
    # llama2.c decorates these two for its own printing.
    pieces[BOS], pieces[EOS] = ("<s>", 0.0), ("</s>", 0.0)
    if len({text for text, _ in pieces}) != vocab:
        raise SystemExit(f"{path}: two pieces with the same text")
    return pieces


def merges_by_score(pieces):
    """All ways to join two pieces to a third, ordered by the third's score: the same choices as SentencePiece's BPE, which always
    joins the neighbours whose joined piece scores highest."""
    ids = {text: index for index, (text, _) in enumerate(pieces)}
    ordered = []
    for text, score in pieces[FIRST_BYTE + 256 :]:
        for cut in range(1, len(text)):
            left, right = text[:cut], text[cut:]
            if left in ids and right in ids:
                ordered.append((-score, ids[left], ids[right], [left, right]))
    return [pair for *_, pair in sorted(ordered)]


def tokenizer(pieces):
    special = [
        {
            "id": index,
            "content": pieces[index][0],
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for index in (UNK, BOS, EOS)
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": SPACE},
                {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [
                {"SpecialToken": {"id": "<s>", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "<s>", "type_id": 1}},
                {"Sequence": {"id": "B", "type_id": 1}},
            ],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [BOS], "tokens": ["<s>"]}},
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": {text: index for index, (text, _) in enumerate(pieces)},
            "merges": merges_by_score(pieces),
        },
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    config, tensors = read_checkpoint(args.checkpoint)
    pieces = read_pieces(args.tokenizer, config["vocab_size"])

    args.out.mkdir(parents=True, exist_ok=True)
    save_file(tensors, args.out / "model.safetensors", metadata={"format": "pt"})
    write_json(args.out / "config.json", config)
    write_json(args.out / "generation_config.json", {"bos_token_id": BOS, "eos_token_id": EOS})
    write_json(args.out / "tokenizer.json", tokenizer(pieces))
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    write_json(args.out / "special_tokens_map.json", names)
    write_json(
        args.out / "tokenizer_config.json",
        {
            "add_bos_token": True,
            "add_eos_token": False,
            **names,
            "clean_up_tokenization_spaces": False,
            "model_max_length": config["max_position_embeddings"],
            # Reads tokenizer.json as it stands; LlamaTokenizer would rebuild its normaliser.
            "tokenizer_class": "PreTrainedTokenizerFast",
        },
    )
    print(f"{args.out}: {len(tensors)} tensors, {sum(t.size for t in tensors.values())} parameters")


if __name__ == "__main__":
    main()
