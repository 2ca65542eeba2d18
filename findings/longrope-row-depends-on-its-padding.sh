#!/usr/bin/env bash
# transformers 5.24.0, torch 2.15.0. With longrope, what a row of a batch computes depends on its padding, masked as it
# is: the factors are chosen by the greatest position of the batch, padding counted. A row of 5 tokens has the short
# factors alone, and the long ones beside a row that is longer than the original context of 8.
# Seen: padded to 9, logits of the row's 5 tokens differ by 0.045 of the largest one; padded to 8 by 3e-7.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install torch==2.15.0 transformers==5.24.0
HF_HUB_OFFLINE=1 "$work/venv/bin/python" - <<'PYTHON'
import torch
from transformers import Phi3Config, Phi3ForCausalLM

torch.manual_seed(0)
config = Phi3Config(
    vocab_size=40, hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
    max_position_embeddings=64, original_max_position_embeddings=8, pad_token_id=0,
    rope_parameters={
        "rope_type": "longrope", "rope_theta": 10000.0, "partial_rotary_factor": 1.0,
        "short_factor": [1.0] * 8, "long_factor": [1.0 + 2 * i for i in range(8)]})
model = Phi3ForCausalLM(config).eval()
for parameter in model.parameters():
    parameter.data = torch.randn_like(parameter) * 0.3
row = torch.tensor([[5, 9, 3, 7, 11]])


def padded_to(length):
    ids = torch.nn.functional.pad(row, (0, length - 5))
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=(ids > 0).long()).logits[0, :5]


alone = padded_to(5)
differences = {length: ((padded_to(length) - alone).abs().max() / alone.abs().max()).item() for length in (8, 9)}
print("difference by padded length", differences)
assert differences[8] < 1e-5
assert differences[9] > 0.01
PYTHON
