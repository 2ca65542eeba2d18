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
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, OPTConfig, OPTForCausalLM

VOCAB = 96
BATCH_LENGTHS = [7, 12, 5]
PROMPT_LENGTHS = [2, 5, 0]  # leading positions without a label
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
    loaded, loading = AutoModelForCausalLM.from_pretrained(folder, dtype=FLOAT64, output_loading_info=True)
    torch.float32 = torch.float = FLOAT64
    assert not any(loading.values()), loading
    model = AutoModelForCausalLM.from_config(loaded.config, attn_implementation="eager").to(FLOAT64)
    model.load_state_dict(loaded.state_dict())
    return model.eval()


def opt(**changes):
    options = dict(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, ffn_dim=64, num_attention_heads=4, max_position_embeddings=64,
                   word_embed_proj_dim=32, do_layer_norm_before=True, dropout=0.0, attention_dropout=0.0, layerdrop=0.0,
                   activation_function="relu", pad_token_id=1, bos_token_id=2, eos_token_id=2)
    return OPTForCausalLM(OPTConfig(**options | changes))


def llama(**changes):
    options = dict(vocab_size=VOCAB, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
                   num_key_value_heads=4, max_position_embeddings=64, rms_norm_eps=1e-5, attention_dropout=0.0, tie_word_embeddings=False,
                   bos_token_id=1, eos_token_id=2, pad_token_id=None)
    return LlamaForCausalLM(LlamaConfig(**options | changes))


MODELS = {
    "opt-pre": lambda: opt(),
    "opt-post": lambda: opt(do_layer_norm_before=False, word_embed_proj_dim=16),
    "llama-gqa-tied": lambda: llama(num_key_value_heads=2, tie_word_embeddings=True),
    "llama-mha-untied": lambda: llama(),
}


def randomise(model, generator):
    """Weights far from the usual initialisation, so that every gradient has a size worth comparing."""
    for name, parameter in model.named_parameters():
        values = torch.randn(parameter.shape, generator=generator)
        if "norm" in name and name.endswith("weight"):
            values = 1 + 0.1 * values
        elif name.endswith("bias"):
            values = 0.05 * values
        else:
            values = 0.15 * values
        parameter.data.copy_(values)


def make_batch(generator):
    # None of the special ids: torch gives the padding token's embedding no gradient.
    input_ids = [torch.randint(3, VOCAB, (length,), generator=generator).tolist() for length in BATCH_LENGTHS]
    labels = [[-100] * prompt + ids[prompt:] for ids, prompt in zip(input_ids, PROMPT_LENGTHS)]
    labels[1][8] = -100  # and a hole in the middle of one
    return input_ids, labels


def forward(model, input_ids, labels):
    """Each sequence on its own, thus without padding. The loss is the mean over all labelled tokens of the batch; position t is compared
    with label t + 1, as transformers does."""
    total, count, logits = 0, 0, []
    for ids, wanted in zip(input_ids, labels):
        scores = model(input_ids=torch.tensor([ids])).logits[0]
        logits.append(scores)
        total = total + torch.nn.functional.cross_entropy(scores[:-1], torch.tensor(wanted[1:]), ignore_index=-100, reduction="sum")
        count += sum(label != -100 for label in wanted[1:])
    return total / count, count, logits


def check_against_padded(model, input_ids, labels, loss):
    """transformers' own loss of the padded batch is the same number."""
    width = max(map(len, input_ids))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in input_ids])
    wanted = torch.tensor([row + [-100] * (width - len(row)) for row in labels])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in input_ids])
    padded = model(input_ids=ids, attention_mask=mask, labels=wanted).loss
    assert abs(padded - loss).item() < 1e-12 * loss.item(), (padded, loss)


def trained(model, optimizer_type, options, input_ids, labels):
    model = copy.deepcopy(model)
    optimizer = optimizer_type(model.parameters(), foreach=False, **options)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss, _, _ = forward(model, input_ids, labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    losses.append(forward(model, input_ids, labels)[0].item())
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
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (folder / "generation_config.json").unlink(missing_ok=True)

    with double_precision():
        model = load_double(folder)
        input_ids, labels = make_batch(generator)
        with NoFloat32():
            tensors = compute(name, folder, model, input_ids, labels)
    save_file({key: value.detach().to(FLOAT32).contiguous() for key, value in tensors.items()}, folder / "golden.safetensors")


def compute(name, folder, model, input_ids, labels):
    loss, count, logits = forward(model, input_ids, labels)
    check_against_padded(model, input_ids, labels, loss)
    loss.backward()

    # named_parameters() gives a tied tensor once, under the name in the checkpoint.
    tensors = {f"logits.{i}": value for i, value in enumerate(logits)}
    tensors |= {f"grad.{key}": value.grad for key, value in model.named_parameters()}
    losses = {}
    for key, optimizer_type, options in (("sgd10", torch.optim.SGD, SGD), ("adamw10", torch.optim.AdamW, ADAMW)):
        model.zero_grad()
        after, losses[key] = trained(model, optimizer_type, options, input_ids, labels)
        tensors |= {f"{key}.{parameter}": value for parameter, value in after.named_parameters()}
    golden = {
        "input_ids": input_ids,
        "labels": labels,
        "loss": loss.item(),
        "labelled_tokens": count,
        "optimizers": {"sgd10": {"steps": STEPS, "type": "SGD", **SGD, "losses": losses["sgd10"]},
                       "adamw10": {"steps": STEPS, "type": "AdamW", **ADAMW, "losses": losses["adamw10"]}},
    }
    (folder / "golden.json").write_text(json.dumps(golden) + "\n")
    sizes = {key.removeprefix("grad."): value.norm().item() for key, value in tensors.items() if key.startswith("grad.")}
    small = {key: size for key, size in sizes.items() if size < 1e-3}
    print(f"{name}: loss {loss.item():.17g}, {count} labels, smallest gradient norms {small}, "
          f"sgd10 to {losses['sgd10'][-1]:.6f}, adamw10 to {losses['adamw10'][-1]:.6f}")
    return tensors


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
    parser.add_argument("--stories260k", type=Path, help="the embedded model's folder")
    parser.add_argument("--stories260k-text", type=Path, help="llama2.c's doc/stories260K.md")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name in MODELS:
        make(name, args.out / name)
    if args.stories260k:
        make_stories260k(args.stories260k, args.stories260k_text, args.out / "stories260k-greedy.json")


if __name__ == "__main__":
    main()
