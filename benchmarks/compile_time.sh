#!/usr/bin/env bash
# compile_time.sh [RUNS]: compiles examples/finetune.cpp at -O2 with headers alone and with the definitions of
# greentrainer::io compiled once, in turns, RUNS times each (3), and prints seconds of one core, memory of the compiler
# and size of the code. Needs GNU time (Debian package time) and what scripts/install_packages.sh installs.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
compiler=${CXX:-g++}
object=$(mktemp --suffix=.o)
trap 'rm -f "$object"' EXIT

compile() {  # compile NAME option...
  local name=$1
  shift
  /usr/bin/time --format="$name: %U s, %M KB" "$compiler" -std=c++20 -O2 "$@" -I "$root/include" \
    -I "$root/backends/eigen/include" -isystem /usr/include/eigen3 -c "$root/examples/finetune.cpp" -o "$object"
  size "$object" | awk 'NR == 2 { print "  code: " $1 " bytes" }'
}

"$compiler" --version | head -n 1
for ((run = 0; run < ${1:-3}; ++run)); do
  compile "headers alone"
  compile "GREENTRAINER_COMPILED" -DGREENTRAINER_COMPILED
done
