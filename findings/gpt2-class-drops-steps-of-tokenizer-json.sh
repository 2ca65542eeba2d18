#!/usr/bin/env bash
# transformers 5.24.0, tokenizers 0.23.3. AutoTokenizer does not always run the tokenizer.json of a folder. Where the
# class is GPT2Tokenizer (named in tokenizer_config.json, or taken by default for config.json's model_type "gpt2" or
# "opt"), vocabulary and merges are read from tokenizer.json and everything else is built anew: its normalizer and its
# pre-tokenizer are dropped without a word. tokenizers and PreTrainedTokenizerFast follow the file.
# Seen: a file with a Lowercase normalizer, text "AB": ids [0, 1] by the file, [2, 3] by AutoTokenizer.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install transformers==5.24.0 tokenizers==0.23.3
HF_HUB_OFFLINE=1 FOLDER=$work/model "$work/venv/bin/python" - <<'PYTHON'
import json
import os

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

folder = os.environ["FOLDER"]
os.mkdir(folder)
file = os.path.join(folder, "tokenizer.json")
tokenizer = Tokenizer(models.BPE(vocab={"a": 0, "b": 1, "A": 2, "B": 3, "<|endoftext|>": 4}, merges=[]))
tokenizer.normalizer = normalizers.Lowercase()
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
tokenizer.add_special_tokens(["<|endoftext|>"])
tokenizer.save(file)
json.dump({"model_type": "gpt2"}, open(os.path.join(folder, "config.json"), "w"))

by_file = Tokenizer.from_file(file).encode("AB").ids
by_fast = PreTrainedTokenizerFast(tokenizer_file=file)("AB")["input_ids"]
auto = AutoTokenizer.from_pretrained(folder)
by_auto = auto("AB")["input_ids"]
print(type(auto).__name__, "file", by_file, "PreTrainedTokenizerFast", by_fast, "AutoTokenizer", by_auto)
assert by_file == by_fast == [0, 1]
assert by_auto == [2, 3]
PYTHON
