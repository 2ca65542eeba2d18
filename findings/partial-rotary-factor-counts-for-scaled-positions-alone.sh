#!/usr/bin/env bash
# transformers 5.24.0, torch 2.15.0. `partial_rotary_factor` in a Llama's rope_parameters is ignored with the rope_type
# "default" and followed with "linear" (and the other scaled ones): the model then has fewer frequencies than half of a
# head, although nothing else in the class turns a part of a head alone.
# Seen: heads of 16, factor 0.5: 8 frequencies by default, 4 with linear scaling.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install transformers==5.24.0 torch==2.15.0
HF_HUB_OFFLINE=1 "$work/venv/bin/python" - <<'PYTHON'
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding


def frequencies(**rope):
    config = LlamaConfig(hidden_size=64, num_attention_heads=4, head_dim=16,
                         rope_parameters={"rope_theta": 10000.0, "partial_rotary_factor": 0.5, **rope})
    return LlamaRotaryEmbedding(config).inv_freq.numel()


by_default = frequencies(rope_type="default")
linear = frequencies(rope_type="linear", factor=2.0)
print(by_default, linear)
assert by_default == 8
assert linear == 4
PYTHON
