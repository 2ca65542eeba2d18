#!/usr/bin/env python3
"""Losses and gradients of two small networks on dense rows and on means of rows, in float64.

    python3 make_dense_goldens.py dense.json

Weights and inputs are multiples of 1/16, which every float type holds. See README.md for the file.
"""

import json
import sys
from pathlib import Path

import torch

torch.manual_seed(7)
torch.set_default_dtype(torch.float64)


def draw(*shape):
    return (torch.randint(-24, 25, shape) / 16).requires_grad_()


def golden(weights, loss, **inputs):
    loss.backward()
    return {
        **inputs,
        "weights": {name: weight.flatten().tolist() for name, weight in weights.items()},
        "loss": loss.item(),
        "gradients": {name: weight.grad.flatten().tolist() for name, weight in weights.items()},
    }


def regression():
    names = {"hidden.weight": (4, 3), "hidden.bias": (4,), "output.weight": (2, 4), "output.bias": (2,)}
    w = {name: draw(*shape) for name, shape in names.items()}
    x, y = draw(5, 3).detach(), draw(5, 2).detach()
    hidden = torch.tanh(torch.nn.functional.linear(x, w["hidden.weight"], w["hidden.bias"]))
    predictions = torch.nn.functional.linear(hidden, w["output.weight"], w["output.bias"])
    loss = torch.nn.functional.mse_loss(predictions, y)
    return golden(w, loss, features=x.tolist(), targets=y.tolist())


def classification():
    names = {"tokens.weight": (6, 4), "hidden.weight": (4, 4), "score.weight": (3, 4)}
    w = {name: draw(*shape) for name, shape in names.items()}
    ids, labels = [[1, 4, 2], [5], [0, 3, 3, 1]], [2, 0, 1]
    means = []
    for sequence in ids:
        x = torch.nn.functional.embedding(torch.tensor(sequence), w["tokens.weight"])
        means.append(torch.tanh(torch.nn.functional.linear(x, w["hidden.weight"])).mean(dim=0))
    logits = torch.nn.functional.linear(torch.stack(means), w["score.weight"])
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(labels))
    return golden(w, loss, ids=ids, labels=labels)


def main():
    goldens = {"regression": regression(), "classification": classification()}
    Path(sys.argv[1]).write_text(json.dumps(goldens, indent=0) + "\n")


if __name__ == "__main__":
    main()
