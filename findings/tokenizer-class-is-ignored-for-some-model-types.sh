#!/usr/bin/env bash
# transformers 5.24.0, tokenizers 0.23.3. `tokenizer_class` in tokenizer_config.json chooses the class for a model of
# one type and is passed over for another: where the class registered for the model_type is the general
# TokenizersBackend (OLMo 2, Granite), AutoTokenizer gives that one whatever the folder says. GPT2Tokenizer rebuilds the
# tokenizer and drops steps of tokenizer.json, TokenizersBackend does not, so the same files encode differently.
# Seen: one folder that says "GPT2Tokenizer" and has a lower-casing step: model_type llama gives GPT2Tokenizer, which
# keeps "AB"; olmo2 and granite give TokenizersBackend and "ab".
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install transformers==5.24.0 tokenizers==0.23.3
cd "$work"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" - <<'PYTHON'
import json
import os

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer

byte_level = sorted(pre_tokenizers.ByteLevel.alphabet())
tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(byte_level)}, merges=[]))
tokenizer.normalizer = normalizers.Lowercase()
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()

seen = {}
for model_type in ("llama", "olmo2", "granite"):
    os.makedirs(model_type)
    tokenizer.save(f"{model_type}/tokenizer.json")
    with open(f"{model_type}/tokenizer_config.json", "w") as file:
        json.dump({"tokenizer_class": "GPT2Tokenizer"}, file)
    with open(f"{model_type}/config.json", "w") as file:
        json.dump({"model_type": model_type}, file)
    loaded = AutoTokenizer.from_pretrained(model_type)
    seen[model_type] = (type(loaded).__name__, loaded.decode(loaded("AB")["input_ids"]))
    print(model_type, *seen[model_type])
assert seen["llama"][0] == "GPT2Tokenizer", seen
assert seen["olmo2"][0] == seen["granite"][0] == "TokenizersBackend", seen
assert seen["olmo2"][1] == "ab", seen
PYTHON
