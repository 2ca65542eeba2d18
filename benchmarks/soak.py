#!/usr/bin/env python3
"""A long run of finetune, watched: memory and open files, as a function of its steps.

    python3 benchmarks/soak.py build/dev/bin/greentrainer --model examples/data/stories260k \\
        --train examples/data/scitldr/scitldr-original.jsonl --dataset scitldr --steps 100000

The run chooses tensors again, evaluates, keeps the best weights and is saved on the way. Memory is what the process has
of its own (RssAnon): pages of files, such as of libraries that are unloaded when it ends, do not count. At a tenth of
the run and before its end it is the median of samples, which saves seldom meet; the most of all is told besides. A run
keeps a record of each step and of each choice of tensors, told as bytes a step; beyond that memory must be flat, and no
file more may be open at the end than at the beginning. Ends with 1 where that is not so. Python's standard library is
enough.
"""

import argparse
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

BYTES_A_STEP = 1024  # of records, and of copies of them while a run is saved and when it ends
SLACK = 16 << 20


def resident(process):
    text = pathlib.Path(f"/proc/{process}/status").read_text()
    return int(re.search(r"RssAnon:\s*(\d+)", text)[1]) * 1024


def steps_done(log):
    found = re.findall(rb"step (\d+)/", log.read_bytes())
    return int(found[-1]) if found else 0


def watch(command, log):
    """Samples of steps, resident bytes and open files, and the exit status."""
    samples = []
    with log.open("wb") as err:
        program = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=err)
        while program.poll() is None:
            time.sleep(0.1)
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
    steps = samples[-1][0]
    running = [s for s in samples if s[0] < steps]
    tenth = len(running) // 10 + 1
    early, late = running[tenth : 2 * tenth], running[-tenth:]
    first, last = (statistics.median(s[1] for s in part) for part in (early, late))
    first_files, last_files = (min(s[2] for s in part) for part in (early, late))  # a save opens some for a moment
    most = max(s[1] for s in samples)
    a_step = (last - first) / (0.8 * steps)
    print("| steps | MB at a tenth | MB at the end | bytes a step | MB at most | open files at first | at the end |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    print(f"| {steps} | {first / 1e6:.1f} | {last / 1e6:.1f} | {a_step:.0f} | {most / 1e6:.1f}", end="")
    print(f" | {first_files} | {last_files} |")
    return 0 if most - first <= SLACK + BYTES_A_STEP * steps and last_files <= first_files else 1


if __name__ == "__main__":
    sys.exit(main())
