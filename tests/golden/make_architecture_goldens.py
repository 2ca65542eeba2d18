#!/usr/bin/env python3
"""Makes a tiny random model of each decoder-only architecture and what transformers computes with it: loss, logits,
gradients, weights after ten steps of AdamW, greedy tokens; and rotary frequencies of every kind of scaling.

    python3 make_architecture_goldens.py architectures

The weights are float32; everything computed from them is computed in float64. See README.md for the files.
"""

import argparse
import json
import random
import sys
import zlib
from pathlib import Path

import torch
from make_model_goldens import (
    ADAMW,
    FLOAT32,
    FLOAT64,
    STEPS,
    NoFloat32,
    check_against_padded,
    double_precision,
    forward,
    randomise,
    trained,
)
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts" / "check_against_transformers"))
import architectures  # noqa: E402

LENGTHS = [7, 12, 5]
PROMPT_LENGTHS = [2, 5, 0]  # leading positions without a label
NEW_TOKENS = 8
# What a golden model must have, where not every random one does.
WANTED = {
    "llama3": lambda c: c.rope_parameters["rope_type"] == "llama3" and c.attention_bias,
    "qwen2": lambda c: c.use_sliding_window,
    "mistral": lambda c: c.sliding_window,
    "ministral": lambda c: len(set(c.layer_types)) == 2,
    "starcoder2": lambda c: c.sliding_window,
    "gpt_neo": lambda c: len(set(c.attention_layers)) == 2,
    "smollm3": lambda c: "sliding_attention" in c.layer_types,
    "olmo3": lambda c: len(set(c.layer_types)) == 2 and c.rope_parameters["full_attention"]["rope_type"] == "yarn",
    "gemma3": lambda c: len(set(c.layer_types)) == 2 and c.rope_parameters["full_attention"]["rope_type"] == "linear",
    "gemma2": lambda c: len(set(c.layer_types)) == 2 and c.attn_logit_softcapping and c.final_logit_softcapping,
    "vaultgemma": lambda c: c.attn_logit_softcapping and c.final_logit_softcapping,
    "qwen2_moe": lambda c: c.num_experts == 16 and c.use_sliding_window and c.num_experts_per_tok == 1 and c.decoder_sparse_step == 2,
    "qwen3_moe": lambda c: c.num_experts == 4 and c.decoder_sparse_step == 2 and c.num_experts_per_tok > 1,
    "gpt_oss": lambda c: len(set(c.layer_types)) == 2 and c.attention_bias and c.num_key_value_heads < c.num_attention_heads and c.num_local_experts == 16 and c.num_experts_per_tok == 2 and c.swiglu_limit < 1 and c.rope_parameters["rope_type"] == "yarn" and not c.rope_parameters.get("truncate", True),
    "gemma3_images": lambda c: len(set(c.text_config.layer_types)) == 2 and c.text_config.rope_parameters["full_attention"]["rope_type"] == "linear",
    "mistral3": lambda c: c.text_config.sliding_window and not c.tie_word_embeddings,
    "qwen2_5_vl": lambda c: c.text_config.use_sliding_window and c.tie_word_embeddings,
    "cwm": lambda c: len(set(c.layer_types)) == 2,
    "cohere2": lambda c: len(set(c.layer_types)) == 2,
    "exaone4": lambda c: len(set(c.layer_types)) == 2,
    "stablelm": lambda c: c.rope_parameters["partial_rotary_factor"] < 1,
    "phi": lambda c: c.rope_parameters["partial_rotary_factor"] < 1,
    "phi3": lambda c: c.rope_parameters["partial_rotary_factor"] < 1 and c.sliding_window,
    "phi3_longrope": lambda c: c.rope_parameters["partial_rotary_factor"] == 1 and not c.sliding_window,
    "glm": lambda c: c.rope_parameters["partial_rotary_factor"] < 1,
    "glm4": lambda c: c.rope_parameters["partial_rotary_factor"] < 1,
    "gpt_neox": lambda c: (
        c.rope_parameters["partial_rotary_factor"] < 1 and c.use_parallel_residual and c.attention_bias
    ),
    "gpt_bigcode": lambda c: c.multi_query,
    "hyperclovax": lambda c: c.use_post_norm,
    "falcon": lambda c: c.new_decoder_architecture and c.num_kv_heads == 2,
}


def is_small(config):
    config = config.get_text_config()
    return config.hidden_size <= 16 and config.num_hidden_layers == (3 if config.model_type == "smollm3" else 2)


def build(name):
    for seed in range(10000):
        model = architectures.ARCHITECTURES[name](random.Random(f"{name} {seed}"))
        if is_small(model.config) and WANTED.get(name, lambda config: True)(model.config):
            return model.eval()
    sys.exit(f"{name}: no such model")


def auto_of(folder):
    config = AutoConfig.from_pretrained(folder)
    return AutoModelForImageTextToText if hasattr(config, "vision_config") else AutoModelForCausalLM


def load_double(folder):
    """To be called under double_precision(), so that rotary tables are made in float64 too."""
    torch.float32 = torch.float = FLOAT32  # the safetensors reader looks its types up
    auto = auto_of(folder)
    loaded, loading = auto.from_pretrained(
        folder, dtype=FLOAT64, attn_implementation="eager", experts_implementation="eager", output_loading_info=True
    )
    torch.float32 = torch.float = FLOAT64
    assert not any(loading.values()), loading
    model = auto.from_config(
        loaded.config, attn_implementation="eager", experts_implementation="eager"
    ).to(FLOAT64)
    model.load_state_dict(loaded.state_dict())
    return model.eval()


def is_of_text(parameter):
    return not any(part in parameter for part in ("vision_tower.", "multi_modal_projector.", "visual."))


def make_batch(generator):
    ids = [torch.randint(3, architectures.VOCABULARY, (length,), generator=generator).tolist() for length in LENGTHS]
    for row in ids:
        row[1] = row[3] = 7  # the padding token of some
    labels = [[-100] * prompt + row[prompt:] for row, prompt in zip(ids, PROMPT_LENGTHS)]
    labels[1][8] = -100
    return {"input_ids": ids, "labels": labels}


def named_as_in_files(tensors, names):
    """transformers holds the experts of a layer in two tensors, of gate and up and of down; files have them one by
    one."""
    mixtral = any(".block_sparse_moe." in name for name in names)
    if any(name.endswith(".experts.gate_up_proj") for name in names):  # gpt-oss' files have them so, too
        return tensors
    gate, up, down = ("w1", "w3", "w2") if mixtral else ("gate_proj", "up_proj", "down_proj")
    named = {}
    for key, value in tensors.items():
        if mixtral:
            key = key.replace(".mlp.", ".block_sparse_moe.")
        if not key.endswith((".experts.gate_up_proj", ".experts.down_proj")):
            named[key] = value
            continue
        prefix, kind = key.rsplit(".", 1)
        for expert, weight in enumerate(value.unbind(0)):
            parts = dict(zip((gate, up), weight.chunk(2, 0))) if kind == "gate_up_proj" else {down: weight}
            named |= {f"{prefix}.{expert}.{part}.weight": piece for part, piece in parts.items()}
    return named


def greedy(model, prompt):
    """Tokens, and the least lead of the best logit over the second."""
    ids, margin = list(prompt), float("inf")
    with torch.no_grad():
        for _ in range(NEW_TOKENS):
            best = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].topk(2)
            margin = min(margin, (best.values[0] - best.values[1]).item())
            ids.append(best.indices[0].item())
    return ids[len(prompt) :], margin


def make(name, folder):
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    model = build(name)
    randomise(model, generator)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    config = json.loads((folder / "config.json").read_text())
    config.pop("transformers_version", None)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    with double_precision():
        model = load_double(folder)
        batch = make_batch(generator)
        with NoFloat32():
            loss, count, logits = forward(model, batch)
            if name != "phi3_longrope":  # there, padding counts for a sequence's length
                check_against_padded(model, batch, loss)
            loss.backward()
            tensors = {f"logits.{i}": value for i, value in enumerate(logits)}
            tensors |= {f"grad.{key}": value.grad for key, value in model.named_parameters() if is_of_text(key)}
            ids, margin = greedy(model, batch["input_ids"][0][:4])
            model.zero_grad()
            after, losses = trained(model, torch.optim.AdamW, ADAMW, batch)
            tensors |= {f"adamw10.{key}": value for key, value in after.named_parameters() if is_of_text(key)}
    golden = {
        **batch,
        "loss": loss.item(),
        "labelled_tokens": count,
        "optimizers": {"adamw10": {"steps": STEPS, "type": "AdamW", **ADAMW, "losses": losses}},
        "generated": ids,
        "smallest_margin": margin,
    }
    (folder / "golden.json").write_text(json.dumps(golden) + "\n")
    with safe_open(folder / "model.safetensors", "pt") as file:
        if "embed_out.weight" in file.keys():  # GPT-NeoX's head has another name in files
            tensors = {key.replace("lm_head.", "embed_out."): value for key, value in tensors.items()}
        tensors = named_as_in_files(tensors, file.keys())
    save_file(
        {key: value.detach().to(FLOAT32).contiguous() for key, value in tensors.items()}, folder / "golden.safetensors"
    )
    print(f"{name}: loss {loss.item():.17g}, adamw10 to {losses[-1]:.6f}, greedy tokens lead by {margin:.3g}")


def make_rotary_frequencies(out):
    """Of a head of 16 columns in a model of 64 positions."""
    base = {"rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 32}
    llama3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
    other = {"rope_theta": 50.0, "factor": 8.0, "low_freq_factor": 0.5, "high_freq_factor": 2.5}
    kinds = [
        {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0},
        base | {"rope_type": "llama3"} | llama3,
        base | {"rope_type": "llama3"} | other,
        base | {"rope_type": "yarn"},
        base | {"rope_type": "yarn", "truncate": False},
        base | {"rope_type": "yarn", "beta_fast": 8.0, "beta_slow": 2.0, "rope_theta": 500.0},
        base | {"rope_type": "yarn", "mscale": 1.2, "mscale_all_dim": 0.7},
        base | {"rope_type": "yarn", "attention_factor": 1.3},
    ]
    factors = {"short_factor": [1 + i / 8 for i in range(8)], "long_factor": [1.25 * 1.5**i for i in range(8)]}
    longrope = {"rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 32} | factors
    kinds += [longrope, longrope | {"factor": 5.0}, longrope | {"attention_factor": 1.3}]
    with double_precision():
        golden = []
        for parameters in kinds:
            for tokens in (32, 33) if "long_factor" in parameters else (None,):
                config = LlamaConfig(head_dim=16, max_position_embeddings=64, rope_parameters=dict(parameters))
                frequencies, amplitude = ROPE_INIT_FUNCTIONS[parameters["rope_type"]](config, "cpu", tokens)
                line = {"parameters": parameters, "frequencies": frequencies.tolist(), "amplitude": amplitude}
                golden.append(line | ({"tokens": tokens} if tokens else {}))
    out.write_text("[\n" + ",\n".join(json.dumps(line) for line in golden) + "\n]\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="*", choices=list(architectures.ARCHITECTURES), help="these architectures")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name in args.only or architectures.ARCHITECTURES:
        make(name, args.out / name)
    make_rotary_frequencies(args.out / "rotary_frequencies.json")


if __name__ == "__main__":
    main()
