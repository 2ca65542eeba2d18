#!/usr/bin/env python3
"""What TRL's SFTTrainer makes of prompts and completions, and of texts, and transformers of conversations: one JSON
object a line with the row, and "input_ids" and "labels" as they are trained on.

    python3 make_text_goldens.py --stories ../../examples/data/stories260k --out texts

Made with TRL 1.16.0, transformers 5.24.0, tokenizers 0.23.3.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

from datasets import Dataset
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
from trl import SFTConfig, SFTTrainer

PAIRS = [
    ("Once upon a time, there was a", " little girl named Lily."),
    ("Once upon a time, there was a ", "little girl named Lily."),
    ("Once upon a time", "there was"),
    ("2+2=", "4"),
    ("The dog", " ran.</s>"),
    ("The dog", " ran.<|im_end|>"),
    ("The dog", " ran.<|im_end|>\n"),
    ("Say it", ":)"),
    ("a  ", "b"),
    ("a   ", "  b"),
    ("a\n", "\nb"),
    ("label:", "0"),
    ("answer:", '"quoted"'),
    ("wor", "ld"),
    ("It is wo", "nderful"),
    ("caf\u00e9 ", "\u00e9t\u00e9"),
    ("\U0001f600", "\U0001f603"),
    ("\u4f60", "\u597d"),
    ("", "alone"),
    ("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", "Yes.<|im_end|>"),
    ("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant", "\nYes."),
    ("I", "'m"),
    ("12", "34"),
    ("trailing\t", "\ttabs"),
]
TEXTS = ["The dog ran.", "The dog ran.</s>", "The dog ran.<|im_end|>", " leading", "a\nb\n"]
CONVERSATIONS = [
    ["Hi", "Yes"],
    ["Hi", "\nYes\n", "And?", "  no  "],
    ["", "", "\n", "\n\n"],
    ["Tell me about the red dog and the big cat.", "It ran.", "And what is the name of the girl?", "Lily."],
]
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}{{ '\\n' }}{% endfor %}"
)


def trained(tokenizer, rows, max_length=None):
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=LlamaForCausalLM(config),
            args=SFTConfig(output_dir=folder, report_to=[], use_cpu=True, max_length=max_length, dataset_num_proc=1),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
        )
        data = trainer.train_dataset
        return [(list(row["input_ids"]), list(row["labels"])) for row in data]


def conversations(tokenizer):
    for said in CONVERSATIONS:
        messages = [
            {"role": "user" if i % 2 == 0 else "assistant", "content": content} for i, content in enumerate(said)
        ]
        encoded = tokenizer.apply_chat_template(
            messages, chat_template=CHATML, return_dict=True, return_assistant_tokens_mask=True
        )
        ids, mask = encoded["input_ids"], encoded["assistant_masks"]
        yield {
            "messages": messages,
            "input_ids": ids,
            "labels": [token if one else -100 for token, one in zip(ids, mask)],
        }


def chat_stories(stories, folder):
    """ChatML's markers in place of two byte tokens that no UTF-8 has, as tests/support/chat_model.hpp."""
    shutil.copytree(stories, folder, dirs_exist_ok=True)
    file = json.loads((folder / "tokenizer.json").read_text())
    for old, new in (("<0xFE>", "<|im_start|>"), ("<0xFF>", "<|im_end|>")):
        token = file["model"]["vocab"].pop(old)
        file["model"]["vocab"][new] = token
        file["added_tokens"].append(
            {"id": token, "content": new, "special": True, "normalized": False}
            | {"single_word": False, "lstrip": False, "rstrip": False}
        )
    (folder / "tokenizer.json").write_text(json.dumps(file))
    return AutoTokenizer.from_pretrained(folder)


def write(tokenizer, path):
    pairs = [{"prompt": prompt, "completion": completion} for prompt, completion in PAIRS]
    texts = [{"text": text} for text in TEXTS]
    lines = []
    for rows in (pairs, texts):
        for row, (ids, labels) in zip(rows, trained(tokenizer, rows), strict=True):
            lines.append({**row, "input_ids": ids, "labels": labels})
    if tokenizer.convert_tokens_to_ids("<|im_start|>") != tokenizer.unk_token_id:
        lines += conversations(tokenizer)
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines), encoding="ascii")
    print(f"{path}: {len(lines)} lines")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stories", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    here = Path(__file__).parent
    write(AutoTokenizer.from_pretrained(options.stories), options.out / "stories260k.jsonl")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(here / "tokenizers/byte-bpe" / name, folder)
        write(AutoTokenizer.from_pretrained(folder), options.out / "byte-bpe.jsonl")
    with tempfile.TemporaryDirectory() as folder:
        write(chat_stories(options.stories, Path(folder)), options.out / "chat-stories.jsonl")


if __name__ == "__main__":
    main()
