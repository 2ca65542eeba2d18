#!/usr/bin/env bash
# Fine-tunes a model fully and within half of the FLOPs, on the same batches, and prints both side by side with their
# loss curves.
#   bash benchmarks/full_against_green.sh MODEL TRAIN.jsonl VALIDATION.jsonl OUTPUT [option of finetune...] The program
# is taken from BUILD_DIR (build/native; scripts/build.sh makes it). Needs Python 3, its standard library alone, for the
# curves.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${BUILD_DIR:-$root/build/native}
[ $# -ge 4 ] || { sed -n '2,4s/^# *//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
model=$1 train=$2 validation=$3 output=$4
shift 4

bash "$root/scripts/build.sh" "$build" -DCMAKE_BUILD_TYPE=Release -DGREENTRAINER_NATIVE=ON -- greentrainer_program \
  greentrainer_example_print_comparison
mkdir -p "$output"
finetune() {  # finetune NAME option...
  local name=$1
  shift
  echo "Fine-tuning: $name"
  "$build/bin/greentrainer" finetune --model "$model" --train "$train" --validation "$validation" \
    --output "$output/$name" "$@" --json >"$output/$name.json"
}
finetune full --method full "$@"
finetune green --method green --rho 0.5 --reselect-every "${RESELECT_EVERY:-100s}" "$@"

echo
"$build/bin/print_comparison" "$output/full.json" "$output/green.json"
echo
python3 "$root/benchmarks/loss_curves.py" --out "$output/loss.svg" "$output/full" "$output/green"
