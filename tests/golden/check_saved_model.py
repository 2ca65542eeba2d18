#!/usr/bin/env python3
"""Proves by hand that a folder saved by GreenTrainer is one that transformers takes.

    python3 check_saved_model.py SAVED [ORIGINAL] [--tolerance 0]

Fails (exit status 1) on missing, unexpected or mismatched keys. With ORIGINAL, compares logits on a fixed batch too, relative to their
norm: 0 for an untouched copy; a trained folder differs, so give the tolerance that you expect. Needs torch and transformers.
"""

import argparse
import sys
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer


def load(folder):
    # Without ignore_mismatched_sizes a wrong shape raises before it can be listed.
    auto = AutoModelForSeq2SeqLM if AutoConfig.from_pretrained(folder).is_encoder_decoder else AutoModelForCausalLM
    model, loading = auto.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True
    )
    bad = {kind: sorted(map(str, keys)) for kind, keys in loading.items() if keys}
    print(f"{folder}: {sum(p.numel() for p in model.parameters())} parameters, {bad or 'every key accounted for'}")
    return model.eval(), bool(bad)


def logits(model):
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(3, model.config.vocab_size, (2, 16), generator=generator)
    with torch.no_grad():
        return model(input_ids=ids, **({"labels": ids} if model.config.is_encoder_decoder else {})).logits


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("saved", type=Path)
    parser.add_argument("original", type=Path, nargs="?")
    parser.add_argument("--tolerance", type=float, default=0.0)
    args = parser.parse_args()

    saved, failed = load(args.saved)
    ours = logits(saved)
    if not torch.isfinite(ours).all():
        print("logits: not finite")
        failed = True
    if (args.saved / "tokenizer_config.json").exists():
        tokenizer = AutoTokenizer.from_pretrained(args.saved)
        print(f"tokenizer: {len(tokenizer)} tokens, {tokenizer.encode('Once upon a time')}")
    if args.original:
        original, original_failed = load(args.original)
        theirs = logits(original)
        difference = ((ours - theirs).norm() / theirs.norm()).item()
        print(f"logits: |saved - original| / |original| = {difference:.3g}, allowed {args.tolerance:g}")
        failed = failed or original_failed or not difference <= args.tolerance
    print("FAILED" if failed else "ok")
    sys.exit(failed)


if __name__ == "__main__":
    main()
