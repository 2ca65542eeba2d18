#!/usr/bin/env python3
"""What share of a run's time choosing tensors takes, by how importance is taken: fine-tunes a model on the same rows
with the paper's metric, the first-order one, and the first-order one from the gradients of a training step
(--importance-step), and prints the seconds of their reports as shares of each run's own total.

    python3 benchmarks/choosing_share.py PROGRAM OUTPUT --model DIR --train FILE [option of finetune...]

PROGRAM is the greentrainer program, OUTPUT a folder for the runs, which must not exist. Other options are passed on.
Evaluations are left out of the runs and loading out of the totals. Needs Python 3, its standard library alone."""

import json
import pathlib
import subprocess
import sys

METRICS = {
    "first-order, in a step": ["--importance", "first-order", "--importance-step"],
    "first-order": ["--importance", "first-order"],
    "paper": ["--importance", "paper"],
}


def main(arguments):
    if len(arguments) < 3:
        sys.exit(__doc__)
    program, output, options = arguments[0], pathlib.Path(arguments[1]), arguments[2:]
    output.mkdir(parents=True)
    print("| importance | steps | selections | ratio | ratio, importance included | importance | selecting | both |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for number, (name, chosen) in enumerate(METRICS.items()):
        command = [program, "finetune", *options, *chosen, "--evaluate", "none", "--json", "--output",
                   str(output / f"{number}")]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        report = json.loads(done.stdout)
        (output / f"{number}.json").write_text(json.dumps(report, indent=1))
        seconds, flops = report["seconds"], report["flops"]
        total = sum(seconds[part] for part in ("importance", "selection", "forward", "backward", "optimizer"))
        share = {part: 100 * seconds[part] / total for part in ("importance", "selection")}
        with_importance = (flops["train"] + flops["importance"]) / flops["full"]
        print(f"| {name} | {report['steps']} | {len(report['selections'])} | {report['ratio']:.4f} | "
              f"{with_importance:.4f} | {share['importance']:.2f}% | {share['selection']:.3f}% | "
              f"{share['importance'] + share['selection']:.2f}% |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
