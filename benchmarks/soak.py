#!/usr/bin/env python3
"""A long run of finetune, watched: memory and open files, as a function of its steps.

    python3 benchmarks/soak.py build/dev/bin/greentrainer --model examples/data/stories260k \\
        --train examples/data/scitldr/scitldr-original.jsonl --dataset scitldr --steps 100000

The run chooses tensors again, evaluates, keeps the best weights and is saved on the way. What a run keeps of each step
(its record, and its line of metrics.jsonl) is told as bytes a step; beyond that memory must be flat, and no file more
may be open at the end than at the beginning. Ends with 1 where that is not so. Python's standard library is enough.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

BYTES_A_STEP = 1024  # of records and lines, vectors' spare room included
SLACK = 16 << 20


def resident(process):
    text = pathlib.Path(f"/proc/{process}/status").read_text()
    return int(re.search(r"VmRSS:\s*(\d+)", text)[1]) * 1024


def steps_done(log):
    found = re.findall(rb"step (\d+)/", log.read_bytes())
    return int(found[-1]) if found else 0


def watch(command, log):
    """Samples of steps, resident bytes and open files, and the exit status."""
    samples = []
    with log.open("wb") as err:
        program = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=err)
        while program.poll() is None:
            time.sleep(0.5)
            try:
                files = len(os.listdir(f"/proc/{program.pid}/fd"))
                samples.append((steps_done(log), resident(program.pid), files))
            except (FileNotFoundError, ProcessLookupError, TypeError):
                pass  # it has just ended
    return [s for s in samples if s[0] > 0], program.returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--model", required=True)
    parser.add_argument("--train", required=True)
    parser.add_argument("--dataset")
    parser.add_argument("--steps", type=int, default=100000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [args.program, "finetune", "--model", args.model, "--train", args.train, "--validation", args.train]
        command += ["--output", f"{folder}/out", "--steps", str(args.steps), "--batch-size", "1", "--max-tokens", "64"]
        command += ["--validation-rows", "8", "--train-rows", "64", "--reselect-every", "50s", "--rho", "0.6"]
        command += ["--evaluate-every", "100s", "--keep-best", "loss", "--save-every", str(max(1, args.steps // 50))]
        command += ["--tensorboard", f"{folder}/events", "--threads", "1"]
        if args.dataset:
            command += ["--dataset", args.dataset]
        samples, status = watch(command, pathlib.Path(folder) / "log")
        if status != 0:
            sys.stderr.write((pathlib.Path(folder) / "log").read_text()[-2000:])
            return 1
    first = samples[len(samples) // 10]
    last = samples[-1]
    grown = last[1] - first[1]
    a_step = grown / max(1, last[0] - first[0])
    # A save has files open for a moment.
    files = [min(s[2] for s in part) for part in (samples[: len(samples) // 10 + 1], samples[-20:])]
    print("| steps | MB at a tenth | MB at the end | bytes a step | open files at first | at the end |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    print(f"| {last[0]} | {first[1] / 1e6:.1f} | {last[1] / 1e6:.1f} | {a_step:.0f} | {files[0]} | {files[1]} |")
    return 0 if grown <= SLACK + BYTES_A_STEP * last[0] and files[1] <= files[0] else 1


if __name__ == "__main__":
    sys.exit(main())
