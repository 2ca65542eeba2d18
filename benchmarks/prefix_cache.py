#!/usr/bin/env python3
"""What caching the frozen part of a model saves: FLOPs and seconds of runs with a cache and without, of one build.

    python3 benchmarks/prefix_cache.py --model SmolLM2-135M --train scitldr/train.jsonl --dataset scitldr \\
        --out /tmp/prefix_cache [--epochs 5] [--rows 200] [--rho 0.5] [-- option of finetune...]

Runs, the two of a pair one after the other, so that a noisy machine disturbs both:
- one selection for the run, chosen at --rho without a cache; the same tensors again with one, in memory, on disk, and
  in bfloat16: equal depth;
- --rho with a cache: what the budget then buys;
- a selection every two epochs, with a cache and without: the cache fills anew;
- full fine-tuning, and the top five blocks with a cache.
Prints Markdown tables. A run whose report lies in --out is not repeated. The program is build/native/bin/greentrainer
(scripts/build.sh makes it) or --program. Needs Python's standard library alone.
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
    parser.add_argument("finetune", nargs="*", help="further options of finetune, behind --")
    return parser.parse_args()


class Runs:
    def __init__(self, args):
        self.args = args
        os.makedirs(args.out, exist_ok=True)

    def common(self):
        args = self.args
        data = ["--dataset", args.dataset] if args.dataset else []
        return ["--model", args.model, "--train", args.train, "--train-rows", str(args.rows), *data,
                "--epochs", str(args.epochs)]

    def finetune(self, name, *options):
        """The report of a run, with the losses of its steps; made unless it is there."""
        path = os.path.join(self.args.out, name + ".json")
        if not os.path.exists(path):
            print("running:", name, file=sys.stderr)
            with tempfile.TemporaryDirectory(dir=self.args.out) as folder:
                tuned = os.path.join(folder, "tuned")
                command = [self.args.program, "finetune", *self.common(), "--output", tuned, "--evaluate", "none",
                           "--json", *options, *self.args.finetune]
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
        command = [self.args.program, "plan", *self.common(), "--tensors", ",".join(names), "--json", *options, *shared]
        run = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return json.loads(run.stdout)["run"]


def seconds(report):
    """Of the steps without the optimizer: passes, batches, and what is read from the cache and written to it."""
    return report["step_seconds"] - report["seconds"]["optimizer"]


def losses(report, other):
    """How the losses of two runs of the same tensors differ."""
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
            f"| {report['cached_bytes'] / 2**20:.1f} | {agreement} |")


def main():
    args = arguments()
    runs = Runs(args)
    once = f"{args.epochs}e"
    green = ["--method", "green", "--rho", str(args.rho)]
    chosen = runs.finetune("green-once", *green, "--reselect-every", once)
    names = chosen["selections"][0]["names"]
    listed = ["--method", "listed", "--tensors", ",".join(names)]
    plain = runs.finetune("listed", *listed)
    memory = runs.finetune("listed-memory", *listed, "--prefix-cache", "memory")
    disk = runs.finetune("listed-disk", *listed, "--prefix-cache", "disk")
    rounded = runs.finetune("listed-bfloat16", *listed, "--prefix-cache", "memory", "--prefix-cache-type", "bfloat16")
    deeper = runs.finetune("green-once-memory", *green, "--reselect-every", once, "--prefix-cache", "memory")
    often = runs.finetune("green-2e", *green, "--reselect-every", "2e")
    refilled = runs.finetune("green-2e-memory", *green, "--reselect-every", "2e", "--prefix-cache", "memory")
    full = runs.finetune("full", "--method", "full")
    top = runs.finetune("top-memory", "--method", f"last:{args.top}", "--prefix-cache", "memory")

    head = ("| run | lowest block | TFLOPs | to the first | seconds | to the first | ratio | cached MiB | losses |\n"
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |")
    print(f"{os.path.basename(args.model.rstrip('/'))}, {args.epochs} epochs of {args.rows} rows, rho {args.rho}. "
          "FLOPs are those of forward and backward passes, seconds those of steps without the optimizer; ratio: of "
          "full fine-tuning's FLOPs.\n")
    print(head)
    print(row("one selection, no cache", plain, plain))
    for label, report in [("- the same tensors, memory", memory), ("- the same tensors, disk", disk),
                          ("- the same tensors, memory, bfloat16", rounded)]:
        print(row(label, report, plain, losses(report, plain)))
    print(row("- chosen with the cache priced in", deeper, plain))
    print(f"\n{head}")
    print(row("a selection every two epochs, no cache", often, often))
    print(row("- with a cache that fills anew", refilled, often))
    print(f"\n{head}")
    print(row("full fine-tuning", full, full))
    print(row(f"- top {args.top} blocks, memory", top, full))

    plan = runs.planned(names, "--prefix-cache", "memory")
    agree = plan["total"] == memory["flops"]["train"] and plan["cached_bytes"] == memory["cached_bytes"]
    print(f"\nplan: epochs of {', '.join(f'{flops / 1e12:.3f}' for flops in plan['epochs'])} TFLOPs; FLOPs and cached "
          f"bytes {'are those executed' if agree else 'DIFFER from those executed'}.")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
