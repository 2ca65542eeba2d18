#!/usr/bin/env python3
"""How much of its gain each run of an experiment lost when its model was saved.

    python3 rounding_in_reports.py benchmarks/results/experiments/tune_scitldr/report.json

Reads the report.json of an experiment whose validation rows are the first rows that `evaluate` scored in the saved
folder, cut at the same number of tokens: for these rows the report has both the loss of the weights in memory
(finetune's loss_after, of versions that reported this) and that of the folder. Python's standard library is enough.
"""

import json
import sys


def main():
    report = json.load(open(sys.argv[1], encoding="utf-8"))
    print("| run | before | in memory | as saved | lost of the gain |\n| --- | ---: | ---: | ---: | ---: |")
    for run in report["runs"] if "runs" in report else report["cells"]:
        if "finetune" not in run:
            continue
        train, score = run["commands"][0].split(), run["commands"][-1].split()
        option = lambda words, name: words[words.index(name) + 1]
        rows = option(train, "--validation-rows")
        if ":" in rows or ":" in option(score, "--rows") or option(train, "--validation") != option(score, "--data"):
            raise SystemExit(f"{sys.argv[1]}: the rows of --validation are not the first that were scored")
        examples = run["evaluate"]["examples"][: int(rows)]
        tokens = sum(e["tokens"] for e in examples)
        saved = sum(e["loss"] * e["tokens"] for e in examples) / tokens
        before, after = run["finetune"]["loss_before"], run["finetune"]["loss_after"]
        lost = 100 * (saved - after) / (before - after)
        print(f"| {run['method']} | {before:.4f} | {after:.4f} | {saved:.4f} | {lost:.1f}% |")


if __name__ == "__main__":
    main()
