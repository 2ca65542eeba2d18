#!/usr/bin/env bash
# trl 1.16.0, transformers 5.24.0, tokenizers 0.23.3. SFTTrainer tokenises a prompt alone and prompt + completion
# together; the completion begins where the two lists of ids first differ. Where a token spans the border, tokens that
# lie wholly inside the prompt's text can therefore carry loss: a split by the position of the prompt's end gives
# others.
# Seen, byte-level BPE with the merge "space b", prompt "a" and two spaces, completion "b": the ids are a, space, " b";
# the first space lies wholly inside the prompt, and is labelled: labels -100, 4, 5.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install torch==2.15.0 transformers==5.24.0 tokenizers==0.23.3 trl==1.16.0
HF_HUB_OFFLINE=1 FOLDER=$work/out "$work/venv/bin/python" - <<'PYTHON'
import os

from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

SPACE = "\u0120"
vocabulary = {"<s>": 0, "</s>": 1, "a": 2, "b": 3, SPACE: 4, SPACE + "b": 5, SPACE + SPACE: 6}
tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[(SPACE, "b"), (SPACE, SPACE)]))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
tokenizer.decoder = decoders.ByteLevel()
fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>")
model = LlamaForCausalLM(LlamaConfig(
    vocab_size=8, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
    num_key_value_heads=2))
trainer = SFTTrainer(
    model, SFTConfig(output_dir=os.environ["FOLDER"], report_to=[], use_cpu=True),
    train_dataset=Dataset.from_list([{"prompt": "a  ", "completion": "b"}]), processing_class=fast)
row = trainer.train_dataset[0]
alone = fast("a  ")["input_ids"]
tokens = fast.convert_ids_to_tokens(row["input_ids"])
print("prompt alone", fast.convert_ids_to_tokens(alone), "row", tokens, "labels", row["labels"])
# The prompt alone is a and one token of two spaces; together it is a, space, " b": they differ from the second id on.
assert fast.convert_ids_to_tokens(alone) == ["a", SPACE + SPACE]
assert tokens[:3] == ["a", SPACE, SPACE + "b"]
assert row["labels"][:3] == [-100, 4, 5]
PYTHON
