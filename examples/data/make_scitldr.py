#!/usr/bin/env python3
"""Turns SciTLDR's own JSON lines into prompt and completion, as GreenTrainer's experiments do: "{source} TL;DR: {summary}".

    python3 make_scitldr.py --train SciTLDR-A/train.jsonl --out train.jsonl [--limit 160]

Rows keep their order. The limits on length leave longer rows out; without them every row is converted. Python's standard library is enough.
"""

import argparse
import json
from pathlib import Path


def example(row):
    return {"prompt": " ".join(row["source"]) + " TL;DR:", "completion": " " + row["target"][0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True, help="a file of SciTLDR (any split)")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, help="at most this many rows")
    parser.add_argument("--max-source-characters", type=int)
    parser.add_argument("--max-target-characters", type=int)
    parser.add_argument("--original", action="store_true", help="copy the chosen lines unchanged")
    args = parser.parse_args()

    chosen = []
    with args.train.open(encoding="utf-8", newline="\n") as lines:
        for line in lines:
            if args.limit is not None and len(chosen) == args.limit:
                break
            row = json.loads(line)
            if args.max_source_characters and len(" ".join(row["source"])) > args.max_source_characters:
                continue
            if args.max_target_characters and len(row["target"][0]) > args.max_target_characters:
                continue
            chosen.append(line if args.original else json.dumps(example(row), ensure_ascii=False) + "\n")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("".join(chosen), encoding="utf-8", newline="\n")
    print(f"{args.out}: {len(chosen)} rows")


if __name__ == "__main__":
    main()
