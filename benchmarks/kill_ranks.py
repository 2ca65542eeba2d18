#!/usr/bin/env python3
"""Kills one rank of runs of finetune (kill -9, or with --hang kill -STOP) at random moments and lets the same command
go on, until each run ends; its weights and metrics must then be those of a run that nothing has stopped, byte by byte.

    python3 benchmarks/kill_ranks.py PROGRAM --model DIR --train FILE [--ranks 2] [--kills 50] [--hang] [--seed 1]

Every rank must be gone within the time that --rank-timeout and its questions take, or it counts as a hang. Fields of
time in metrics.jsonl are left out of the comparison. Moments are drawn from the duration of the whole run, so that they
fall on the start, loading, training, choosing, saving and writing alike. Everything is written to a temporary folder.
Ends with status 1 where a result differs, a run hangs or fails.
"""

import argparse
import collections
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from kill_runs import digests, phase

RANK_TIMEOUT = 3  # seconds, with --hang; a hung rank is found after it and a second for answers
PATIENCE = 30     # seconds more until what still runs counts as a hang: the machine may be busy


def ranks_of(launcher, program):
    """Processes of the ranks, by rank, of those that have begun."""
    found = {}
    for child in filter(str.isdigit, os.listdir("/proc")):
        try:
            parent = pathlib.Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[1]
            if int(parent) != launcher:
                continue
            if os.path.realpath(f"/proc/{child}/exe") != program:
                continue
            variables = pathlib.Path(f"/proc/{child}/environ").read_bytes()
            found[int(re.search(rb"OMPI_COMM_WORLD_RANK=(\d+)", variables).group(1))] = int(child)
        except (OSError, AttributeError):  # it has just ended, or begun
            pass
    return found


def is_there(process):
    try:
        return pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Run:
    """One start of the command, of which a rank may be lost."""

    def __init__(self, command, program, hang):
        self.program, self.hang = program, hang
        self.said = tempfile.TemporaryFile("w+")  # a pipe that nobody reads would hold the run up
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=self.said)
        self.lost = None

    def lose(self, moment, draw):
        """Loses a random rank at that moment; False where the run was faster."""
        until = time.monotonic() + moment
        while time.monotonic() < until and self.process.poll() is None:
            time.sleep(0.002)
        ranks = {}
        while self.process.poll() is None and not ranks:
            ranks = ranks_of(self.process.pid, self.program)
            time.sleep(0.01)
        if not ranks:
            return False
        self.ranks = list(ranks.values())
        self.lost = draw.choice(sorted(ranks))
        try:
            os.kill(ranks[self.lost], signal.SIGSTOP if self.hang else signal.SIGKILL)
        except ProcessLookupError:
            self.lost = None
        return self.lost is not None

    def end(self, limit):
        """Waits; returns status, stderr and seconds; None for the status of one that hangs."""
        began = time.monotonic()
        try:
            status = self.process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            status = None
            self.process.kill()
            self.process.wait()
        if self.lost is not None:
            until = time.monotonic() + 5  # the launcher ends when it has told the others to
            while any(map(is_there, self.ranks)) and time.monotonic() < until:
                time.sleep(0.01)
            left = [p for p in self.ranks if is_there(p)]
            for p in left:
                os.kill(p, signal.SIGKILL)
            if left:
                status = None
        self.said.seek(0)
        return status, self.said.read(), time.monotonic() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--model", required=True)
    parser.add_argument("--train", required=True)
    parser.add_argument("--dataset")
    parser.add_argument("--max-tokens", type=int, default=96)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--save-every", type=int, default=4)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--hang", action="store_true", help="stop the rank instead of killing it")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--gradient-sums", choices=["fast", "exact"], default="fast")
    options = parser.parse_args()
    program = os.path.realpath(options.program)
    draw = random.Random(options.seed)
    launcher = ["mpirun", "-np", str(options.ranks), "--bind-to", "none", "--oversubscribe", "--allow-run-as-root"]
    command = [*launcher, program, "finetune", "--model", options.model, "--train", options.train, "--steps",
               str(options.steps), "--batch-size", "4", "--max-tokens", str(options.max_tokens), "--learning-rate",
               "1e-4", "--rho", "0.5", "--reselect-every", "8s", "--threads", "1", "--evaluate", "none", "--json",
               "--save-every", str(options.save_every), "--gradient-sums", options.gradient_sums]
    command += ["--dataset", options.dataset] if options.dataset else []
    command += ["--rank-timeout", f"{RANK_TIMEOUT}s"] if options.hang else []
    failures = collections.Counter()
    phases, lost = collections.Counter(), collections.Counter()
    runs = kills = unsaid = 0
    longest = 0.0
    with tempfile.TemporaryDirectory() as root:
        whole, output = pathlib.Path(root) / "whole", pathlib.Path(root) / "killed"
        states = pathlib.Path(str(output) + ".states")
        began = time.monotonic()
        run = subprocess.run([*command, "--output", str(whole)], capture_output=True, text=True)
        duration = time.monotonic() - began
        if run.returncode != 0:
            sys.exit(run.stderr)
        expected = digests(whole)
        while kills < options.kills and runs < 20 * options.kills:
            runs += 1
            while True:
                one = Run([*command, "--output", str(output)], program, options.hang)
                hit = one.lose(draw.uniform(0.05, 1.0) * duration, draw)
                status, said, seconds = one.end(max(duration * 4, RANK_TIMEOUT) + PATIENCE)
                if status == 0:
                    break
                if status is None or not hit:
                    failures["hangs" if status is None else "fails by itself"] += 1
                    print(said, file=sys.stderr)
                    break
                kills += 1
                lost[one.lost] += 1
                phases[phase(output)] += 1
                longest = max(longest, seconds)
                # The launcher names a rank that dies, the others one that hangs; in its first moments a rank is not
                # known to the others, and the launcher may hear of its end from MPI first.
                unsaid += not re.search(rf"rank {one.lost}\b", said)
            if status == 0 and digests(output) != expected:
                failures["results that differ"] += 1
            if status == 0 and states.exists():
                failures["states left behind"] += 1
            shutil.rmtree(output, ignore_errors=True)
            shutil.rmtree(states, ignore_errors=True)
    what = "stopped" if options.hang else "killed"
    print(f"{options.ranks} ranks, {options.gradient_sums} sums: {runs} runs, {kills} ranks {what}; hangs, failures "
          f"and results that differ: {dict(failures) or 'none'}; longest time until all had ended: {longest:.1f} s (a "
          f"whole run: {duration:.1f} s); the lost rank not named: {unsaid}.\n")
    print(f"| rank that was {what} | times |\n| --- | ---: |")
    for rank, count in sorted(lost.items()):
        print(f"| {rank} | {count} |")
    print("\n| what a lost run had left behind | times |\n| --- | ---: |")
    for where, count in sorted(phases.items()):
        print(f"| {where} | {count} |")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
