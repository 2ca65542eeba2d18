#!/usr/bin/env bash
# transformers 5.24.0, tokenizers 0.23.3. The keys of added_tokens_decoder in tokenizer_config.json look like the ids of
# the tokens. For a token that tokenizer.json does not have they are not followed: it gets the next free id, whatever
# the file says, and no warning is given. An embedding row that was trained for the stated id is then never read.
# Seen: vocabulary of 3, "<new>" stated as 7: its id is 3.
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
flags = {"content": "<new>", "lstrip": False, "rstrip": False, "single_word": False, "normalized": False,
         "special": True}
json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "added_tokens_decoder": {"7": flags}},
          open(os.path.join(folder, "tokenizer_config.json"), "w"))
tokenizer = AutoTokenizer.from_pretrained(folder)
print(tokenizer.convert_tokens_to_ids("<new>"), tokenizer("a<new>b")["input_ids"], tokenizer.added_tokens_decoder)
assert tokenizer.convert_tokens_to_ids("<new>") == 3
assert tokenizer("a<new>b")["input_ids"] == [0, 3, 1]
PYTHON
