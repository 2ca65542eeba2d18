#!/usr/bin/env bash
# Installs what is missing (Debian 12), builds the program, fine-tunes the embedded model on the embedded data twice,
# fully and within half of the FLOPs, and prints both side by side. BUILD_DIR: where to build (build/quickstart); JOBS:
# how many cores to build with (all).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${BUILD_DIR:-$root/build/quickstart}
results=$build/results

bash "$root/scripts/install_packages.sh"
bash "$root/scripts/build.sh" "$build" -DCMAKE_BUILD_TYPE=Release -DGREENTRAINER_NATIVE=ON -DGREENTRAINER_COMPILED=ON \
  -DGREENTRAINER_TESTS=OFF -DGREENTRAINER_BENCHMARKS=OFF \
  -- greentrainer_program greentrainer_example_print_comparison

rm -rf "$results/full" "$results/green"  # of an earlier run
mkdir -p "$results"
finetune() {  # finetune NAME option...
  local name=$1
  shift
  echo
  echo "Fine-tuning: $name"
  "$build/bin/greentrainer" finetune --model "$root/examples/data/stories260k" --train \
    "$root/examples/data/scitldr/train.jsonl" \
    --validation "$root/examples/data/scitldr/validation.jsonl" --output "$results/$name" "$@" --json \
      >"$results/$name.json"
}
finetune full --method full --epochs 4 --learning-rate 1e-3
finetune green --method green --rho 0.5 --epochs 4 --learning-rate 1e-3

echo
"$build/bin/print_comparison" "$results/full.json" "$results/green.json"
