#!/usr/bin/env python3
"""Gradients that PyTorch computes where each layer's keys and values of tokens without a label are detached, or what
these are made from.

    python3 make_detached_goldens.py models

Reads the tiny models that make_model_goldens.py has made, their texts and labels; writes beside them
detached.safetensors (keys and values) and detached_below_keys.safetensors: "grad.NAME" in float64. See README.md.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from make_model_goldens import double_precision

NAMES = ["llama-gqa-tied", "opt-post", "bloom"]


def detach_context(model, state, below_keys):
    """The projections that keys and values come from read or hand out constants for the rows of the context. Where
    queries come out of the same projection, those of the context reach nothing that is not detached itself."""

    def detached(x):
        return torch.where(state["labelled"].view(1, -1, 1), x, x.detach())

    for name, module in model.named_modules():
        if not name.endswith(("k_proj", "v_proj", "query_key_value")):
            continue
        if below_keys:
            module.register_forward_pre_hook(lambda module, inputs: (detached(inputs[0]), *inputs[1:]))
        else:
            module.register_forward_hook(lambda module, inputs, output: detached(output))


def make(folder, name, below_keys, file):
    golden = json.loads((folder / name / "golden.json").read_text())
    weights = {n: w.double() for n, w in load_file(folder / name / "model.safetensors").items()}
    with double_precision():
        config = AutoConfig.from_pretrained(folder / name, attn_implementation="eager", dtype=torch.float64)
        model = AutoModelForCausalLM.from_config(config).eval()
        missing = model.load_state_dict(weights, strict=False).missing_keys
        assert all(n.startswith("lm_head") for n in missing), missing  # tied
        model.tie_weights()
        state = {}
        detach_context(model, state, below_keys)
        total, count = 0, 0
        for ids, labels in zip(golden["input_ids"], golden["labels"]):
            predicted = torch.tensor(labels[1:] + [-100])  # a row predicts the next token
            state["labelled"] = predicted != -100
            logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
            total = total + torch.nn.functional.cross_entropy(logits, predicted, ignore_index=-100, reduction="sum")
            count += int(state["labelled"].sum())
        loss = total / count
        loss.backward()
    assert abs(loss.item() - golden["loss"]) < 1e-12 * golden["loss"], (loss.item(), golden["loss"])
    save_file({f"grad.{n}": p.grad.contiguous() for n, p in model.named_parameters()}, str(folder / name / file))
    print(name, file, loss.item())


def main():
    folder = Path(sys.argv[1])
    for name in NAMES:
        make(folder, name, False, "detached.safetensors")
        make(folder, name, True, "detached_below_keys.safetensors")


if __name__ == "__main__":
    main()
