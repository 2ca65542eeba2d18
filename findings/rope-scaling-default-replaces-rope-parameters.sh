#!/usr/bin/env bash
# transformers 5.24.0. Where a Llama's config.json has both "rope_parameters" and the older "rope_scaling", the older
# one wins, and {"rope_type": "default"} is enough: the llama3 scaling of rope_parameters is gone, and its rope_theta
# with it (10000 is used, not 500000). An empty rope_scaling changes nothing. Nothing is printed in either case.
# Seen: alone llama3 500000.0, with {} llama3 500000.0, with {"rope_type": "default"} default 10000.0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install torch==2.15.0 transformers==5.24.0
HF_HUB_OFFLINE=1 FOLDER=$work "$work/venv/bin/python" - <<'PYTHON'
import json
import os

from transformers import AutoConfig

LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64, "rope_theta": 500000.0}


def read(**more):
    config = dict(
        model_type="llama", vocab_size=40, hidden_size=16, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=2, rope_parameters=LLAMA3, **more)
    with open(os.environ["FOLDER"] + "/config.json", "w") as file:
        json.dump(config, file)
    rope = AutoConfig.from_pretrained(os.environ["FOLDER"]).rope_parameters
    return rope["rope_type"], rope["rope_theta"]


alone, empty, default = read(), read(rope_scaling={}), read(rope_scaling={"rope_type": "default"})
print("alone", alone, "with {}", empty, 'with {"rope_type": "default"}', default)
assert alone == empty == ("llama3", 500000.0)
assert default == ("default", 10000.0)
PYTHON
