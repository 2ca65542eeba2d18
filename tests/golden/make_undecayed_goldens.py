#!/usr/bin/env python3
"""Which tensors of the golden models transformers' Trainer spares from weight decay.

    python3 make_undecayed_goldens.py undecayed.json

Models are made from their config.json alone. See README.md for the file.
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, Trainer

HERE = Path(__file__).resolve().parent


def undecayed(folder):
    config = AutoConfig.from_pretrained(folder)
    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    with torch.device("meta"):
        model = kind.from_config(config)
    decayed = set(Trainer.get_decay_parameter_names(None, model))
    return [name for name, _ in model.named_parameters() if name not in decayed]


def main():
    folders = sorted(p for part in ("models", "architectures") for p in (HERE / part).iterdir() if p.is_dir())
    names = {str(folder.relative_to(HERE)): undecayed(folder) for folder in folders}
    Path(sys.argv[1]).write_text(json.dumps(names, indent=0) + "\n")


if __name__ == "__main__":
    main()
