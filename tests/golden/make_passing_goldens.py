#!/usr/bin/env python3
"""Gradients that PyTorch computes where residual branches pass the identity: x + branch(x.detach()).

    python3 make_passing_goldens.py models

Reads the tiny models that make_model_goldens.py has made, their texts and labels; writes passing.safetensors beside
them: "grad.NAME" in float64. In the order of the forward pass, branches 1, 4, 7, ... pass gradients exactly, the others
pass the identity. See README.md.
"""

import json
import sys
from pathlib import Path

from safetensors.torch import save_file

from make_model_goldens import double_precision, forward, load_double

NAMES = ["llama-gqa-tied", "opt-post", "bloom", "t5-tied-relu"]


def branches(model):
    """The modules by which residual branches read the stream, in the order of the forward pass."""
    kind = model.config.model_type
    if kind == "llama":
        return [m for layer in model.model.layers for m in (layer.input_layernorm, layer.post_attention_layernorm)]
    if kind == "opt":
        return [m for layer in model.model.decoder.layers for m in (layer.self_attn, layer.fc1)]
    if kind == "bloom":
        return [m for block in model.transformer.h for m in (block.input_layernorm, block.post_attention_layernorm)]
    blocks = [*model.encoder.block, *model.decoder.block]
    return [part.layer_norm for block in blocks for part in block.layer]


def detach_stream(module, arguments, keywords):
    if arguments:
        arguments = (arguments[0].detach(), *arguments[1:])
    else:
        keywords = keywords | {"hidden_states": keywords["hidden_states"].detach()}
    return arguments, keywords


def main():
    folder = Path(sys.argv[1])
    for name in NAMES:
        golden = json.loads((folder / name / "golden.json").read_text())
        with double_precision():
            model = load_double(folder / name)
            for number, module in enumerate(branches(model)):
                if number % 3 != 1:
                    module.register_forward_pre_hook(detach_stream, with_kwargs=True)
            loss, _, _ = forward(model, golden)
            loss.backward()
        assert abs(loss.item() - golden["loss"]) < 1e-12 * golden["loss"], (loss.item(), golden["loss"])
        save_file(
            {f"grad.{n}": p.grad.contiguous() for n, p in model.named_parameters()},
            str(folder / name / "passing.safetensors"),
        )
        print(name, loss.item())


if __name__ == "__main__":
    main()
