#!/usr/bin/env python3
"""Makes adapters for the tiny models and what the library peft computes with them: losses, logits, gradients, tensors after ten AdamW steps.

    python3 make_adapter_goldens.py models adapters

Reads models/NAME, which make_model_goldens.py made, and writes adapters/NAME-lora and adapters/NAME-prefix. Each is a folder as peft saves one, in float32,
with golden.json and golden.safetensors beside; what is computed is computed in float64. adapters/t5-two-layers is one more model, since none of the others has
an even number of decoder layers. See README.md for the files.
"""

import argparse
import copy
import json
import zlib
from pathlib import Path

import torch
from make_model_goldens import ADAMW, FLOAT32, STEPS, NoFloat32, double_precision, load_double, t5
from make_model_goldens import randomise as randomise_model
from peft import LoraConfig, PrefixTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file

# On all linear layers of one model, which has them in every place there is, and on the paper's targets of the others.
LORA = {
    "opt-post": dict(r=3, lora_alpha=7, target_modules="all-linear"),
    "llama-gqa-tied": dict(r=8, lora_alpha=32, target_modules=["q_proj", "v_proj"]),
    "bloom": dict(r=4, lora_alpha=8, target_modules=["query_key_value"]),
    "t5-untied-gated": dict(r=4, lora_alpha=32, target_modules=["q", "v"]),
}
# With an even number of decoder layers, two of T5's share an entry of peft's table, with an odd one all have their own.
PREFIX = {"opt-pre": 5, "llama-gqa-tied": 20, "bloom": 4, "t5-untied-gated": 6, "t5-two-layers": 3}


def lora_config(name, model):
    return LoraConfig(task_type=task(model), lora_dropout=0.0, **LORA[name])


def prefix_config(name, model):
    sizes = {}
    if model.config.is_encoder_decoder:  # peft would take the encoder's layers and the model's width
        sizes = dict(num_layers=model.config.num_decoder_layers, token_dim=model.config.num_heads * model.config.d_kv)
    return PrefixTuningConfig(task_type=task(model), num_virtual_tokens=PREFIX[name], **sizes)


def task(model):
    return "SEQ_2_SEQ_LM" if model.config.is_encoder_decoder else "CAUSAL_LM"


def randomise(model, generator):
    """Matrices that both have a gradient worth comparing: peft begins with one that is zero."""
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        size = 0.1 if "lora" in name else 1.0
        parameter.data.copy_(
            (size * torch.randn(parameter.shape, generator=generator, dtype=FLOAT32)).to(parameter.dtype)
        )


def forward(model, batch):
    """One sequence at a time, as nothing is padded then; loss as the mean over all labels."""
    losses, count, logits = 0, 0, []
    for i, labels in enumerate(batch["labels"]):
        if "source_ids" in batch:
            source = torch.tensor([batch["source_ids"][i]])
            out = model(input_ids=source, attention_mask=torch.ones_like(source), labels=torch.tensor([labels])).logits[
                0
            ]
            predicted, expected = out, torch.tensor(labels)
        else:
            ids = torch.tensor([batch["input_ids"][i]])
            out = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0]
            predicted, expected = out[:-1], torch.tensor(labels[1:])
        logits.append(out)
        losses = losses + torch.nn.functional.cross_entropy(predicted, expected, ignore_index=-100, reduction="sum")
        count += (expected != -100).sum().item()
    return losses / count, count, logits


def trained(model, batch):
    model = copy.deepcopy(model)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], foreach=False, **ADAMW)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss, _, _ = forward(model, batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return model, losses


def named_tensors(model, of=lambda parameter: parameter):
    """By the names in adapter_model.safetensors."""
    tensors = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        name = "prompt_embeddings" if "prompt_encoder" in name else name.replace(".default.", ".")
        tensors[name] = of(parameter)
    return tensors


def make_two_layers(models, out):
    model = t5(d_kv=8, num_heads=2, num_layers=1, num_decoder_layers=2).eval()
    randomise_model(model, torch.Generator().manual_seed(1))
    model.save_pretrained(out)
    (out / "generation_config.json").unlink(missing_ok=True)
    config = json.loads((out / "config.json").read_text())
    config["tie_word_embeddings"] = config.pop("scale_decoder_outputs")
    config["torch_dtype"] = config.pop("dtype")
    del config["transformers_version"]
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    batch = json.loads((models / "t5-tied-relu" / "golden.json").read_text())
    (out / "golden.json").write_text(json.dumps({key: batch[key] for key in ("source_ids", "labels")}) + "\n")


def make(folder, config_of, out):
    name = folder.name
    generator = torch.Generator().manual_seed(zlib.crc32(str(out.name).encode()))
    batch = {
        key: value
        for key, value in json.loads((folder / "golden.json").read_text()).items()
        if key in ("input_ids", "source_ids", "labels")
    }

    with double_precision():
        base = load_double(folder)
        model = get_peft_model(base, config_of(name, base)).eval()
        randomise(model, generator)
        with NoFloat32():
            loss, count, logits = forward(model, batch)
            loss.backward()
            tensors = {f"logits.{i}": value for i, value in enumerate(logits)}
            tensors |= {f"grad.{key}": value for key, value in named_tensors(model, lambda p: p.grad).items()}
            after, losses = trained(model, batch)
            tensors |= {f"adamw10.{key}": value for key, value in named_tensors(after).items()}
            sizes = {key: value.norm().item() for key, value in tensors.items() if key.startswith("grad.")}

    model.to(FLOAT32).save_pretrained(out)
    (out / "README.md").unlink()
    config = json.loads((out / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = name
    if "target_modules" in config:
        config["target_modules"] = sorted(config["target_modules"])
    (out / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")
    saved = load_file(out / "adapter_model.safetensors")
    assert saved.keys() == named_tensors(model).keys(), saved.keys() ^ named_tensors(model).keys()

    save_file(
        {key: value.detach().to(FLOAT32).contiguous() for key, value in tensors.items()}, out / "golden.safetensors"
    )
    golden = {
        "model": name,
        **batch,
        "loss": loss.item(),
        "labelled_tokens": count,
        "optimizers": {"adamw10": {"steps": STEPS, **ADAMW, "losses": losses}},
    }
    (out / "golden.json").write_text(json.dumps(golden) + "\n")
    print(
        f"{out.name}: loss {loss.item():.17g}, {count} labels, smallest gradient norm {min(sizes.values()):.3g}, adamw10 to {losses[-1]:.6f}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    make_two_layers(args.models, args.out / "t5-two-layers")
    for name in LORA:
        make(args.models / name, lora_config, args.out / f"{name}-lora")
    for name in PREFIX:
        make((args.out if name == "t5-two-layers" else args.models) / name, prefix_config, args.out / f"{name}-prefix")


if __name__ == "__main__":
    main()
