#!/usr/bin/env python3
"""Budgets in time: what was planned before the start, and what was spent.

    python3 benchmarks/time_budget.py PROGRAM --train FILE [--dataset NAME] --budgets 30s 2min \\
        [--methods full last:5 lora] [--finetune "--max-tokens 256"] MODEL...

PROGRAM is the greentrainer program, MODEL a folder. Each model is calibrated once, in a cache folder of this script's
own; then every method runs within every budget, with --budget-cuts steps. Prints a Markdown table: seconds planned and
spent as shares of the budget, and spent against planned. Needs Python's standard library alone.
"""

import argparse
import json
import os
import subprocess
import tempfile


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--train", required=True)
    parser.add_argument("--dataset")
    parser.add_argument("--budgets", nargs="+", required=True)
    parser.add_argument("--methods", nargs="+", default=["full", "last:5", "lora"])
    parser.add_argument("--epochs", default="100", help="more than the budgets pay for")
    parser.add_argument("--finetune", default="", help="further options of finetune, in one text")
    return parser.parse_args()


def main():
    args = arguments()
    data = ["--dataset", args.dataset] if args.dataset else []
    print("| model | method | budget, s | steps | planned / budget | spent / budget | spent / planned | ended by |\n"
          "| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "XDG_CACHE_HOME": folder}
        for model in args.models:
            for method in args.methods:
                for number, budget in enumerate(args.budgets):
                    output = os.path.join(folder, f"{method.replace(':', '')}-{number}")
                    command = [args.program, "finetune", "--model", model, "--train", args.train, *data,
                               "--output", output, "--overwrite", "--evaluate", "none", "--save-every", "none",
                               "--json",
                               "--epochs", args.epochs, "--method", method, "--budget", budget,
                               "--budget-cuts", "steps",
                               *args.finetune.split()]
                    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                         env=environment)
                    report = json.loads(run.stdout)
                    seconds, planned = report["budget"]["seconds"], report["budget"]["planned_seconds"]
                    spent = report["budget"]["spent_seconds"]
                    print(f"| {os.path.basename(model.rstrip('/'))} | {method} | {seconds:.0f} "
                          f"| {report['budget']['steps']} | {planned / seconds:.3f} | {spent / seconds:.3f} "
                          f"| {spent / planned:.3f} | {report['budget']['ended']} |", flush=True)


if __name__ == "__main__":
    main()
