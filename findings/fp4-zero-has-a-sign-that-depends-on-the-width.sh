#!/usr/bin/env bash
# bitsandbytes 0.50.2 on a CPU (torch 2.15.0). FP4 has two codes for zero, 0 and 8. The table that is saved with a
# tensor (quant_map) has plus zero for both. Decoding code 8 gives plus zero for a matrix of 64 columns and minus zero
# for one of 72, of the same bytes. So two correct readers of one file differ in the sign bit of zeros, and comparing
# decoded weights by their bytes finds differences that no arithmetic sees.
# Seen: 64 columns: 0 minus zeros of 4608; 72 columns: 4608 of 4608; the table's entry 8 is plus zero.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install torch==2.15.0 numpy bitsandbytes==0.50.2
"$work/venv/bin/python" - <<'PYTHON'
import bitsandbytes.functional as bnb
import torch

codes = torch.full((2304, 1), 0x88, dtype=torch.uint8)  # code 8 everywhere
for rows, columns, expected in [(72, 64, 0), (64, 72, 4608)]:
    some = torch.zeros(rows, columns)
    some[0, 0] = 1
    _, state = bnb.quantize_4bit(some, quant_type="fp4", blocksize=64)
    state.absmax = torch.ones_like(state.absmax)
    minus = int(torch.signbit(bnb.dequantize_4bit(codes, state)).sum())
    print(f"{columns} columns: {minus} minus zeros of {rows * columns}; table: {state.code[8].item()}")
    assert minus == expected and not torch.signbit(state.code[8])
PYTHON
