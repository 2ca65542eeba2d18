#!/usr/bin/env bash
# peft 0.21.2, transformers 5.24.0, torch 2.15.0. Which layers an adapter changes is decided by its configuration, not
# by the tensors in its file. Tensors of layers that target_modules leaves out are passed over without a warning: an
# adapter of q_proj and v_proj whose configuration names q_proj alone loads as half of itself.
# Seen: no warning; the logits differ from those of the whole adapter.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install torch==2.15.0 transformers==5.24.0 peft==0.21.2
HF_HUB_OFFLINE=1 FOLDER=$work/adapter "$work/venv/bin/python" - <<'PYTHON'
import json
import os
import warnings

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

folder = os.environ["FOLDER"]


def base():
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2))


def logits():
    with torch.no_grad():
        return PeftModel.from_pretrained(base(), folder)(input_ids=torch.arange(8)[None]).logits


model = get_peft_model(base(), LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
model.save_pretrained(folder)
whole = logits()
path = os.path.join(folder, "adapter_config.json")
config = json.load(open(path))
config["target_modules"] = ["q_proj"]
json.dump(config, open(path, "w"))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    half = logits()
about_tensors = [str(w.message) for w in caught if "v_proj" in str(w.message) or "unexpected" in str(w.message).lower()]
print("largest difference", (whole - half).abs().max().item(), "warnings about the tensors left out", about_tensors)
assert (whole - half).abs().max() > 1e-3
assert not about_tensors
PYTHON
