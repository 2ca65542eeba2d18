#!/usr/bin/env bash
# safetensors 0.8.0. Tensors are laid out by element size, largest first, so that each is aligned; within one size they
# come by element type before they come by name, and the order of types is none that a reader would guess: integers
# first among 64 bits, last among 32 and 16 bits, bfloat16 before float16, uint8 before bool.
# Seen: I64 F64 F32 I32 BF16 F16 I16 U8 BOOL, for tensors named a to i in another order.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install torch==2.15.0 numpy safetensors==0.8.0
"$work/venv/bin/python" - <<'PYTHON'
import json
import struct

import torch
from safetensors.torch import save

types = [torch.int32, torch.float32, torch.float64, torch.int64, torch.int16, torch.float16, torch.bfloat16,
         torch.bool, torch.uint8]
data = save({name: torch.zeros(1, dtype=dtype) for name, dtype in zip("abcdefghi", types)})
length = struct.unpack("<Q", data[:8])[0]
order = [entry["dtype"] for entry in json.loads(data[8 : 8 + length]).values()]
print(*order)
assert order == ["I64", "F64", "F32", "I32", "BF16", "F16", "I16", "U8", "BOOL"]
PYTHON
