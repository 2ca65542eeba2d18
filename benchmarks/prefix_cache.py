#!/usr/bin/env python3
"""What caching the frozen part of a model saves: FLOPs and seconds of runs with a cache and without, of one build.

    python3 benchmarks/prefix_cache.py --model SmolLM2-135M --train scitldr/train.jsonl --dataset scitldr \\
        --out /tmp/prefix_cache [--epochs 5] [--rows 200] [--rho 0.5] [--before PROGRAM] [--leave-out RUN,...] \\
        [-- option of finetune...]

Runs, those that are compared one after the other, so that a noisy machine disturbs both:
- full: full fine-tuning, and top-memory: the top five blocks with a cache;
- tensors chosen once, at --rho without a cache, and trained for the whole run: before (by an earlier build, the program
  --before), listed (by this one), listed-memory, listed-disk and listed-bfloat16 (with a cache, equal depth);
- green-once-memory: --rho with a cache; what the budget then buys;
- green-2e and green-2e-memory: a selection every two epochs, without a cache and with one that fills anew.
Prints Markdown tables; rows are relative to the first of their table. A run whose report lies in --out is not repeated.
The program is build/native/bin/greentrainer (scripts/build.sh makes it) or --program. Needs Python's standard library
alone.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile


def arguments():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=os.path.join(root, "build/native/bin/greentrainer"))
    parser.add_argument("--model", required=True)
    parser.add_argument("--train", required=True)
    parser.add_argument("--dataset")
    parser.add_argument("--out", required=True, help="folder for reports")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--rho", type=float, default=0.5)
    parser.add_argument("--top", type=int, default=5, help="blocks of the last pair (5)")
    parser.add_argument("--before", help="the program of an earlier build, to be run beside this one")
    parser.add_argument("--leave-out", default="", help="runs not to make, separated by commas")
    parser.add_argument("finetune", nargs="*", help="further options of finetune, behind --")
    return parser.parse_args()


class Runs:
    def __init__(self, args):
        self.args = args
        os.makedirs(args.out, exist_ok=True)

    def common(self):
        args = self.args
        data = ["--dataset", args.dataset] if args.dataset else []
        return ["--model", args.model, "--train", args.train, "--train-rows", str(args.rows), *data]

    def finetune(self, name, *options, program=None):
        """The report of a run, with the losses of its steps; made unless it is there. None where it is left out."""
        if name in self.args.leave_out.split(","):
            return None
        path = os.path.join(self.args.out, name + ".json")
        if not os.path.exists(path):
            print("running:", name, file=sys.stderr)
            with tempfile.TemporaryDirectory(dir=self.args.out) as folder:
                tuned = os.path.join(folder, "tuned")
                this_build = [] if program else ["--evaluate", "none"]
                command = [program or self.args.program, "finetune", *self.common(), "--output", tuned, "--json",
                           *this_build, *options, *self.args.finetune]
                if "--steps" not in options:
                    command += ["--epochs", str(self.args.epochs)]
                report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
                with open(os.path.join(tuned, "metrics.jsonl"), encoding="utf-8") as metrics:
                    steps = [json.loads(line) for line in metrics]
                steps = [step for step in steps if step["event"] == "step"]
                report["losses"] = [step["loss"] for step in steps]
                report["step_seconds"] = sum(step["seconds"] for step in steps)
            with open(path, "w", encoding="utf-8") as file:
                json.dump(report, file)
        with open(path, encoding="utf-8") as file:
            return json.load(file)

    def planned(self, names, *options):
        more = self.args.finetune
        shared = [x for i, name in enumerate(more) if name in ("--batch-size", "--max-tokens") for x in more[i:i + 2]]
        command = [self.args.program, "plan", *self.common(), "--epochs", str(self.args.epochs), "--tensors",
                   ",".join(names), "--json", *options, *shared]
        run = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return json.loads(run.stdout)["run"]


def seconds(report):
    """Of the steps without the optimizer: passes, batches, and what is read from the cache and written to it."""
    return report["step_seconds"] - report["seconds"]["optimizer"]


def losses(report, other):
    """How the losses of two runs of the same tensors differ."""
    if report is other:
        return ""
    if report["losses"] == other["losses"]:
        return "the same to the bit"
    largest = max(abs(a - b) / b for a, b in zip(report["losses"], other["losses"]))
    return f"within {largest:.0e}"


def lowest_block(report):
    blocks = [int(n) for s in report["selections"] for name in s["names"] for n in re.findall(r"\.(\d+)\.", name)[:1]]
    return min(blocks, default="none")


def row(label, report, base, agreement=""):
    flops, time = report["flops"]["train"], seconds(report)
    return (f"| {label} | {lowest_block(report)} | {flops / 1e12:.3f} | {flops / base['flops']['train']:.3f} "
            f"| {time:.1f} | {time / seconds(base):.3f} | {report['ratio']:.3f} "
            f"| {report.get('cached_bytes', 0) / 2**20:.1f} | {agreement} |")


def table(rows, compared=()):
    """Prints the runs that were made, (label, report), beside the first; losses of those in `compared`, too."""
    rows = [(label, report) for label, report in rows if report]
    if not rows:
        return
    plain = next((report for label, report in rows if label in compared), None)
    print("\n| run | lowest block | TFLOPs | to the first | seconds | to the first | ratio | cached MiB | losses |\n"
          "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |")
    for label, report in rows:
        agreement = losses(report, plain) if label in compared else ""
        print(row(label, report, rows[0][1], agreement))


def main():
    args = arguments()
    runs = Runs(args)
    once = f"{args.epochs}e"
    green = ["--method", "green", "--rho", str(args.rho)]
    cached = ["--prefix-cache", "memory"]
    full = runs.finetune("full", "--method", "full")
    top = runs.finetune("top-memory", "--method", f"last:{args.top}", *cached)
    chosen = runs.finetune("chosen", *green, "--steps", "1")
    names = chosen["selections"][0]["names"]
    listed = ["--method", "listed", "--tensors", ",".join(names)]
    before = runs.finetune("before", *listed, program=args.before) if args.before else None
    plain = runs.finetune("listed", *listed)
    memory = runs.finetune("listed-memory", *listed, *cached)
    disk = runs.finetune("listed-disk", *listed, "--prefix-cache", "disk")
    rounded = runs.finetune("listed-bfloat16", *listed, *cached, "--prefix-cache-type", "bfloat16")
    deeper = runs.finetune("green-once-memory", *green, "--reselect-every", once, *cached)
    often = runs.finetune("green-2e", *green, "--reselect-every", "2e")
    refilled = runs.finetune("green-2e-memory", *green, "--reselect-every", "2e", *cached)

    print(f"{os.path.basename(args.model.rstrip('/'))}, {args.epochs} epochs of {args.rows} rows, rho {args.rho}. "
          "FLOPs are those of forward and backward passes, seconds those of steps without the optimizer; ratio: of "
          "full fine-tuning's FLOPs.")
    same = [("no cache", plain), ("memory", memory), ("disk", disk), ("memory, bfloat16", rounded)]
    table([("the earlier build, no cache", before), *same, ("chosen with the cache priced in, memory", deeper)],
          [label for label, _ in same])
    table([("a selection every two epochs, no cache", often), ("with a cache that fills anew", refilled)])
    table([("full fine-tuning", full), (f"top {args.top} blocks, memory", top)])

    if not memory:
        return 0
    plan = runs.planned(names, *cached)
    agree = plan["total"] == memory["flops"]["train"] and plan["cached_bytes"] == memory["cached_bytes"]
    print(f"\nplan: epochs of {', '.join(f'{flops / 1e12:.3f}' for flops in plan['epochs'])} TFLOPs; FLOPs and cached "
          f"bytes {'are those executed' if agree else 'DIFFER from those executed'}.")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
