#!/usr/bin/env python3
"""Kills runs of finetune (kill -9) at random moments and lets the same command go on, until each run ends; its weights
and metrics must then be those of a run that nothing has stopped, byte by byte.

    python3 benchmarks/kill_runs.py PROGRAM --model DIR --train FILE [--kills 200] [--seed 1]

Fields of time in metrics.jsonl are left out of the comparison. The moments are drawn from the duration of the whole
run, so that they fall on loading, training, choosing, saving and writing alike; every third one waits until a save has
begun, so that each of its phases is hit. Everything is written to a temporary folder. Ends with status 1 where a
result differs, or a run fails.
"""

import argparse
import collections
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

METHODS = {
    "full": ["--method", "full"],
    "green, chosen again every 15 steps": ["--method", "green", "--rho", "0.5", "--reselect-every", "15s"],
    "LoRA": ["--method", "lora", "--lora-targets", "all-linear", "--learning-rate", "1e-3"],
}
TIMES = re.compile(rb'"(seconds|tokens_per_second|joules)":[^,]*,')


def digests(folder):
    """What must be equal: every file but the list of hashes, metrics without times."""
    files = {}
    for path in sorted(folder.iterdir()):
        if path.name == "greentrainer-files.json":
            continue
        data = path.read_bytes()
        files[path.name] = hashlib.sha256(TIMES.sub(b"", data) if path.name == "metrics.jsonl" else data).hexdigest()
    return files


def without_times(report):
    """A report without what may differ: times and measured memory."""
    report = json.loads(report)
    for name in ["seconds", "peak_memory_bytes", "energy"]:
        report.pop(name, None)
    report["memory_bytes"].pop("measured_peak")
    report["memory_bytes"].pop("save_copy")  # of this process's saves
    report["flops"].pop("refilled")
    return report


def entries(folder, front):
    """Paths in a folder that may go at any moment, by the beginning of their names."""
    try:
        return [folder / name for name in os.listdir(folder) if name.startswith(front)]
    except FileNotFoundError:
        return []


def phase(output):
    """What a killed run was doing, by what it left."""
    states = pathlib.Path(str(output) + ".states")
    hidden = [p for p in entries(states, ".step-") if ".tmp-" in p.name]
    for folder in hidden:
        names = {p.name for p in folder.iterdir()}
        if any(name.startswith(".greentrainer-files.json.tmp") for name in names) and len(names) > 2:
            return "save: its list"
        for name in ["weights.safetensors", "optimizer.safetensors", "best.safetensors", "state.json"]:
            if any(n.startswith(f".{name}.tmp") for n in names):
                return f"save: {name}"
        return "save: about to be put in place" if "state.json" in names else "save: between files"
    if output.exists():
        return "result in place"
    if any(output.parent.glob(f".{output.name}.tmp-*/model.safetensors")):
        return "result being written"
    return "training" if states.exists() else "before the first save"


def size_of_state(state):
    """Bytes of a state's tensors, and of the whole folder."""
    tensors = 0
    for name in ["weights.safetensors", "optimizer.safetensors", "best.safetensors"]:
        data = (state / name).read_bytes()
        header = int.from_bytes(data[:8], "little")
        tensors += len(data) - 8 - header
    return tensors, sum(p.stat().st_size for p in state.iterdir())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--model", required=True)
    parser.add_argument("--train", required=True)
    parser.add_argument("--dataset")
    parser.add_argument("--max-tokens", type=int, default=96)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--save-every", type=int, default=5)
    parser.add_argument("--kills", type=int, default=200, help="at least so many, over all methods and threads")
    parser.add_argument("--method", choices=METHODS, action="append", help="only these")
    parser.add_argument("--threads", type=int, action="append", help="only so many (1 and 2)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    failures = 0
    phases = collections.Counter()
    total = after_save = 0
    print("| method | threads | runs | kills | after the first save | all bytes equal | tensors of a state | "
          "the rest of it |")
    print("| --- | ---: | ---: | ---: | ---: | --- | ---: | ---: |")
    with tempfile.TemporaryDirectory() as root:
        root = pathlib.Path(root)
        cells = [(method, threads) for method in options.method or METHODS for threads in options.threads or [1, 2]]
        for method, threads in cells:
            command = [options.program, "finetune", "--model", options.model, "--train", options.train, "--steps",
                       str(options.steps), "--batch-size", str(options.batch_size), "--learning-rate", "1e-4",
                       "--max-tokens", str(options.max_tokens), "--json", "--threads", str(threads), "--save-every",
                       str(options.save_every), *METHODS[method]]
            if options.dataset:
                command += ["--dataset", options.dataset]
            if "--learning-rate" in METHODS[method]:
                at = command.index("--learning-rate")
                del command[at:at + 2]
            whole = root / "whole"
            began = time.monotonic()
            run = subprocess.run([*command, "--output", str(whole)], capture_output=True, text=True)
            duration = time.monotonic() - began
            if run.returncode != 0:
                sys.exit(run.stderr)
            expected, report = digests(whole), without_times(run.stdout)
            kills = runs = saved = 0
            equal = True
            sizes = None
            while kills * len(cells) < options.kills:
                runs += 1
                output = root / "killed"
                states = pathlib.Path(str(output) + ".states")
                while True:
                    process = subprocess.Popen([*command, "--output", str(output)], stdout=subprocess.PIPE,
                                               stderr=subprocess.PIPE, text=True)
                    moment = draw.uniform(0.02, 1.0) * duration * draw.choice([0.3, 1.0])
                    until = time.monotonic() + moment
                    while time.monotonic() < until and process.poll() is None:
                        time.sleep(0.002)
                    if draw.random() < 0.34:  # in the middle of a save
                        until = time.monotonic() + duration
                        while process.poll() is None and time.monotonic() < until:
                            if any(".tmp-" in p.name for p in entries(states, ".step-")):
                                time.sleep(draw.uniform(0, 0.012))
                                break
                    process.kill()
                    out, err = process.communicate()
                    if process.returncode == 0:
                        break
                    if process.returncode != -9:
                        print(err, file=sys.stderr)
                        failures += 1
                        break
                    kills += 1
                    where = phase(output)
                    phases[where] += 1
                    saved += where != "before the first save"
                    for state in entries(states, "step-"):
                        if sizes is None and (state / "greentrainer-files.json").exists():
                            sizes = size_of_state(state)
                wrong = []
                if process.returncode == 0:
                    wrong += ["files"] * (digests(output) != expected) + ["report"] * (without_times(out) != report)
                if states.exists():
                    wrong += ["left: " + ", ".join(p.name for p in states.iterdir())]
                same = not wrong
                if wrong:
                    print(method, threads, "threads:", *wrong, "\n", err, file=sys.stderr)
                equal = equal and same
                failures += not same
                shutil.rmtree(output, ignore_errors=True)
                shutil.rmtree(states, ignore_errors=True)
            total += kills
            after_save += saved
            shutil.rmtree(whole)
            tensors, folder = sizes or (0, 0)
            rest = f"{100 * (folder - tensors) / tensors:.2f}%" if tensors else "not seen"
            verdict = "yes" if equal else "NO"
            print(f"| {method} | {threads} | {runs} | {kills} | {saved} | {verdict} | {tensors} | {rest} |", flush=True)
    print(f"\n{total} kills, {after_save} of them after the first save; results that differ, and failures: "
          f"{failures}.\n")
    print("| what a killed run had left behind | kills |\n| --- | ---: |")
    for where, count in sorted(phases.items()):
        print(f"| {where} | {count} |")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
