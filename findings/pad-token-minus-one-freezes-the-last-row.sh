#!/usr/bin/env bash
# transformers 5.24.0, torch 2.15.0. A Llama configuration with "pad_token_id": -1, as many published ones have it for
# "none", is accepted with a warning. nn.Embedding counts -1 from the end: looking up the LAST token of the vocabulary
# then gives its row no gradient, as if it were padding. With null every row that is looked up gets one.
# Seen: null [], 0 [0], -1 [39] (rows of the input embedding without a gradient, all 40 tokens looked up).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install torch==2.15.0 transformers==5.24.0
HF_HUB_OFFLINE=1 "$work/venv/bin/python" - <<'PYTHON'
import torch
from transformers import LlamaConfig, LlamaForCausalLM


def rows_without_gradient(pad):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, pad_token_id=pad, tie_word_embeddings=False)
    model = LlamaForCausalLM(config)
    ids = torch.cat([torch.arange(40), torch.arange(8)])[None]
    model(input_ids=ids, labels=ids).loss.backward()
    norms = model.model.embed_tokens.weight.grad.norm(dim=1)
    return (norms == 0).nonzero().flatten().tolist()


seen = {pad: rows_without_gradient(pad) for pad in (None, 0, -1)}
print(seen)
assert seen == {None: [], 0: [0], -1: [39]}
PYTHON
