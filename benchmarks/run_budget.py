#!/usr/bin/env python3
"""What runs with a budget plan and spend, as a Markdown table: several methods and budgets on one model and data set.

    python3 benchmarks/run_budget.py PROGRAM --model DIR --train FILE [--dataset NAME] [--rows N] [--epochs E]

FLOPs are exact, whatever else the machine does. Everything is written to a temporary folder.
"""

import argparse
import json
import subprocess
import tempfile

METHODS = {
    "full": ["--method", "full"],
    "last 2 blocks": ["--method", "top2"],
    "LoRA on all linear layers": ["--method", "auto"],
    "GreenTrainer, rho 0.5, twice an epoch": ["--method", "green", "--rho", "0.5", "--reselect-every", "STEPSs"],
    "GreenTrainer, rho 0.7, first-order": ["--method", "green", "--rho", "0.7", "--importance", "first-order"],
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--model", required=True)
    parser.add_argument("--train", required=True)
    parser.add_argument("--dataset")
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--max-tokens", type=int, default=160)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--budgets", nargs="+", default=["0.25x", "0.5x", "0.7x"])
    options = parser.parse_args()
    steps = str(max(1, options.rows // options.batch_size // 2))
    common = ["--model", options.model, "--train", options.train, "--train-rows", str(options.rows), "--epochs",
              str(options.epochs), "--batch-size", str(options.batch_size), "--max-tokens", str(options.max_tokens),
              "--evaluate", "none", "--json"]
    if options.dataset:
        common += ["--dataset", options.dataset]

    print("| method | budget | cut | steps x batch | planned / budget | spent / budget | planned = spent |")
    print("| --- | ---: | --- | ---: | ---: | ---: | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for name, method in METHODS.items():
            for budget in options.budgets:
                for cuts in ["batch", "steps"]:
                    command = [options.program, "finetune", *common, *[m.replace("STEPS", steps) for m in method],
                               "--budget", budget, "--budget-cuts", cuts, "--output", f"{folder}/out", "--overwrite"]
                    run = subprocess.run(command, capture_output=True, text=True)
                    if run.returncode != 0:
                        print(f"| {name} | {budget} | {cuts} | refused: {run.stderr.strip().splitlines()[-1]} | | | |")
                        continue
                    report = json.loads(run.stdout)
                    plan, flops = report["budget"], report["flops"]
                    spent = flops["train"] + flops["importance"] + flops["optimizer"]
                    assert spent == plan["spent"] <= plan["planned"] <= plan["flops"], (command, plan)
                    assert report["steps"] == plan["steps"] and plan["ended"] == "steps", (command, plan)
                    same = "yes" if spent == plan["planned"] else "at most" if not plan["exact"] else "NO"
                    print(f"| {name} | {budget} | {cuts} | {plan['steps']} x {plan['batch_size']} | "
                          f"{plan['planned'] / plan['flops']:.4f} | {spent / plan['flops']:.4f} | {same} |")


if __name__ == "__main__":
    main()
