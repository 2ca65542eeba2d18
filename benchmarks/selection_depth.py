#!/usr/bin/env python3
"""How deep into the model selections reach, how wide they are, and what they score: a Markdown table from
experiments' reports.

    python3 benchmarks/selection_depth.py results/xquad/report.json results/dialogsum/report.json --ratio 0.45 0.55

One line a run whose FLOPs ratio lies between the two: tensors trained by the first selection, blocks that these lie in,
the lowest of them.
"""

import argparse
import json
import re


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", nargs="+")
    parser.add_argument("--ratio", nargs=2, type=float, default=(0.0, 1.0), metavar=("LEAST", "MOST"))
    args = parser.parse_args()
    print(
        "| experiment | method | seed | tensors | blocks | lowest block | loss | score |\n"
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    )
    for path in args.reports:
        with open(path, encoding="utf-8") as file:
            report = json.load(file)
        for cell in report["cells"]:
            selections = cell.get("finetune", {}).get("selections", [])
            if not selections or not args.ratio[0] <= cell["finetune"]["ratio"] <= args.ratio[1]:
                continue
            names = selections[0]["names"]
            blocks = {int(number) for name in names for number in re.findall(r"\.(\d+)\.", name)[:1]}
            score = cell["evaluate"]
            for key in report["score"].split("."):
                score = score[key]
            print(
                f"| {report['name']} | {cell['method']} | {cell['seed']} | {len(names)} | {len(blocks)} "
                f"| {min(blocks, default='')} "
                f"| {cell['evaluate']['loss']:.3f} | {score:.3f} |"
            )


if __name__ == "__main__":
    main()
