#!/usr/bin/env bash
# cuda_kernels.sh [TABLE]: compiles the CUDA backend's kernels for every target and writes, as Markdown, what each takes
# on it. Needs nvcc, no device. Fails if a kernel spills registers to memory or anything warns.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
table=${1:-/dev/stdout}
targets=(80 90 100)

if ! command -v nvcc >/dev/null; then
  echo "SKIP cuda_kernels: nvcc is not here"
  exit 77
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
flags=(-std=c++20 -O3 --expt-relaxed-constexpr -Werror all-warnings -Xptxas=-v,-warn-spills -I"$root/include"
  -I"$root/backends/cuda/include")
for target in "${targets[@]}"; do
  flags+=(-gencode "arch=compute_$target,code=sm_$target")
done
for file in "$root"/backends/cuda/source/*.cu; do
  if ! nvcc "${flags[@]}" -c "$file" -o "$work/object" 2>"$work/log"; then
    grep -v -e '^ptxas info' -e '0 bytes spill stores, 0 bytes spill loads' "$work/log" >&2
    exit 1
  fi
  cat "$work/log" >>"$work/all"
done

# One line a kernel and target: target, registers, bytes of static shared memory, of stack, of spills, name.
awk '
  /Compiling entry function/ {
    name = $0; sub(/^[^\x27]*\x27/, "", name); sub(/\x27.*$/, "", name)
    target = $0; sub(/^.*sm_/, "", target); sub(/[^0-9].*$/, "", target)
  }
  /bytes stack frame/ { stack = $1; spills = $5 + $9 }
  /Used [0-9]+ registers/ {
    shared = 0
    if (match($0, /[0-9]+ bytes smem/)) shared = substr($0, RSTART, RLENGTH) + 0
    match($0, /Used [0-9]+/); registers = substr($0, RSTART + 5, RLENGTH - 5)
    print target, registers, shared, stack, spills, name
  }' "$work/all" | c++filt |
  sed -e 's/greentrainer:://g' -e 's/cuda:://g' -e 's/ void / /' -e 's/>(.*$/>/' >"$work/lines"

spilling=$(awk '$5 > 0' "$work/lines")
if [ -n "$spilling" ]; then
  echo "Kernels that spill registers (target, registers, shared, stack, spilled bytes, name):" >&2
  echo "$spilling" >&2
  exit 1
fi

{
  echo "| kernel | registers on sm_80, 90, 100 | static shared memory, bytes | stack, bytes |"
  echo "| --- | --- | --- | --- |"
  sort -k6 -k1,1n "$work/lines" | awk '
    function line() { if (kernel != "") printf "| `%s` | %s | %s | %s |\n", kernel, registers, shared, stack }
    { name = $6; for (i = 7; i <= NF; ++i) name = name " " $i }
    name != kernel { line(); kernel = name; registers = $2; shared = $3; stack = $4; next }
    { registers = registers ", " $2; if ($3 > shared) shared = $3; if ($4 > stack) stack = $4 }
    END { line() }'
} >"$table"
