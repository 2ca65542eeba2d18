#!/usr/bin/env python3
"""Makes tiny random models and what transformers computes with them: losses, logits, gradients, weights after ten optimizer steps.

    python3 make_model_goldens.py models [--stories260k ../../examples/data/stories260k --stories260k-text stories260K.md]

The weights are float32; everything computed from them is computed in float64. See README.md for the files.
"""

import argparse
import contextlib
import copy
import json
import zlib
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    BloomConfig,
    BloomForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)
from transformers.models.bloom.modeling_bloom import _get_alibi_slopes
from transformers.models.t5.modeling_t5 import T5Attention

VOCAB = 96
BATCH_LENGTHS = [7, 12, 5]
PROMPT_LENGTHS = [2, 5, 0]  # leading positions without a label
SOURCE_LENGTHS = [9, 30, 4]  # of encoder-decoders: further apart than the nearest relative positions
PADDING_MET = 5  # a padding token that occurs in the texts: looking it up gives Llama's and OPT's table no gradient
STEPS = 10
SGD = {"lr": 0.05}
ADAMW = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01}
FLOAT32, FLOAT64 = torch.float32, torch.float64


class NoFloat32(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        assert not (isinstance(result, torch.Tensor) and result.dtype == FLOAT32), f"{function} computes in float32"
        return result


@contextlib.contextmanager
def double_precision():
    """transformers casts to float32 inside RMSNorm, RoPE, softmax and the loss, whatever the model's type. Here "float32" means float64
    for a while, and no operator may give a float32."""
    to_float = torch.Tensor.float
    torch.float32 = torch.float = FLOAT64
    torch.Tensor.float = torch.Tensor.double
    torch.set_default_dtype(FLOAT64)
    try:
        yield
    finally:
        torch.float32 = torch.float = FLOAT32
        torch.Tensor.float = to_float
        torch.set_default_dtype(FLOAT32)


def load_double(folder):
    """To be called under double_precision(), so that RoPE's table is made in float64 too."""
    torch.float32 = torch.float = FLOAT32  # the safetensors reader looks its types up
    auto = (
        AutoModelForSeq2SeqLM
        if json.loads((folder / "config.json").read_text()).get("is_encoder_decoder")
        else AutoModelForCausalLM
    )
    loaded, loading = auto.from_pretrained(folder, dtype=FLOAT64, attn_implementation="eager", output_loading_info=True)
    torch.float32 = torch.float = FLOAT64
    assert not any(loading.values()), loading
    if loaded.config.model_type != "llama":
        return loaded.eval()
    model = auto.from_config(loaded.config, attn_implementation="eager").to(FLOAT64)
    model.load_state_dict(loaded.state_dict())
    return model.eval()


def opt(**changes):
    options = dict(
        vocab_size=VOCAB,
        hidden_size=32,
        num_hidden_layers=2,
        ffn_dim=64,
        num_attention_heads=4,
        max_position_embeddings=64,
        word_embed_proj_dim=32,
        do_layer_norm_before=True,
        dropout=0.0,
        attention_dropout=0.0,
        layerdrop=0.0,
        activation_function="relu",
        pad_token_id=1,
        bos_token_id=2,
        eos_token_id=2,
    )
    return OPTForCausalLM(OPTConfig(**options | changes))


def llama(**changes):
    options = dict(
        vocab_size=VOCAB,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=64,
        rms_norm_eps=1e-5,
        attention_dropout=0.0,
        tie_word_embeddings=False,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=None,
    )
    return LlamaForCausalLM(LlamaConfig(**options | changes))


def bloom(**changes):
    options = dict(
        vocab_size=VOCAB,
        hidden_size=24,
        n_layer=2,
        n_head=3,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=None,
    )
    return BloomForCausalLM(BloomConfig(**options | changes))


def t5(**changes):
    options = dict(
        vocab_size=VOCAB,
        d_model=16,
        d_kv=6,
        d_ff=24,
        num_layers=2,
        num_decoder_layers=3,
        num_heads=3,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=20,
        dropout_rate=0.0,
        feed_forward_proj="relu",
        decoder_start_token_id=0,
    )
    model = T5ForConditionalGeneration(T5Config(**options | changes))
    if not model.config.scale_decoder_outputs:  # how transformers 5 remembers tie_word_embeddings=False
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    return model


MODELS = {
    "opt-pre": lambda: opt(),
    "opt-post": lambda: opt(do_layer_norm_before=False, word_embed_proj_dim=16),
    "llama-gqa-tied": lambda: llama(num_key_value_heads=2, tie_word_embeddings=True),
    "llama-mha-untied": lambda: llama(),
    "bloom": lambda: bloom(),
    "bloom-post": lambda: bloom(
        hidden_size=16, n_head=2, apply_residual_connection_post_layernorm=True, tie_word_embeddings=False
    ),
    "t5-tied-relu": lambda: t5(),
    "t5-untied-gated": lambda: t5(feed_forward_proj="gated-gelu", tie_word_embeddings=False),
    "llama-padding-tied": lambda: llama(
        num_hidden_layers=1, num_key_value_heads=2, tie_word_embeddings=True, pad_token_id=PADDING_MET
    ),
    "llama-padding-untied": lambda: llama(num_hidden_layers=1, pad_token_id=PADDING_MET - VOCAB),
    "opt-padding": lambda: opt(num_hidden_layers=1, pad_token_id=PADDING_MET),
    "t5-tied-gated": lambda: t5(
        feed_forward_proj="gated-gelu", d_kv=8, num_heads=2, num_decoder_layers=1, num_layers=1
    ),
}


def randomise(model, generator):
    """Weights far from the usual initialisation, so that every gradient has a size worth comparing."""
    for name, parameter in model.named_parameters():
        values = torch.randn(parameter.shape, generator=generator)
        if ("norm" in name or "ln_f" in name) and name.endswith("weight"):
            values = 1 + 0.1 * values
        elif "relative_attention_bias" in name:
            pass
        elif name.endswith("bias"):
            values = 0.05 * values
        else:
            values = 0.15 * values
        parameter.data.copy_(values)


def make_batch(model, generator):
    """Lists of token ids and labels, and for encoder-decoders of source ids; their labels are the target."""

    # None of the special ids, but for models whose padding token is one that texts have.
    def draw(lengths):
        return [torch.randint(3, VOCAB, (length,), generator=generator).tolist() for length in lengths]

    def with_padding(rows):
        if (model.config.pad_token_id or 0) % VOCAB == PADDING_MET:
            for row in rows:
                row[1] = row[3] = PADDING_MET
        return rows

    if model.config.is_encoder_decoder:
        batch = {
            "source_ids": draw(SOURCE_LENGTHS),
            "labels": [ids[:-1] + [model.config.eos_token_id] for ids in draw(BATCH_LENGTHS)],
        }
    else:
        ids = with_padding(draw(BATCH_LENGTHS))
        batch = {
            "input_ids": ids,
            "labels": [[-100] * prompt + row[prompt:] for row, prompt in zip(ids, PROMPT_LENGTHS)],
        }
    batch["labels"][1][8] = -100  # and a hole in the middle of one
    return batch


def forward(model, batch):
    """Each sequence on its own, thus without padding. The loss is the mean over all labelled tokens of the batch, as transformers compares them:
    the scores at position t with label t + 1, an encoder-decoder's, whose input is shifted, with label t."""
    total, count, logits = 0, 0, []
    for i, wanted in enumerate(batch["labels"]):
        if model.config.is_encoder_decoder:
            scores = model(input_ids=torch.tensor([batch["source_ids"][i]]), labels=torch.tensor([wanted])).logits[0]
            predictions, targets = scores, wanted
        else:
            scores = model(input_ids=torch.tensor([batch["input_ids"][i]])).logits[0]
            predictions, targets = scores[:-1], wanted[1:]
        logits.append(scores)
        total = total + torch.nn.functional.cross_entropy(
            predictions, torch.tensor(targets), ignore_index=-100, reduction="sum"
        )
        count += sum(label != -100 for label in targets)
    return total / count, count, logits


def check_against_padded(model, batch, loss):
    """transformers' own loss of the padded batch is the same number."""

    def padded(rows, filler):
        width = max(map(len, rows))
        return torch.tensor([row + [filler] * (width - len(row)) for row in rows])

    ids = batch["source_ids" if model.config.is_encoder_decoder else "input_ids"]
    mask = padded([[1] * len(row) for row in ids], 0)
    theirs = model(input_ids=padded(ids, 0), attention_mask=mask, labels=padded(batch["labels"], -100)).loss
    assert abs(theirs - loss).item() < 1e-12 * loss.item(), (theirs, loss)


def trained(model, optimizer_type, options, batch):
    model = copy.deepcopy(model)
    optimizer = optimizer_type(model.parameters(), foreach=False, **options)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss, _, _ = forward(model, batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    losses.append(forward(model, batch)[0].item())
    return model, losses


def make(name, folder):
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    model = MODELS[name]().eval()
    randomise(model, generator)
    model.save_pretrained(folder)
    # The names that published checkpoints use; transformers 5 writes others and reads both.
    config = json.loads((folder / "config.json").read_text())
    config.pop("transformers_version", None)
    config["torch_dtype"] = config.pop("dtype", "float32")
    if "rope_parameters" in config:
        config["rope_theta"] = config.pop("rope_parameters")["rope_theta"]
    if "scale_decoder_outputs" in config:
        config["tie_word_embeddings"] = config.pop("scale_decoder_outputs")
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (folder / "generation_config.json").unlink(missing_ok=True)

    with double_precision():
        model = load_double(folder)
        batch = make_batch(model, generator)
        with NoFloat32():
            tensors = compute(name, folder, model, batch)
    save_file(
        {key: value.detach().to(FLOAT32).contiguous() for key, value in tensors.items()}, folder / "golden.safetensors"
    )


def compute(name, folder, model, batch):
    loss, count, logits = forward(model, batch)
    check_against_padded(model, batch, loss)
    loss.backward()

    # named_parameters() gives a tied tensor once, under the name in the checkpoint.
    tensors = {f"logits.{i}": value for i, value in enumerate(logits)}
    tensors |= {f"grad.{key}": value.grad for key, value in model.named_parameters()}
    losses = {}
    for key, optimizer_type, options in (("sgd10", torch.optim.SGD, SGD), ("adamw10", torch.optim.AdamW, ADAMW)):
        model.zero_grad()
        after, losses[key] = trained(model, optimizer_type, options, batch)
        tensors |= {f"{key}.{parameter}": value for parameter, value in after.named_parameters()}
    golden = {
        **batch,
        "loss": loss.item(),
        "labelled_tokens": count,
        "optimizers": {
            "sgd10": {"steps": STEPS, "type": "SGD", **SGD, "losses": losses["sgd10"]},
            "adamw10": {"steps": STEPS, "type": "AdamW", **ADAMW, "losses": losses["adamw10"]},
        },
    }
    (folder / "golden.json").write_text(json.dumps(golden) + "\n")
    sizes = {
        key.removeprefix("grad."): value.norm().item() for key, value in tensors.items() if key.startswith("grad.")
    }
    small = {key: size for key, size in sizes.items() if size < 1e-3}
    print(
        f"{name}: loss {loss.item():.17g}, {count} labels, smallest gradient norms {small}, "
        f"sgd10 to {losses['sgd10'][-1]:.6f}, adamw10 to {losses['adamw10'][-1]:.6f}"
    )
    return tensors


def make_position_biases(out):
    """ALiBi's slopes for numbers of heads, and T5's buckets for distances from -400 to 400 (key ahead of the query: positive)."""
    distances = torch.arange(-400, 401)
    buckets = [
        {
            "buckets": buckets,
            "max_distance": farthest,
            "bidirectional": both,
            "of_distance": T5Attention._relative_position_bucket(distances, both, buckets, farthest).tolist(),
        }
        for buckets, farthest in ((32, 128), (8, 20), (20, 300))
        for both in (True, False)
    ]
    slopes = {
        heads: [float(f"{slope:.9g}") for slope in _get_alibi_slopes(heads, "cpu").tolist()]
        for heads in (1, 2, 3, 4, 12, 16, 32, 112)
    }
    out.write_text(json.dumps({"alibi_slopes": slopes, "relative_buckets": buckets}) + "\n")


def make_stories260k(model_folder, text_file, out):
    """The greedy text that llama2.c publishes, and transformers' token ids for it; fails if they differ."""
    published = text_file.read_text(encoding="utf-8").split("-t 0.0\n")[1].split("\n```")[0]
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    ids, margin = [tokenizer.bos_token_id], float("inf")
    with double_precision(), torch.no_grad():
        model = load_double(model_folder)
        for _ in range(256):
            best = model(input_ids=torch.tensor([ids])).logits[0, -1].topk(2)
            margin = min(margin, (best.values[0] - best.values[1]).item())
            ids.append(best.indices[0].item())
    assert tokenizer.decode(ids[1:]) == published, tokenizer.decode(ids[1:])
    golden = {"text": published, "ids": ids, "smallest_margin": margin}
    out.write_text(json.dumps(golden, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"stories260k: {len(ids)} ids, the best logit leads by at least {margin:.3g}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="*", choices=list(MODELS), help="these models")
    parser.add_argument("--stories260k", type=Path, help="the embedded model's folder")
    parser.add_argument("--stories260k-text", type=Path, help="llama2.c's doc/stories260K.md")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name in args.only or MODELS:
        make(name, args.out / name)
    make_position_biases(args.out / "position_biases.json")
    if args.stories260k:
        make_stories260k(args.stories260k, args.stories260k_text, args.out / "stories260k-greedy.json")


if __name__ == "__main__":
    main()
