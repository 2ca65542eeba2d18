#!/usr/bin/env python3
"""Proves by hand that an adapter saved by GreenTrainer is one that peft takes, and that it computes the same with it.

    greentrainer finetune --model MODEL --train DATA --output ADAPTER --method prefix ...        # or --method lora --adapter-output peft
    greentrainer evaluate --model ADAPTER --data DATA --json >evaluation.json
    python3 check_saved_adapter.py MODEL ADAPTER DATA evaluation.json

DATA is JSON lines of "input_ids" and "labels". Fails (exit status 1) where peft misses or does not
know a tensor, or where the loss of a line differs by more than --tolerance. Needs torch, transformers and peft.
"""

import argparse
import json
import sys
import warnings
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM


def load(model_folder, adapter):
    seq2seq = json.loads((model_folder / "config.json").read_text()).get("is_encoder_decoder")
    auto = AutoModelForSeq2SeqLM if seq2seq else AutoModelForCausalLM
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # peft warns of missing keys
        model = PeftModel.from_pretrained(auto.from_pretrained(model_folder, dtype=torch.float32), adapter).eval()
    saved = load_file(adapter / "adapter_model.safetensors")
    state = {name.replace(".default.", "."): value for name, value in model.state_dict().items()}
    unknown = [
        name
        for name in saved
        if name != "prompt_embeddings" and not torch.equal(state.get(name, torch.empty(0)), saved[name])
    ]
    if "prompt_embeddings" in saved and not torch.equal(
        model.prompt_encoder["default"].embedding.weight, saved["prompt_embeddings"]
    ):
        unknown.append("prompt_embeddings")
    print(f"{adapter}: {len(saved)} tensors, {unknown or 'every one in its place'}")
    return model, seq2seq, bool(unknown)


def losses(model, seq2seq, lines):
    for line in lines:
        ids = torch.tensor([line["input_ids"]])
        labels = torch.tensor([line["labels"]])
        with torch.no_grad():
            out = model(input_ids=ids, attention_mask=torch.ones_like(ids), **({"labels": labels} if seq2seq else {}))
        scores, targets = (out.logits[0], labels[0]) if seq2seq else (out.logits[0, :-1], labels[0, 1:])
        yield torch.nn.functional.cross_entropy(scores, targets, ignore_index=-100).item()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("adapter", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("evaluation", type=Path)
    parser.add_argument("--tolerance", type=float, default=1e-5, help="of a line's loss, relative")
    args = parser.parse_args()

    model, seq2seq, failed = load(args.model, args.adapter)
    lines = [json.loads(line) for line in args.data.read_text().splitlines() if line.strip()]
    ours = {example["line"]: example["loss"] for example in json.loads(args.evaluation.read_text())["examples"]}
    worst = 0.0
    for number, theirs in enumerate(losses(model, seq2seq, lines), start=1):
        worst = max(worst, abs(ours[number] - theirs) / theirs)
    print(f"{len(lines)} lines: losses differ by at most {worst:.3g} of theirs, allowed {args.tolerance:g}")
    failed = failed or not worst <= args.tolerance
    print("FAILED" if failed else "ok")
    sys.exit(failed)


if __name__ == "__main__":
    main()
