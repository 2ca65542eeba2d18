#!/usr/bin/env python3
"""The bytes that each token stands for, from Hugging Face `tokenizers`, for the texts of the goldens of ids: one JSON array [begin, end, begin, end,
...] a line, in the order of tokenizers/NAME.jsonl. Offsets are those before post-processing, which trims spaces for display.

    python3 make_offset_goldens.py gpt2=GPT2 opt=OPT t5=T5/tokenizer.json stories260k=STORIES/tokenizer.json \\
        byte-bpe-digits=tokenizers/byte-bpe/tokenizer.json byte-bpe=tokenizers/byte-bpe bloom=tokenizers/bloom/tokenizer.json \\
        unigram=tokenizers/unigram/tokenizer.json unigram-bytes=tokenizers/unigram-bytes/tokenizer.json --out offsets

Tokenizers are given as in make_tokenizer_goldens.py.
"""

import argparse
import json
from pathlib import Path

from make_tokenizer_goldens import load
from tokenizers import Tokenizer


def byte_offsets(tokenizer, text, ids):
    encoding = tokenizer.encode(text, add_special_tokens=False)
    assert encoding.ids == ids, (text, encoding.ids, ids)
    bytes_before = [0]
    for character in text:
        bytes_before.append(bytes_before[-1] + len(character.encode()))
    return [bytes_before[place] for pair in encoding.offsets for place in pair]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizers", nargs="+", metavar="NAME=TOKENIZER")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for given in options.tokenizers:
        name, path = given.split("=", 1)
        loaded = json.loads(load(name, Path(path)).to_str())
        loaded["post_processor"] = None
        tokenizer = Tokenizer.from_str(json.dumps(loaded))
        goldens = Path(__file__).parent / "tokenizers" / f"{name}.jsonl"
        with (options.out / f"{name}.jsonl").open("w", encoding="ascii", newline="\n") as out:
            for line in goldens.read_text().splitlines():
                golden = json.loads(line)
                offsets = byte_offsets(tokenizer, golden["text"], golden["ids"])
                out.write(json.dumps(offsets, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
