#!/usr/bin/env python3
"""What rounding to bfloat16 costs a trained model, scored as transformers loads it.

    greentrainer finetune --model smollm2-135m --train train.jsonl --output tuned --save-dtype float32 ...
    python3 score_rounding.py --base smollm2-135m --data dev.jsonl --rows 24 --max-tokens 160 tuned...

`--base` is the bfloat16 folder that training began with, each `tuned` a float32 folder. Losses are means over the
tokens of the completions of JSON lines with prompt and completion. Printed for each folder, as JSON: the loss before,
in float32 (what a folder in float32 with `dtype` changed gives), and of weights rounded to the nearest and
stochastically (three seeds); each with float32 arithmetic, and in bfloat16 arithmetic, as from_pretrained loads a
folder whose config.json says bfloat16. Needs torch and transformers.
"""

import argparse
import json
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def read_examples(args):
    tokenizer = AutoTokenizer.from_pretrained(args.base)
    eos = json.loads((args.base / "config.json").read_text())["eos_token_id"]
    examples = []
    for line in args.data.read_text(encoding="utf-8").splitlines()[: args.rows]:
        row = json.loads(line)
        ids = lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]
        completion = ids(row["completion"]) + [eos]
        prompt = ids(row["prompt"])[: args.max_tokens - len(completion)]
        examples.append((prompt + completion, [-100] * len(prompt) + completion))
    return examples


@torch.no_grad()
def loss_of(model, examples):
    total, tokens = 0.0, 0
    for ids, labels in examples:
        logits = model(torch.tensor([ids])).logits[0, :-1].float()
        target = torch.tensor(labels[1:])
        kept = target != -100
        total += torch.nn.functional.cross_entropy(logits[kept], target[kept], reduction="sum").item()
        tokens += int(kept.sum())
    return total / tokens


def stochastic(weights, generator):
    bits = weights.contiguous().view(torch.int32)
    random = torch.randint(0, 1 << 16, bits.shape, dtype=torch.int32, generator=generator)
    return ((bits + random) & -65536).view(torch.float32)


@torch.no_grad()
def scored(args, examples, values):
    result = {}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16))[: 1 if args.float32 else 2]:
        model = AutoModelForCausalLM.from_pretrained(args.base, dtype=dtype)
        for tensor, parameter in model.named_parameters():
            parameter.copy_(values[tensor])
        result[name] = loss_of(model, examples)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=24)
    parser.add_argument("--max-tokens", type=int, default=160)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--float32", action="store_true", help="float32 arithmetic alone")
    parser.add_argument("tuned", type=Path, nargs="+")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    examples = read_examples(args)
    weights = lambda folder: {
        n: p.detach() for n, p in AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).named_parameters()
    }
    before = weights(args.base)
    loss_before = scored(args, examples, before)
    for folder in args.tuned:
        tuned = weights(folder)
        result = {"folder": folder.name, "before": loss_before, "float32": scored(args, examples, tuned)["float32"]}
        result["nearest"] = scored(args, examples, {n: w.to(torch.bfloat16).float() for n, w in tuned.items()})
        for seed in range(3):
            generator = torch.Generator().manual_seed(seed)
            values = {n: w if torch.equal(w, before[n]) else stochastic(w, generator) for n, w in tuned.items()}
            result[f"stochastic, seed {seed}"] = scored(args, examples, values)
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
