"""Random folders of every architecture that the program knows, in the forms that such folders have."""

import json
import random
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

VOCABULARY = 80


def llama(rng, **changes):
    heads = rng.choice([2, 4])
    width = heads * rng.choice([4, 8])
    config = dict(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=rng.choice([20, 32, 48]),
        num_hidden_layers=rng.choice([1, 2, 3]),
        num_attention_heads=heads,
        num_key_value_heads=rng.choice([heads, heads // 2]),
        max_position_embeddings=64,
        rms_norm_eps=rng.choice([1e-6, 1e-5]),
        rope_theta=rng.choice([10000.0, 500.0, 1e6]),
        tie_word_embeddings=rng.random() < 0.5,
        pad_token_id=rng.choice([None, 7, 0, -3]),
    )
    return LlamaForCausalLM(LlamaConfig(**config | changes))


def opt(rng, **changes):
    heads = rng.choice([2, 4])
    width = heads * 8
    config = dict(
        vocab_size=VOCABULARY,
        hidden_size=width,
        word_embed_proj_dim=width,
        ffn_dim=rng.choice([24, 40]),
        num_hidden_layers=rng.choice([1, 2]),
        num_attention_heads=heads,
        max_position_embeddings=64,
        activation_function=rng.choice(["relu", "gelu"]),
        enable_bias=rng.random() < 0.8,
        pad_token_id=rng.choice([1, 7, None]),
    )
    return OPTForCausalLM(OPTConfig(**config | changes))


def bloom(rng, **changes):
    heads = rng.choice([2, 3, 4])
    config = dict(
        vocab_size=VOCABULARY,
        hidden_size=heads * 8,
        n_layer=rng.choice([1, 2]),
        n_head=heads,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        pad_token_id=rng.choice([3, None]),
        apply_residual_connection_post_layernorm=rng.random() < 0.5,
        tie_word_embeddings=rng.random() < 0.5,
    )
    return BloomForCausalLM(BloomConfig(**config | changes))


def t5(rng, **changes):
    config = dict(
        vocab_size=VOCABULARY,
        d_model=16,
        d_kv=rng.choice([6, 8]),
        d_ff=24,
        num_layers=rng.choice([1, 2]),
        num_decoder_layers=rng.choice([2, 4]),
        num_heads=rng.choice([2, 3]),
        relative_attention_num_buckets=rng.choice([8, 32]),
        relative_attention_max_distance=rng.choice([20, 128]),
        dropout_rate=0.0,
        feed_forward_proj=rng.choice(["relu", "gated-gelu", "gated-silu"]),
        decoder_start_token_id=0,
    )
    return T5ForConditionalGeneration(T5Config(**config | changes))


def own_head(model):
    """A head of its own in a model whose configuration ties it."""
    head = model.get_output_embeddings()
    head.weight = torch.nn.Parameter(torch.randn_like(head.weight) * 0.15)
    return model


def save(model, folder, **options):
    model.save_pretrained(folder, **options)


def save_under_the_head_name(model, folder):
    """As safetensors' save_model does: of a tied pair the alphabetically first name is kept."""
    save(model, folder)
    tensors = load_file(folder / "model.safetensors")
    names = model.all_tied_weights_keys
    kept = next(iter(names.values()))
    tensors[min(kept, *names)] = tensors.pop(kept)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def save_as(dtype, config_dtype):
    """Weights of one type, and what config.json says: a type, or nothing."""

    def write(model, folder):
        save(model.to(dtype), folder)
        config = json.loads((folder / "config.json").read_text())
        config.pop("dtype")
        if config_dtype:
            config["torch_dtype"] = config_dtype
        (folder / "config.json").write_text(json.dumps(config))

    return write


def save_in_shards(model, folder):
    save(model, folder, max_shard_size="6KB")


def flatten_rotary(config):
    """rope_parameters as transformers 4 has them: rope_theta, rope_scaling, and names of their own."""
    parameters = config.pop("rope_parameters")
    if "full_attention" in parameters:  # one for each type of layer
        local = {"gemma3_text": "rope_local_base_freq"}.get(config["model_type"])
        sliding = parameters["sliding_attention"]["rope_theta"]
        if not local and sliding != 500000.0:  # OLMo 3's sliding layers have transformers' default
            config["rope_parameters"] = parameters
            return
        if local:
            config[local] = sliding
        parameters = parameters["full_attention"]
    neox = config["model_type"] == "gpt_neox"
    config["rotary_emb_base" if neox else "rope_theta"] = parameters.pop("rope_theta")
    if "partial_rotary_factor" in parameters:
        config["rotary_pct" if neox else "partial_rotary_factor"] = parameters.pop("partial_rotary_factor")
    config["rope_scaling"] = parameters if parameters.get("rope_type", "default") != "default" else None


def flatten_text_config(config):
    """Qwen2-VL and 2.5 had the fields of its text part among its own."""
    text = config["text_config"]
    sections = text["rope_parameters"].pop("mrope_section", None)
    flatten_rotary(text)
    if sections:
        newer = {"mrope_interleaved": True, "rope_type": "default"}
        kind = newer if config["model_type"] == "qwen3_vl" else {"type": "mrope"}
        text["rope_scaling"] = kind | {"mrope_section": sections}
    if config["model_type"] in ("qwen2_vl", "qwen2_5_vl"):
        config |= {key: value for key, value in config.pop("text_config").items() if key not in config}


def named_with_language_model(name):
    """As transformers from 4.52 on has such tensors in memory; Qwen3-VL's files have these names."""
    if name.startswith(("model.language_model.", "model.visual.")):
        return name
    for old in ("language_model.model.", "model."):
        if name.startswith(old):
            return "model.language_model." + name.removeprefix(old)
    return "lm_head.weight" if name.endswith("lm_head.weight") else f"model.{name}"


def save_old(model, folder):
    """With the fields and buffers that files from transformers 4 have."""
    save(model, folder)
    config = json.loads((folder / "config.json").read_text())
    config["torch_dtype"] = config.pop("dtype")
    tensors = load_file(folder / "model.safetensors")
    if "rope_parameters" in config:
        flatten_rotary(config)
    if "vision_config" in config:
        flatten_text_config(config)
        tensors = {named_with_language_model(name): value for name, value in tensors.items()}
    if config["model_type"] == "llama":
        tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.rand(4)
    if "scale_decoder_outputs" in config:
        config["tie_word_embeddings"] = config.pop("scale_decoder_outputs")
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


# Name: how the model is made, how it is saved.
FORMS = {
    "llama": (llama, save),
    "llama-old": (llama, save_old),
    "llama-biases": (lambda rng: llama(rng, attention_bias=True, mlp_bias=True, head_dim=6), save),
    "llama-pad": (lambda rng: llama(rng, pad_token_id=7), save),
    "llama-own-head": (lambda rng: own_head(llama(rng, tie_word_embeddings=True)), save),
    "llama-head-name": (lambda rng: llama(rng, tie_word_embeddings=True), save_under_the_head_name),
    "llama-bfloat16": (llama, save_as(torch.bfloat16, "bfloat16")),
    "llama-rounded": (llama, save_as(torch.float32, "bfloat16")),
    "llama-no-dtype": (llama, save_as(torch.bfloat16, None)),
    "llama-shards": (llama, save_in_shards),
    "opt": (lambda rng: opt(rng, do_layer_norm_before=True), save),
    "opt-post": (lambda rng: opt(rng, do_layer_norm_before=False, word_embed_proj_dim=12), save_old),
    "opt-untied": (lambda rng: opt(rng, tie_word_embeddings=False), save),
    "opt-pad": (lambda rng: opt(rng, pad_token_id=7), save),
    "opt-head-name": (opt, save_under_the_head_name),
    "opt-float16": (opt, save_as(torch.float16, "float16")),
    "bloom": (bloom, save),
    "bloom-own-head": (lambda rng: own_head(bloom(rng, tie_word_embeddings=True)), save),
    "bloom-head-name": (lambda rng: bloom(rng, tie_word_embeddings=True), save_under_the_head_name),
    "t5": (t5, save),
    "t5-old": (t5, save_old),
    "t5-unscaled": (lambda rng: t5(rng, tie_word_embeddings=False), save),
    "t5-own-head": (lambda rng: own_head(t5(rng, tie_word_embeddings=False)), save_old),
    "t5-head-name": (t5, save_under_the_head_name),
}


def randomise(model):
    """Weights far from the usual initialisation, so that every gradient has a size worth comparing."""
    for name, parameter in model.named_parameters():
        values = torch.randn(parameter.shape)
        if ("norm" in name or "ln_f" in name) and name.endswith("weight"):
            values = 1 + 0.1 * values
        elif "relative_attention_bias" not in name:
            values = values * (0.05 if name.endswith("bias") else 0.15)
        parameter.data.copy_(values)
    return model


def make(name, folder: Path, rng: random.Random):
    make_with(*FORMS[name], folder, rng)


def make_with(build, write, folder: Path, rng: random.Random):
    torch.manual_seed(rng.randrange(1 << 30))
    folder.mkdir(parents=True)
    write(randomise(build(rng)).eval(), folder)


def rows(encoder_decoder, rng: random.Random):
    """Ids and labels, with holes among the labels. The token that may be the padding occurs often."""

    def ids():
        return [rng.choice([rng.randrange(VOCABULARY), 7]) for _ in range(rng.randint(3, 20))]

    made = []
    for _ in range(5):
        inputs = ids()
        labels = ids() if encoder_decoder else list(inputs)
        holes = [rng.randrange(len(labels)) for _ in range(len(labels) // 4)]
        for i in holes:
            labels[i] = -100
        if all(label == -100 for label in labels[1:]):
            labels[-1] = 5
        made.append({"input_ids": inputs, "labels": labels})
    return made
