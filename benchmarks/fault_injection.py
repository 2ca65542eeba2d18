#!/usr/bin/env python3
"""Makes every call of finetune on a file of its output and saved states fail once, each way that it can, and lets the
same command go on: the result must be that of a run that nothing has disturbed, byte by byte.

    python3 benchmarks/fault_injection.py PROGRAM LIBRARY --model DIR --train FILE [--only-states] [--every 1]
    python3 benchmarks/fault_injection.py PROGRAM LIBRARY --model DIR --train FILE --allocations 200

LIBRARY is what tests/fault_injection/fail_calls.cpp builds (libgreentrainer_fail_calls.so). A call that fails must
be told, in a warning with which the run goes on or in the error that it ends with (status 1), with the file's name
and what the system said; interrupted calls and short writes must not be seen at all. Every second run is killed some
calls later (SIGKILL), so that it is what stood before the fault that the next one goes on from. Whatever state is left
must be whole. With --allocations it is an allocation that fails, drawn from those of a save on: then the process may
also be ended by the system (SIGABRT). Ends with status 1 where one of this is not so.
"""

import argparse
import collections
import errno
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

from kill_runs import METHODS, digests, without_times

FAULTS = {
    "open": ["ENOSPC", "EIO", "EINTR"],
    "opendir": ["EIO"],
    "close": ["ENOSPC", "EIO", "EINTR"],
    "read": ["EIO", "EINTR", "short"],
    "pread": ["EIO", "EINTR", "short"],
    "write": ["ENOSPC", "EIO", "EINTR", "short"],
    "pwrite": ["ENOSPC", "EIO", "EINTR", "short"],
    "fsync": ["ENOSPC", "EIO", "EINTR"],
    "ftruncate": ["ENOSPC", "EIO", "EINTR"],
    "mmap": ["ENOMEM"],
    "rename": ["ENOSPC", "EIO"],
    "mkdir": ["ENOSPC", "EIO"],
    "unlink": ["EIO"],
    "rmdir": ["EIO"],
}
NUMBERS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "EINTR": errno.EINTR, "ENOMEM": errno.ENOMEM}


def plain(name):
    """The name of what is written under a temporary one."""
    return re.sub(r"^\.(.*)\.(tmp|old)-\d+-\d+$", r"\1", name)


def is_told(err, path, fault):
    """Whether a line names the file, or the folder it is in, and what the system said."""
    parts = [plain(part) for part in pathlib.Path(path).parts]
    return any(part in line for line in err.splitlines() for part in parts[-2:] if os.strerror(NUMBERS[fault]) in line)


def is_removal(name, path):
    """Calls by which a state is looked for and removed: the next run of this output removes what is left where they
    fail."""
    looks = name in ["open", "read"] and re.search(r"/step-\d+/greentrainer-files.json$", path)
    return name in ["opendir", "unlink", "rmdir"] or ".going-" in path or bool(looks)


def may_be_silent(name, path):
    """Calls that nothing depends on: a lock's text, removals, a file that was read being closed, looking for what
    killed runs have left."""
    return name == "close" or ".output-lock" in path or is_removal(name, path)


def damaged(states):
    """Saved states that are not what their lists say."""
    found = []
    for state in sorted(states.glob("step-*")) if states.exists() else []:
        files = json.loads((state / "greentrainer-files.json").read_text())["files"]
        if any(hashlib.sha256((state / name).read_bytes()).hexdigest() != entry["sha256"]
               for name, entry in files.items()):
            found.append(state.name)
    return found


class Runs:
    """Runs of one command in a folder of their own, undisturbed and disturbed."""

    def __init__(self, options, method, folder):
        self.folder = folder
        self.preloaded = options.preloaded
        self.command = [options.program, "finetune", "--model", options.model, "--train", options.train, "--steps",
                        str(options.steps), "--batch-size", "2", "--max-tokens", "64", "--json", "--threads", "1",
                        "--save-every", str(options.save_every), "--keep", "1", *METHODS[method]]
        if "--reselect-every" in self.command:  # within few steps
            self.command[self.command.index("--reselect-every") + 1] = options.reselect_every
        if "--learning-rate" not in METHODS[method]:
            self.command += ["--learning-rate", "1e-4"]
        if options.dataset:
            self.command += ["--dataset", options.dataset]
        if options.rows:
            self.command += ["--train-rows", options.rows]
        self.below = folder / "tuned.states" if options.only_states else folder
        self.begun = None
        whole = self.logged()
        self.files, self.report = digests(self.output), without_times(whole.stdout)
        if options.resumed:  # from a run that is killed in the middle of its second save
            saves = [i for i, (name, path) in enumerate(self.calls) if name == "mkdir" and "/.step-" in path]
            self.clear()
            self.run(FAIL_CALLS_BELOW=str(self.below), FAIL_CALLS_END=str(saves[1] + 40))
            shutil.copytree(self.folder, folder.parent / "begun", dirs_exist_ok=True)
            self.begun = folder.parent / "begun"
            self.logged()

    def logged(self):
        """An undisturbed run, whose calls are noted."""
        self.clear()
        log = self.folder.parent / "log"
        log.unlink(missing_ok=True)
        whole = self.run(FAIL_CALLS_LOG=str(log), FAIL_CALLS_BELOW=str(self.below))
        if whole.returncode != 0:
            sys.exit(whole.stderr)
        self.calls = [line.split(" ", 2)[1:] for line in log.read_text().splitlines()]
        return whole

    @property
    def output(self):
        return self.folder / "tuned"

    def clear(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.begun:
            shutil.copytree(self.begun, self.folder)
        else:
            self.folder.mkdir()

    def run(self, **environment):
        if environment:
            environment["LD_PRELOAD"] = self.preloaded
        return subprocess.run([*self.command, "--output", str(self.output)], capture_output=True, text=True,
                              env={**os.environ, **environment}, timeout=300)

    def wrong_after(self, outcome, may_end, may_leave=()):
        """What is not as it should be after a disturbed run, and then after one that goes on."""
        wrong = ["damaged: " + name for name in damaged(pathlib.Path(str(self.output) + ".states"))]
        if outcome.returncode not in [0, 1, *may_end]:
            wrong.append(f"status {outcome.returncode}")
        if outcome.returncode == 0:
            last = outcome
        else:
            if self.output.exists() and digests(self.output) != self.files:
                wrong.append("a result that differs in place")
            last = self.run()
            if last.returncode != 0 or "damaged" in last.stderr:
                wrong.append("cannot go on: " + last.stderr)
        if last.returncode == 0 and (digests(self.output) != self.files or without_times(last.stdout) != self.report):
            wrong.append("another result")
        # A rescue may have been killed as well.
        rest = {p.name for p in self.folder.iterdir() if not re.match(r"\.?tuned-rescued", p.name)}
        if rest - set(may_leave) != {"tuned"}:
            wrong.append("left: " + ", ".join(sorted(rest)))
        return wrong


def calls_on_files(runs, options, tell):
    """Each call, each way that it can fail."""
    counts = collections.defaultdict(collections.Counter)
    failures = 0
    points = [(i + 1, name, fault) for i, (name, path) in enumerate(runs.calls) for fault in FAULTS[name]]
    draw = random.Random(options.seed)
    points = points[draw.randrange(options.every)::options.every]
    until = None
    if options.seconds:  # a sample of all
        draw.shuffle(points)
        until = time.monotonic() + options.seconds
    for number, name, fault in points:
        if until and time.monotonic() > until:
            break
        runs.clear()
        killed = draw.random() < 0.5
        log = runs.folder.parent / "log"
        log.unlink(missing_ok=True)
        outcome = runs.run(FAIL_CALLS_BELOW=str(runs.below), FAIL_CALLS_AT=str(number), FAIL_CALLS_WITH=fault,
                           FAIL_CALLS_LOG=str(log), FAIL_CALLS_END=str(draw.randint(1, 150) if killed else 0))
        hit = [line[:-len(" failed")].split(" ", 2)[1:] for line in log.read_text().splitlines()
               if line.endswith(" failed")]
        wrong = [] if hit else ["no call failed"]
        name, path = hit[0] if hit else (name, "")
        quiet = fault in ["EINTR", "short"]
        if quiet and (outcome.returncode == 1 or "warning: " in outcome.stderr):
            wrong.append("it is seen")
        told = not quiet and is_told(outcome.stderr, path, fault)
        if not quiet and not told and outcome.returncode != -9 and not may_be_silent(name, path):
            wrong.append("it is not told")
        wrong += runs.wrong_after(outcome, may_end=[-9] if killed else [],
                                  may_leave=["tuned.states", ".tuned.output-lock"] if is_removal(name, path) else [])
        counts[name][fault] += 1
        counts[name][outcome.returncode] += 1
        counts[name]["told"] += told
        if wrong:
            failures += 1
            tell(f"call {number}, {name} {path}: {fault}:", *wrong, outcome.stderr.splitlines()[-1:])
    return counts, failures


def allocations(runs, options, tell, draw):
    """Allocations of the time from the first save on."""
    counts = collections.Counter()
    failures = 0
    most = 1 << 20
    while most > 1:  # about as many as there are
        runs.clear()
        environment = {"FAIL_CALLS_BELOW": str(runs.below), "FAIL_CALLS_WITH": "ENOMEM", "FAIL_CALLS_MALLOC": "1"}
        if runs.run(**environment, FAIL_CALLS_AT=str(most)).returncode != 0:
            break
        most //= 2
    for _ in range(options.allocations):
        runs.clear()
        # Among the first as often as among the last: a save has few, an evaluation many.
        at = int(2 ** draw.uniform(0, 1 + most.bit_length()))
        outcome = runs.run(**environment, FAIL_CALLS_AT=str(at))
        wrong = runs.wrong_after(outcome, may_end=[-6], may_leave=["tuned.states"])
        counts[outcome.returncode] += 1
        if wrong:
            failures += 1
            tell(f"allocation {at}:", *wrong, outcome.stderr.splitlines()[-1:])
    return counts, failures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("preloaded", metavar="LIBRARY")
    parser.add_argument("--model", required=True)
    parser.add_argument("--train", required=True)
    parser.add_argument("--dataset")
    parser.add_argument("--rows", help="of the training data")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--save-every", type=int, default=1)
    parser.add_argument("--reselect-every", default="2s", help="of the method that chooses again")
    parser.add_argument("--method", choices=METHODS, action="append")
    parser.add_argument("--resumed", action="store_true", help="disturb a run that goes on from a killed one")
    parser.add_argument("--only-states", action="store_true", help="calls on saved states alone, not on the result")
    parser.add_argument("--every", type=int, default=1, help="only every so many of the faults")
    parser.add_argument("--seconds", type=float, help="faults in random order, until so much time is over")
    parser.add_argument("--allocations", type=int, default=0, help="fail so many allocations instead")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.preloaded = str(pathlib.Path(options.preloaded).resolve())
    failures = 0
    with tempfile.TemporaryDirectory() as root:
        for method in options.method or METHODS:
            def tell(*what, method=method):
                print(method, *what, file=sys.stderr, flush=True)

            runs = Runs(options, method, pathlib.Path(root).resolve() / "runs")
            if options.allocations:
                print("| method | allocations | ended with an error | ended by SIGABRT | went on to the end | failures "
                      "|\n| --- | ---: | ---: | ---: | ---: | ---: |")
                counts, failed = allocations(runs, options, tell, random.Random(options.seed))
                print(f"| {method} | {sum(counts.values())} | {counts[1]} | {counts[-6]} | {counts[0]} | {failed} |",
                      flush=True)
            else:
                print("| method | call | faults | told | went on to the end | ended with an error | killed later |\n"
                      "| --- | --- | --- | ---: | ---: | ---: | ---: |")
                counts, failed = calls_on_files(runs, options, tell)
                for name in sorted(counts, key=list(FAULTS).index):
                    ways = ", ".join(f"{fault} {counts[name][fault]}" for fault in FAULTS[name])
                    ends = " | ".join(str(counts[name][end]) for end in ["told", 0, 1, -9])
                    print(f"| {method} | {name} | {ways} | {ends} |", flush=True)
                total = sum(counts[name][fault] for name in counts for fault in FAULTS[name])
                print(f"{method}: {total} faults in {len(runs.calls)} calls, {failed} failures", flush=True)
            failures += failed
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
