#!/usr/bin/env bash
# transformers 5.24.0, torch 2.15.0. A T5 checkpoint with "tie_word_embeddings": false that holds lm_head.weight and
# shared.weight with equal values is loaded with ONE parameter for both: training moves them together. One element that
# differs, and they are two parameters. The configuration does not decide.
# Seen: equal -> one parameter, one element different -> two.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install torch==2.15.0 transformers==5.24.0 safetensors==0.8.0
HF_HUB_OFFLINE=1 FOLDER=$work/model "$work/venv/bin/python" - <<'PYTHON'
import json
import os

import torch
from safetensors.torch import load_file, save_file
from transformers import T5Config, T5ForConditionalGeneration

folder = os.environ["FOLDER"]
torch.manual_seed(0)
T5ForConditionalGeneration(T5Config(
    vocab_size=40, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2)).save_pretrained(folder)
path = os.path.join(folder, "config.json")
config = json.load(open(path))
config["tie_word_embeddings"] = False
json.dump(config, open(path, "w"))
weights = os.path.join(folder, "model.safetensors")
tensors = load_file(weights)


def tied(change):
    head = tensors["shared.weight"].clone()
    head[0, 0] += change
    save_file({**tensors, "lm_head.weight": head}, weights, {"format": "pt"})
    model = T5ForConditionalGeneration.from_pretrained(folder)
    return model.lm_head.weight.data_ptr() == model.shared.weight.data_ptr()


equal, different = tied(0.0), tied(1.0)
print("equal values: tied", equal, "- one element different: tied", different)
assert equal and not different
PYTHON
