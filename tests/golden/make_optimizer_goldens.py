#!/usr/bin/env python3
"""What torch.optim's optimizers, and lion-pytorch's, make of a matrix and a vector in twelve steps of other gradients.

    python3 make_optimizer_goldens.py optimizers.json

In double precision, with weight decay; gradients shrink over the steps, and one row of the matrix has none. See
README.md for the file.
"""

import json
import sys
from pathlib import Path

import torch
from lion_pytorch import Lion

STEPS = 12
CASES = {
    "adamw": (torch.optim.AdamW, {"lr": 1e-2, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1}),
    "sgd": (torch.optim.SGD, {"lr": 1e-2, "weight_decay": 0.1}),
    "sgd_momentum": (torch.optim.SGD, {"lr": 1e-2, "momentum": 0.9, "weight_decay": 0.1}),
    "lion": (Lion, {"lr": 1e-2, "betas": (0.9, 0.99), "weight_decay": 0.1, "use_triton": False}),
    "rmsprop": (torch.optim.RMSprop, {"lr": 1e-2, "alpha": 0.9, "eps": 1e-8, "weight_decay": 0.1}),
    "rmsprop_momentum": (torch.optim.RMSprop, {"lr": 1e-2, "alpha": 0.9, "momentum": 0.8, "weight_decay": 0.1}),
    "adagrad": (torch.optim.Adagrad, {"lr": 1e-2, "lr_decay": 0.1, "eps": 1e-10, "weight_decay": 0.1}),
    "adafactor": (torch.optim.Adafactor, {"lr": 1e-2, "weight_decay": 0.1}),
    "adafactor_fast": (torch.optim.Adafactor, {"lr": 0.5, "beta2_decay": -0.5, "eps": (1e-3, 1e-3), "d": 2.0}),
}


def main():
    generator = torch.Generator().manual_seed(7)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64).mul(1024).round().div(1024)
    start = [draw(3, 5), draw(5)]
    gradients = [[draw(3, 5), draw(5)] for _ in range(STEPS)]
    for step, pair in enumerate(gradients):
        pair[0][1] = 0
        for gradient in pair:
            gradient.mul_(0.5**step)
    golden = {"start": [t.tolist() for t in start], "gradients": [[t.tolist() for t in g] for g in gradients]}
    for name, (kind, options) in CASES.items():
        parameters = [torch.nn.Parameter(t.clone()) for t in start]
        optimizer = kind(parameters, **options)
        for pair in gradients:
            for parameter, gradient in zip(parameters, pair):
                parameter.grad = gradient.clone()
            optimizer.step()
        state = optimizer.state[parameters[0]], optimizer.state[parameters[1]]
        kept = [{k: v.tolist() for k, v in s.items() if torch.is_tensor(v) and v.dim() > 0} for s in state]
        golden[name] = {"end": [p.tolist() for p in parameters], "state": kept}
    text = json.dumps(golden)
    Path(sys.argv[1]).write_text(text.replace('], "', '],\n"').replace('}, "', '},\n"') + "\n")


if __name__ == "__main__":
    main()
