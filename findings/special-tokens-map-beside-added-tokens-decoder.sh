#!/usr/bin/env bash
# transformers 5.24.0, tokenizers 0.23.3. Whether special_tokens_map.json is read depends on another file: alone it wins
# over tokenizer_config.json, but where tokenizer_config.json has an added_tokens_decoder (every folder saved since
# 2023) it is not read at all. A tool that edits the map to change, say, the end of a text changes nothing there.
# Seen: eos_token "b" in tokenizer_config.json and "c" in the map: "c" without, "b" with an added_tokens_decoder.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install transformers==5.24.0 tokenizers==0.23.3
HF_HUB_OFFLINE=1 FOLDER=$work/model "$work/venv/bin/python" - <<'PYTHON'
import json
import os

from tokenizers import Tokenizer, models
from transformers import AutoTokenizer

folder = os.environ["FOLDER"]
os.mkdir(folder)
Tokenizer(models.BPE(vocab={"a": 0, "b": 1, "c": 2}, merges=[])).save(os.path.join(folder, "tokenizer.json"))
json.dump({"eos_token": "c"}, open(os.path.join(folder, "special_tokens_map.json"), "w"))
seen = {}
for name, decoder in (("without", {}), ("with", {"added_tokens_decoder": {"0": {
        "content": "a", "lstrip": False, "rstrip": False, "single_word": False, "normalized": False,
        "special": True}}})):
    json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "b", **decoder},
              open(os.path.join(folder, "tokenizer_config.json"), "w"))
    seen[name] = AutoTokenizer.from_pretrained(folder).eos_token
print(seen)
assert seen == {"without": "c", "with": "b"}
PYTHON
