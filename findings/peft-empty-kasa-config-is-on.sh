#!/usr/bin/env bash
# peft 0.21.2, transformers 5.24.0, torch 2.15.0. In adapter_config.json an empty object is not "off": "kasa_config": {}
# makes a default configuration, which switches KaSA on: a random diagonal joins the product, since the file has none.
# The same tensors then give other logits than with null; all that is said is a warning about missing keys.
# Seen: the logits of one adapter differ between null and {}.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install torch==2.15.0 transformers==5.24.0 peft==0.21.2
HF_HUB_OFFLINE=1 FOLDER=$work/adapter "$work/venv/bin/python" - <<'PYTHON'
import json
import os

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

folder = os.environ["FOLDER"]


def base():
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2))


def logits(kasa):
    path = os.path.join(folder, "adapter_config.json")
    config = json.load(open(path))
    config["kasa_config"] = kasa
    json.dump(config, open(path, "w"))
    torch.manual_seed(1)
    with torch.no_grad():
        return PeftModel.from_pretrained(base(), folder)(input_ids=torch.arange(8)[None]).logits


model = get_peft_model(base(), LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
model.save_pretrained(folder)
off, on = logits(None), logits({})
print("largest difference", (off - on).abs().max().item())
assert (off - on).abs().max() > 1e-3
PYTHON
