#!/usr/bin/env python3
"""Conversations as transformers' apply_chat_template writes them, one JSON object a line: {"template", "messages", "text", "ids"},
and "mask" (assistant_masks) for templates with {% generation %}.

python3 make_chat_goldens.py tokenizers/byte-bpe --out tokenizers/chats.jsonl
python3 make_chat_goldens.py SMOLLM2 --own --out smollm2.jsonl      # with the folder's own template, for a comparison by hand
"""

import argparse
import json
from pathlib import Path

from transformers import AutoTokenizer

PLAIN = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
# The form of SmolLM2's.
WITH_DEFAULT = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nAnswer in one sentence.<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# Over several lines, with other quotes.
SPREAD = (
    "{% if not add_generation_prompt is defined %}\n{% set add_generation_prompt = false %}\n{% endif %}\n"
    "{% for message in messages %}\n  {% if loop.first and messages[0][\"role\"] != \"system\" %}{{ \"<|im_start|>system\\nBe kind.<|im_end|>\\n\" }}"
    "{% endif %}\n{{ \"<|im_start|>\" + message.role + \"\\n\" + message.content + \"<|im_end|>\\n\" }}{% endfor %}\n"
)
# Marks what the assistant says; a token that shares a character with it counts.
MARKED = (
    "{{ bos_token }}{% for message in messages %}{{ message.role }}:{% if message.role == 'assistant' %}{% generation %} {{ message.content }}"
    "<|im_end|>{% endgeneration %}{% else %} {{ message.content }}<|im_end|>{% endif %}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
)
MARKED_TEXT = (
    "{%- for message in messages %}{%- if message.role == 'assistant' %}so{% generation %}{{ message.content | trim }}{% endgeneration %}th"
    "{%- else %} {{- message.content }}{%- endif %}{%- endfor %}"
)
TEMPLATES = [PLAIN, WITH_DEFAULT, SPREAD, MARKED, MARKED_TEXT]

SAYS = lambda *turns: [{"role": role, "content": content} for role, content in turns]
CONVERSATIONS = [
    SAYS(("user", "Hi"), ("assistant", "Hello, how can I help?")),
    SAYS(("system", "Be brief."), ("user", "Summarize: the cat sat on the mat."), ("assistant", "A cat sat.")),
    SAYS(
        ("user", "  two spaces first\n\nand a blank line\n"),
        ("assistant", "Yes.\n"),
        ("user", "\n12 and 34"),
        ("assistant", "46"),
    ),
    SAYS(("assistant", "I begin."), ("user", "")),
    SAYS(("system", ""), ("user", "caf\u00e9 \u4f60\u597d \U0001f600"), ("assistant", "")),
    SAYS(
        ("user", "What is <|endoftext|>?"),
        ("assistant", "A token."),
        ("user", "<|im_start|>x<|im_end|>"),
        ("assistant", "Text."),
    ),
    SAYS(("user", "one"), ("user", "two"), ("system", "three"), ("assistant", "four")),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizer", type=Path, help="folder")
    parser.add_argument("--own", action="store_true", help="the folder's own template alone")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)
    with args.out.open("w", encoding="ascii", newline="\n") as out:
        for template in [tokenizer.chat_template] if args.own else TEMPLATES:
            for messages in CONVERSATIONS:
                text = tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False)
                ids = tokenizer.apply_chat_template(messages, chat_template=template, tokenize=True, return_dict=False)
                line = {"template": template, "messages": messages, "text": text, "ids": ids}
                if "generation %}" in template:
                    line["mask"] = tokenizer.apply_chat_template(
                        messages, chat_template=template, return_dict=True, return_assistant_tokens_mask=True
                    )["assistant_masks"]
                out.write(json.dumps(line, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
