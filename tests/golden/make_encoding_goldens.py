#!/usr/bin/env python3
"""Writes tests/golden/gguf/encoded.safetensors: numbers, and the blocks that gguf 0.19.0 (Q8_0, Q4_0) and bitsandbytes
0.50.2 (NF4) make of them. Needs these two, torch, numpy and safetensors.
"""

from pathlib import Path

import bitsandbytes.functional as bnb
import gguf
import numpy as np
import torch
from safetensors.numpy import save_file

BLOCK = 64  # of NF4; two blocks of the other two


def numbers():
    random = np.random.default_rng(33)
    normal = random.standard_normal((40, BLOCK), dtype=np.float32) * np.float32(0.05)
    code = bnb.get_4bit_type("nf4", device="cpu").data.numpy()
    middle = (code[1:] + code[:-1]) / np.float32(2)
    ties = np.zeros((2, BLOCK), dtype=np.float32)  # midway between two codes, and one float above
    ties[:, 0] = 1
    ties[0, 1:16] = middle
    ties[1, 1:16] = np.nextafter(middle, np.float32(2))
    halves = np.tile(np.arange(-32, 32, dtype=np.float32) / 2, (2, 1))  # ties of Q8_0, with a scale of 1
    halves[:, 0] = halves[:, 32] = 127
    zero = np.zeros((1, BLOCK), dtype=np.float32)
    two_largest = np.zeros((1, BLOCK), dtype=np.float32)  # of either sign: the first one counts
    two_largest[0, [3, 9, 40, 50]] = [2, -2, -3, 3]
    tiny = random.standard_normal((2, BLOCK), dtype=np.float32) * np.float32(1e-7)
    large = random.standard_normal((2, BLOCK), dtype=np.float32) * np.float32(1e4)
    return np.concatenate([normal, ties, halves, zero, two_largest, tiny, large]).astype(np.float32)


def main():
    values = numbers()
    tensors = {"values": values}
    for name in ("Q8_0", "Q4_0"):
        tensors[name] = gguf.quants.quantize(values, gguf.GGMLQuantizationType[name]).reshape(-1)
    packed, state = bnb.quantize_4bit(torch.from_numpy(values), quant_type="nf4", blocksize=BLOCK)
    tensors["NF4.codes"] = packed.numpy().reshape(-1)
    tensors["NF4.largest"] = state.absmax.numpy()
    tensors["NF4.values"] = bnb.dequantize_4bit(packed, state).numpy()
    save_file(tensors, Path(__file__).parent / "gguf" / "encoded.safetensors")
    print({name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()})


main()
