#!/usr/bin/env python3
"""What kinds of tensors importance metrics favour: a Markdown page from an experiment's report.

    greentrainer plan --model MODEL --json >plan.json
    python3 benchmarks/importance_by_kind.py results/ablations/report.json plan.json \\
      --methods 'paper;first-order' >importance_by_kind.md

Takes the first selection of every run: all metrics and seeds look at the same weights there, at batches of their own.
Shares are means over seeds.
"""

import argparse
import json
from collections import defaultdict

KINDS = [  # first match wins
    ("biases", (".bias",)),
    ("norms", ("norm", "ln_f", "ln_")),
    ("embedding", ("embed", "shared", "lm_head")),
    ("attention q, k", ("q_proj", "k_proj", ".q.", ".k.")),
    ("attention v, o", ("v_proj", "o_proj", "out_proj", "query_key_value", ".v.", ".o.", "dense.")),
    ("feed-forward", ("",)),
]


def kind_of(name):
    return next(kind for kind, parts in KINDS if any(part in name for part in parts))


def ranks(values):
    order = sorted(range(len(values)), key=lambda i: values[i])
    rank = [0.0] * len(values)
    first = 0
    while first < len(order):  # equals share their mean rank
        last = first
        while last + 1 < len(order) and values[order[last + 1]] == values[order[first]]:
            last += 1
        for i in order[first : last + 1]:
            rank[i] = (first + last) / 2
        first = last + 1
    return rank


def spearman(a, b):
    x, y = ranks(a), ranks(b)
    mean = (len(a) - 1) / 2
    covariance = sum((p - mean) * (q - mean) for p, q in zip(x, y))
    return covariance / (sum((p - mean) ** 2 for p in x) * sum((q - mean) ** 2 for q in y)) ** 0.5


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report")
    parser.add_argument("plan")
    parser.add_argument("--methods", help="separated by semicolons (all that choose by importance)")
    args = parser.parse_args()
    with open(args.report, encoding="utf-8") as file:
        report = json.load(file)
    with open(args.plan, encoding="utf-8") as file:
        tensors = json.load(file)["tensors"]
    sizes = {}
    for tensor in tensors:
        size = 1
        for extent in tensor["shape"]:
            size *= extent
        sizes[tensor["name"]] = size
    runs = defaultdict(list)  # method -> first selections
    for cell in report["cells"]:
        selections = cell.get("finetune", {}).get("selections", [])
        wanted = not args.methods or cell["method"] in args.methods.split(";")
        if wanted and selections and selections[0]["importance"]:
            runs[cell["method"]].append(selections[0])

    kinds = [kind for kind, _ in KINDS if any(kind_of(name) == kind for name in sizes)]
    of_kind = {kind: [name for name in sizes if kind_of(name) == kind] for kind in kinds}
    total = sum(sizes.values())
    print("| kind | tensors | of all weights |" + "".join(f" {method}: importance | chosen |" for method in runs))
    print("| --- | ---: | ---: |" + " ---: | ---: |" * len(runs))
    for kind in kinds:
        row = f"| {kind} | {len(of_kind[kind])} | {sum(sizes[n] for n in of_kind[kind]) / total:.1%} |"
        for selections in runs.values():
            share = chosen = 0
            for selection in selections:
                positive = {name: max(0.0, value) for name, value in selection["importance"].items()}
                share += sum(positive[n] for n in of_kind[kind]) / sum(positive.values()) / len(selections)
                chosen += (
                    sum(n in set(selection["names"]) for n in of_kind[kind]) / len(of_kind[kind]) / len(selections)
                )
            row += f" {share:.1%} | {chosen:.0%} |"
        print(row)
    print(
        "\nRank correlation (Spearman) of a tensor's importance with its number of weights, over seeds, and of the "
        "metric with itself between seeds:\n"
    )
    print("| metric | with size | between seeds |\n| --- | ---: | ---: |")
    for method, selections in runs.items():
        names = list(sizes)
        values = [[selection["importance"][n] for n in names] for selection in selections]
        with_size = [spearman(v, [sizes[n] for n in names]) for v in values]
        between = [spearman(values[i], values[j]) for i in range(len(values)) for j in range(i)]
        print(
            f"| {method} | {sum(with_size) / len(with_size):.3f} | "
            f"{f'{sum(between) / len(between):.3f}' if between else ''} |"
        )


if __name__ == "__main__":
    main()
