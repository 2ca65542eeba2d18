#!/usr/bin/env python3
"""Training steps of greentrainer beside PyTorch's, in turn, on this machine: time, share of peak, peak memory.

    bash scripts/build.sh build/native -DCMAKE_BUILD_TYPE=Release -DGREENTRAINER_NATIVE=ON -- greentrainer_program
    python3 -m venv peer && peer/bin/pip install torch==2.15.0 transformers==5.24.0
    peer/bin/python benchmarks/peer_pytorch.py build/native/bin/greentrainer --output peer.json \\
        --model smollm2-135m --scitldr SciTLDR-A/train.jsonl        # for the case scitldr; the others need no files

Each run is a process of its own. A round has every run of a case once; --repeats rounds follow each other. Both sides
read the same weights and the same token ids in the same order, at a constant learning rate, so that their losses must
agree, and how well they do is said. A step: batch, forward, backward, AdamW. The first step of a run warms up. Seconds
are the mean over the other steps of the best (median) of the rounds. Peak memory is the largest resident set of the
whole process, loading and (ours) saving included; "before saving" is what it was until the last step, "planned" is what
the program foretold. "Careful" PyTorch: padded to the batch's longest, no mask where nothing is padded,
scaled_dot_product_attention, requires_grad on the trained tensors alone; all PyTorch here has the fused AdamW.
What this build of the program does not have yet is reported as not there. Peak GFLOP/s: `greentrainer doctor`, the best
of the rounds. The cases:

    step        OPT-125M's shape, everything trained, float32
    bf16        the same in bfloat16, PyTorch under autocast
    rho         the same shape, half of the FLOPs against all
    scitldr     SmolLM2-135M on SciTLDR, rho 0.5, beside careful PyTorch and the published way
    memory      peak memory at rho 0.5, with and without frozen weights in 4 bits
    large       peak memory of 1.1e9 weights, LoRA and rho 0.4, frozen weights in 4 bits
    quickstart  the embedded model: share of peak
"""

import argparse
import json
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

from peer_pytorch_report import Case, Run, print_case, summary

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
WORKER = pathlib.Path(__file__).with_name("peer_pytorch_worker.py")
OPT_125M = {
    "model_type": "opt", "vocab_size": 50272, "hidden_size": 768, "word_embed_proj_dim": 768, "ffn_dim": 3072,
    "num_hidden_layers": 12, "num_attention_heads": 12, "max_position_embeddings": 2048, "dropout": 0.0,
}  # fmt: skip
LLAMA_1B = {  # 1.1e9 weights
    "model_type": "llama", "vocab_size": 32000, "hidden_size": 2048, "intermediate_size": 5632,
    "num_hidden_layers": 22, "num_attention_heads": 32, "num_key_value_heads": 4, "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-5, "tie_word_embeddings": False,
}  # fmt: skip
GREEN = ["--method", "green", "--importance", "random", "--rho"]  # a seed's tensors, whatever the precision
BF16 = ["--precision", "bfloat16"]


class Failed(Exception):
    pass


def watch(process, log):
    """Waits for the process. Its peak memory in bytes, and what that was before the last step's line in the log."""
    before_saving = 0
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid != 0:
            process.returncode = os.waitstatus_to_exitcode(status)
            # of the process itself, or of this small one that started it, whichever is more
            return {"peak_bytes": usage.ru_maxrss * 1024, "before_saving_bytes": before_saving}
        peak = re.search(r"VmHWM:\s*(\d+)", pathlib.Path(f"/proc/{process.pid}/status").read_text())
        if peak and not re.search(rb"step (\d+)/\1\b", log.read_bytes()):
            before_saving = int(peak[1]) * 1024
        time.sleep(0.1)


def execute(command, threads, folder):
    """What a process prints, as JSON, and its peaks of memory."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
    out_path, log_path = folder / "stdout", folder / "stderr"
    with out_path.open("wb") as out, log_path.open("wb") as log:
        process = subprocess.Popen(command, stdout=out, stderr=log, env=environment)
        try:
            peaks = watch(process, log_path)
        finally:
            process.kill()  # where this program was told to end; nothing, if that process has ended
    lines = log_path.read_text(errors="replace").strip().splitlines()
    if process.returncode != 0:
        raise Failed(f"exit status {process.returncode}: {lines[-1] if lines else 'no message'}")
    return json.loads(out_path.read_text()), peaks


class Bench:
    """What cases are made of: folders and rows that are made once, runs of both sides, their measurement."""

    def __init__(self, args, folder):
        self.args, self.folder, self.peak = args, folder, 0.0
        cores = sorted(os.sched_getaffinity(0))
        self.threads = min(args.threads or len(cores), len(cores))
        os.sched_setaffinity(0, cores[: self.threads])  # of all processes, that which measures the peak among them
        self.versions = {}
        self.help = {}

    def worker(self, *options):
        return execute([sys.executable, WORKER, *map(str, options)], self.threads, self.folder)[0]

    def random_model(self, fields, dtype="float32"):
        folder = self.folder / f"{fields['model_type']}-{dtype}"
        if not folder.exists():
            self.worker("write-model", "--config", json.dumps(fields), "--dtype", dtype, "--out", folder)
        return folder

    def random_rows(self, count, tokens, vocabulary):
        path, draw = self.folder / f"rows-{count}-{tokens}-{vocabulary}.jsonl", random.Random(1)
        with path.open("w", encoding="utf-8") as out:
            for _ in range(count):
                ids = [draw.randrange(4, vocabulary) for _ in range(tokens)]
                out.write(json.dumps({"input_ids": ids, "labels": ids}) + "\n")
        return path

    def ours(self, name, model, rows, *options, program=None):
        folder = self.folder / "result"
        command = [program or self.args.program, "finetune", "--model", model, "--train", rows, "--output", folder]
        command += ["--no-shuffle", "--schedule", "constant", "--evaluate", "none", "--save-every", "none"]
        command += ["--resume", "never", "--threads", self.threads, "--json", *options]
        return Run(name, [str(part) for part in command], folder)

    def theirs(self, name, model, rows, *options):
        command = [sys.executable, WORKER, "train", "--model", model, "--rows", rows, "--threads", self.threads]
        return Run(name, [str(part) for part in [*command, *options]])

    def has(self, program, option):
        if program not in self.help:
            asked = subprocess.run([program, "finetune", "--help"], capture_output=True, text=True, check=True)
            self.help[program] = asked.stdout
        return re.search(rf"^\s+{option}\b", self.help[program], re.MULTILINE) is not None

    def measure(self, run):
        """Adds a round to a run, or says why there is none."""
        if run.failed:
            return
        for option in ("--precision", "--frozen-format"):
            if run.folder and option in run.command and not self.has(run.command[0], option):
                run.failed = f"not there: finetune has no {option}"
                return
        try:
            report, peaks = execute(run.command, self.threads, self.folder)
        except Failed as failure:
            run.failed = str(failure)
            return
        finally:
            if run.folder and (run.folder / "metrics.jsonl").exists():
                events = [json.loads(line) for line in (run.folder / "metrics.jsonl").open(encoding="utf-8")]
                shutil.rmtree(run.folder)
        if not run.folder:
            self.versions = report["versions"]
            peak = {"peak_bytes": peaks["peak_bytes"]}
            run.rounds.append({"seconds": report["seconds"], "losses": report["losses"]} | peak)
            return
        steps = [event for event in events if event["event"] == "step"]
        of_steps = {"seconds": "seconds", "losses": "loss", "flops": "flops"}
        run.rounds.append({key: [step[field] for step in steps] for key, field in of_steps.items()})
        run.rounds[-1] |= peaks | {"planned_bytes": report["memory_bytes"]["planned_peak"]}

    def measure_peak(self):
        doctor = execute([self.args.program, "doctor", "--json"], 1, self.folder)[0]
        self.peak = max(self.peak, doctor["peak_flops"])
        return doctor


def opt_step(bench, default_steps=4):
    steps = bench.args.steps or default_steps
    rows = bench.random_rows(4 * steps, 512, OPT_125M["vocab_size"])
    return bench.random_model(OPT_125M), rows, ["--steps", steps, "--batch-size", 4]


def earlier(bench, model, rows, options):
    if not bench.args.earlier:
        return []
    return [bench.ours("earlier build, float32", model, rows, *options, program=bench.args.earlier)]


def case_step(bench):
    model, rows, options = opt_step(bench)
    full = [*options, "--method", "full"]
    runs = [bench.ours("ours, float32", model, rows, *full), bench.theirs("PyTorch, float32", model, rows, *options)]
    ratios = [("time", "PyTorch, float32", "ours, float32"), ("peak memory", "PyTorch, float32", "ours, float32"),
              ("losses", "ours, float32", "PyTorch, float32"),
              ("time", "earlier build, float32", "ours, float32")]  # fmt: skip
    runs += earlier(bench, model, rows, full)
    return Case("step: OPT-125M's shape, 4 x 512 tokens, full, float32", runs, ratios)


def case_bf16(bench):
    model, rows, options = opt_step(bench)
    full = [*options, "--method", "full"]
    runs = [bench.ours("ours, bfloat16", model, rows, *full, *BF16),
            bench.theirs("PyTorch, autocast", model, rows, *options, "--dtype", "bfloat16"),
            bench.ours("ours, float32", model, rows, *full)]  # fmt: skip
    ratios = [("time", "PyTorch, autocast", "ours, bfloat16"), ("time", "PyTorch, autocast", "ours, float32"),
              ("time", "ours, float32", "ours, bfloat16"), ("time", "earlier build, float32", "ours, bfloat16"),
              ("peak memory", "PyTorch, autocast", "ours, bfloat16"),
              ("losses", "ours, bfloat16", "PyTorch, autocast")]  # fmt: skip
    runs += earlier(bench, model, rows, full)
    return Case("bf16: OPT-125M's shape, 4 x 512 tokens, full, bfloat16", runs, ratios)


def case_rho(bench):
    model, rows, options = opt_step(bench)
    runs, ratios = [], []
    for precision, extra in (("float32", []), ("bfloat16", BF16)):
        names = [f"full, {precision}", f"rho 0.5, {precision}"]
        runs.append(bench.ours(names[0], model, rows, *options, "--method", "full", *extra))
        runs.append(bench.ours(names[1], model, rows, *options, *GREEN, "0.5", *extra))
        ratios.append(("time over FLOPs", names[1], names[0]))
    return Case("rho: OPT-125M's shape, 4 x 512 tokens, half of the FLOPs against all", runs, ratios)


def choose(bench, model, rows):
    """The tensors that rho 0.5 gives by the paper's importances on the first batch, and a file of their names."""
    command = bench.ours("", model, rows, "--steps", 1, "--method", "green", "--rho", "0.5").command
    report, _ = execute(command, bench.threads, bench.folder)
    shutil.rmtree(bench.folder / "result")
    names, path = report["selections"][0]["names"], bench.folder / "tensors.json"
    path.write_text(json.dumps(names))
    return names, path


def case_scitldr(bench):
    if not bench.args.model or not bench.args.scitldr:
        raise Failed("left out: it needs --model and --scitldr")
    steps, model, rows = bench.args.steps or 12, bench.args.model, bench.folder / "scitldr.jsonl"
    bench.worker("write-rows", "--model", model, "--data", bench.args.scitldr, "--count", 4 * steps, "--out", rows)
    names, tensors = choose(bench, model, rows)
    options = ["--steps", steps, "--batch-size", 4]
    listed = [*options, "--method", "listed", "--tensors", ",".join(names)]
    some = [*options, "--tensors", tensors]
    runs = [
        bench.ours("ours, rho 0.5, float32", model, rows, *listed),
        bench.theirs("careful PyTorch, rho 0.5, float32", model, rows, *some),
        bench.ours("ours, rho 0.5, bfloat16", model, rows, *listed, *BF16, "--frozen-format", "bfloat16"),
        bench.theirs("careful PyTorch, rho 0.5, autocast", model, rows, *some, "--dtype", "bfloat16"),
        bench.ours("ours, full, float32", model, rows, *options, "--method", "full"),
        bench.theirs("careful PyTorch, full, float32", model, rows, *options),
        bench.theirs("PyTorch as published, full, padded to 512", model, rows, *options, "--pad-to", 512),
    ]
    ratios = [("losses", runs[0].name, runs[1].name), ("losses", runs[2].name, runs[3].name),
              ("losses", runs[4].name, runs[6].name), ("time", runs[5].name, runs[4].name)]  # fmt: skip
    pairs = [(1, 0), (3, 0), (6, 0), (1, 2), (3, 2), (6, 2)]
    ratios += [(kind, runs[a].name, runs[b].name) for kind in ("time", "peak memory") for a, b in pairs]
    return Case(f"scitldr: {model.name} on SciTLDR, batches of 4, {len(names)} tensors at rho 0.5", runs, ratios)


def case_memory(bench):
    model, rows, options = opt_step(bench, 2)
    variants = {
        "frozen float32": [],
        "frozen q4_0": ["--frozen-format", "q4_0"],
        "frozen nf4": ["--frozen-format", "nf4"],
        "frozen q4_0, bfloat16": ["--frozen-format", "q4_0", *BF16],
    }
    runs = [bench.ours(name, model, rows, *options, *GREEN, "0.5", *extra) for name, extra in variants.items()]
    ratios = [("peak memory", run.name, runs[0].name) for run in runs[1:]]
    ratios += [("planned memory", run.name, run.name) for run in runs]
    return Case("memory: OPT-125M's shape, 4 x 512 tokens, rho 0.5", runs, ratios)


def case_large(bench):
    model = bench.random_model(LLAMA_1B, "bfloat16")
    rows = bench.random_rows(2, 256, LLAMA_1B["vocab_size"])
    lora = ["--method", "lora", "--lora-targets", "all-linear", "--adapter-output", "peft"]
    runs = [
        bench.ours(name, model, rows, "--steps", 2, "--batch-size", 1, *method)
        for name, method in {
            "LoRA, frozen float32": lora,
            "LoRA, frozen q4_0": [*lora, "--frozen-format", "q4_0"],
            "LoRA, frozen q4_0, bfloat16": [*lora, "--frozen-format", "q4_0", *BF16],
            "LoRA, frozen nf4, bfloat16": [*lora, "--frozen-format", "nf4", *BF16],
            "rho 0.4, frozen q4_0, bfloat16": [*GREEN, "0.4", "--frozen-format", "q4_0", *BF16],
        }.items()
    ]
    ratios = [("planned memory", run.name, run.name) for run in runs]
    return Case("large: 1.1e9 weights, Llama's shape, 1 x 256 tokens", runs, ratios)


def case_quickstart(bench):
    data = REPOSITORY / "examples/data"
    options = ["--epochs", 4, "--learning-rate", "1e-3"]
    files = (data / "stories260k", data / "scitldr/train.jsonl")
    runs = [bench.ours("full", *files, *options, "--method", "full"),
            bench.ours("rho 0.5", *files, *options, "--method", "green", "--rho", "0.5")]  # fmt: skip
    return Case("quickstart: the embedded model on the embedded data", runs, [("time over FLOPs", "rho 0.5", "full")])


CASES = {
    "step": case_step, "bf16": case_bf16, "rho": case_rho, "scitldr": case_scitldr, "memory": case_memory,
    "large": case_large, "quickstart": case_quickstart,
}  # fmt: skip


def run_case(bench, name, repeats):
    """Measures and prints a case; returns it as JSON."""
    try:
        case = CASES[name](bench)
    except Failed as failure:
        print(f"\n## {name}\n\n{failure}", flush=True)
        return {"failed": str(failure)}
    load = 0.0
    for number in range(repeats):
        load = max(load, os.getloadavg()[0])  # runs before this one make about as much as there are threads
        bench.measure_peak()
        for run in case.runs:
            print(f"{name}, round {number + 1} of {repeats}: {run.name}", file=sys.stderr, flush=True)
            bench.measure(run)
    comparisons = print_case(case, bench.peak)
    if load > bench.threads + 1:
        print(f"- other work ran beside it (load average {load:.1f}, {bench.threads} threads): do not use these times")
    runs = [
        {"name": run.name, "command": run.command, "failed": run.failed, "rounds": run.rounds}
        | ({} if run.failed else {"summary": summary(run)})
        for run in case.runs
    ]
    return {"title": case.title, "load_average": load, "comparisons": comparisons, "runs": runs}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=lambda text: str(pathlib.Path(text).resolve()), help="greentrainer")
    parser.add_argument("--cases", default=",".join(CASES), help="any of %(default)s")
    parser.add_argument("--threads", type=int, default=0, help="of both sides (all cores)")
    parser.add_argument("--repeats", type=int, default=3, help="rounds (3)")
    parser.add_argument("--steps", type=int, default=0, help="steps a run, the first included (step, bf16, rho 4; "
                        "scitldr 12; memory 2)")  # fmt: skip
    parser.add_argument("--model", type=pathlib.Path, help="scitldr: SmolLM2-135M's folder")
    parser.add_argument("--scitldr", type=pathlib.Path, help="scitldr: SciTLDR-A's train.jsonl")
    parser.add_argument("--earlier", help="step, bf16: another build of the program, measured beside this one")
    parser.add_argument("--folder", help="where temporary files go: up to 8 GB (the system's)")
    parser.add_argument("--output", type=pathlib.Path, help="JSON of every step")
    args = parser.parse_args()
    cases = args.cases.split(",")
    if unknown := [name for name in cases if name not in CASES]:
        parser.error(f"--cases: expected some of {', '.join(CASES)}, got {', '.join(unknown)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))  # in an orderly way, temporary files gone
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        bench = Bench(args, pathlib.Path(folder))
        doctor = bench.measure_peak()
        print(f"{doctor['processor']}, {doctor['backend']}, {doctor['build']}", flush=True)
        result = {"machine": doctor, "threads": bench.threads, "cases": {}}
        for name in cases:
            result["cases"][name] = run_case(bench, name, args.repeats)
            result |= {"versions": bench.versions, "peak_flops": bench.peak}
            if args.output:
                args.output.write_text(json.dumps(result, indent=1) + "\n")
    print(f"\nMeasured float32 peak {bench.peak / 1e9:.0f} GFLOP/s; {bench.threads} threads; {bench.versions}")


if __name__ == "__main__":
    main()
