#!/usr/bin/env python3
"""What data parallelism costs: bytes, scaling on two ranks, a peer, sums of both kinds, throttled links, and what that
comes to on paper for many nodes. Prints Markdown.

    python3 benchmarks/data_parallel.py MPI_STEP [--python PYTHON] [--rounds 3] [--steps 5] [--sequences 16]
    python3 benchmarks/data_parallel.py --paper RATE

MPI_STEP is the program of benchmarks/mpi_step.cpp; PYTHON has torch and transformers (without it: no peer). All
configurations run in turn in every round, so that what else a machine does falls on all of them; the table has the
medians of rounds, and ratios that were taken within a round. RATE: FLOP/s that a node reaches, for --paper alone.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

SHAPE = ["8", "512", "8", "8192"]  # layers, width, heads, vocabulary: 30 million weights
MPIRUN = ["mpirun", "--bind-to", "none", "--oversubscribe", "--allow-run-as-root", "-np"]


def last_json(command):
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(run.stderr)
    return json.loads([line for line in run.stdout.splitlines() if line.startswith("{")][-1])


def configurations(args):
    def ours(ranks, threads, method, sums, rate=0):
        return [*MPIRUN, str(ranks), args.mpi_step, str(threads), str(args.sequences), str(args.tokens),
                str(args.steps), method, sums, str(rate), *SHAPE]

    rows = {
        "1 rank, 2 threads, full": ours(1, 2, "full", "fast"),
        "2 ranks, 1 thread each, full": ours(2, 1, "full", "fast"),
        "1 rank, 2 threads, rho 0.5": ours(1, 2, "rho", "fast"),
        "2 ranks, 1 thread each, rho 0.5": ours(2, 1, "rho", "fast"),
        "2 ranks, full, exact sums": ours(2, 1, "full", "exact"),
        "2 ranks, rho 0.5, exact sums": ours(2, 1, "rho", "exact"),
        "2 ranks, full, link of 1 Gb/s": ours(2, 1, "full", "fast", 1),
        "2 ranks, rho 0.5, link of 1 Gb/s": ours(2, 1, "rho", "fast", 1),
    }
    if args.python:
        peer = str(pathlib.Path(__file__).with_name("peer_ddp.py"))
        rows["DDP with gloo, 2 processes, 1 thread each, full"] = [
            args.python, peer, "2", "1", str(args.sequences), str(args.tokens), str(args.steps), *SHAPE]
    return rows


def measure(args):
    rows = configurations(args)
    if args.only:
        rows = {name: command for name, command in rows.items() if args.only in name}
    taken = {name: [] for name in rows}
    for _ in range(args.rounds):
        for name, command in rows.items():
            taken[name].append(last_json(command))
    print(f"{args.sequences} sequences of {args.tokens} tokens in a step of all ranks; {args.rounds} rounds of "
          f"{args.steps} steps; load of the machine at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.\n")
    print("| run | s a step | processor s a step | tokens/s | MB sent a step by a rank | planned | s in exchanges |\n"
          "| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, runs in taken.items():
        middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        sent = middle.get("sent")
        exact = 4 if "exact" in name else 1
        planned = middle["gradient_bytes"] * exact if middle["ranks"] > 1 else 0
        print(f"| {name} | {middle['seconds']:.2f} | {middle['processor_seconds']:.2f} "
              f"| {middle['tokens'] / middle['seconds']:.0f} "
              f"| {'not counted' if sent is None else f'{sent / 1e6:.3f}'} | {planned / 1e6:.3f} "
              f"| {middle.get('exchange_seconds', float('nan')):.2f} |")
    print("\n| ratio of tokens/s, within rounds | median | all | by processor time |\n| --- | ---: | --- | ---: |")

    def ratio(text, one, other):
        if one not in taken or other not in taken:
            return
        values = [b["seconds"] / a["seconds"] for a, b in zip(taken[one], taken[other])]
        processor = statistics.median(b["processor_seconds"] / a["processor_seconds"]
                                      for a, b in zip(taken[one], taken[other]))
        print(f"| {text} | {statistics.median(values):.2f} | {', '.join(f'{v:.2f}' for v in values)} "
              f"| {processor:.2f} |")

    full, rho = "2 ranks, 1 thread each, full", "2 ranks, 1 thread each, rho 0.5"
    ratio("2 ranks to 1 with two threads, full", full, "1 rank, 2 threads, full")
    ratio("2 ranks to 1 with two threads, rho 0.5", rho, "1 rank, 2 threads, rho 0.5")
    ratio("exact to fast sums, full", "2 ranks, full, exact sums", full)
    ratio("exact to fast sums, rho 0.5", "2 ranks, rho 0.5, exact sums", rho)
    ratio("ours to DDP, full", full, "DDP with gloo, 2 processes, 1 thread each, full")
    ratio("ours at rho 0.5 to DDP", rho, "DDP with gloo, 2 processes, 1 thread each, full")
    print("\n| throttled | s of the link a step | s waited for it | hidden |\n| --- | ---: | ---: | ---: |")
    for name, runs in taken.items():
        link, waited = (statistics.median(run.get(key, 0) for run in runs)
                        for key in ["link_seconds", "waited_seconds"])
        if link > 0:
            print(f"| {name} | {link:.2f} | {waited:.2f} | {100 * (1 - waited / link):.0f}% |")


def paper(rate):
    """Formulae in docs/decisions/0035 and the results; seconds of a step."""
    shapes = {"OPT-2.7B": 2.65e9, "Llama, 8B": 8.03e9}
    latency = {25: 20e-6, 400: 5e-6}
    print("| shape | tokens a rank | link, Gb/s | method | bucket | s computing | s on the link, 2 / 32 / 1024 nodes "
          "| of linear scaling, 2 / 32 / 1024 nodes |\n| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |")
    for shape, weights in shapes.items():
        for tokens in [2048, 16384]:
            for link in [25, 400]:
                for method, share, backward, bucket in [("full", 1.0, 4, 2**20), ("full", 1.0, 4, 2**26),
                                                        ("rho 0.5", 0.25, 1, 2**20), ("rho 0.5", 0.25, 1, 2**26)]:
                    forward_s, backward_s = 2 * weights * tokens / rate, backward * weights * tokens / rate
                    on_link, kept = [], []
                    for nodes in [2, 32, 1024]:
                        gradients = 4 * share * weights
                        buckets = -(-gradients // (4 * bucket))
                        seconds = (2 * (nodes - 1) / nodes * gradients / (link * 1e9 / 8)
                                   + buckets * 2 * (nodes - 1) * latency[link])
                        on_link.append(f"{seconds:.2f}")
                        step = forward_s + max(backward_s, seconds) + seconds / buckets
                        kept.append(f"{100 * (forward_s + backward_s) / step:.0f}%")
                    print(f"| {shape} | {tokens} | {link} | {method} | 2^{bucket.bit_length() - 1} "
                          f"| {forward_s + backward_s:.2f} | {' / '.join(on_link)} | {' / '.join(kept)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mpi_step", nargs="?")
    parser.add_argument("--python")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--sequences", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--only", help="configurations whose names have this in them")
    parser.add_argument("--paper", type=float)
    args = parser.parse_args()
    if args.paper:
        paper(args.paper)
    elif args.mpi_step:
        measure(args)
    else:
        parser.error("expected MPI_STEP or --paper")


if __name__ == "__main__":
    main()
