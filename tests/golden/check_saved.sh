#!/usr/bin/env bash
# Proves by hand, for every tiny model of models/, that transformers takes what the program saved, and that peft takes
# its adapters:
#   bash check_saved.sh GREENTRAINER [PYTHON]        # PYTHON has torch, transformers and peft (python3)
# Fails at the first model that does not pass.
set -euo pipefail
golden=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=$1
python=${2:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export HF_HUB_OFFLINE=1

for model in "$golden"/models/*/ "$golden"/adapters/t5-two-layers/; do
  name=$(basename "$model")
  data=$folder/$name.jsonl
  # The rows that the goldens were computed on; t5-two-layers has those of its sibling.
  "$python" - "$model" "$golden/models/t5-tied-gated" >"$data" <<'ROWS'
import json, pathlib, sys
own, other = (pathlib.Path(p) / "golden.json" for p in sys.argv[1:])
golden = json.loads((own if own.exists() else other).read_text())
for ids, labels in zip(golden.get("source_ids") or golden["input_ids"], golden["labels"]):
    print(json.dumps({"input_ids": ids, "labels": labels}))
ROWS
  train() {  # train OUTPUT option...
    "$program" finetune --model "$model" --train "$data" --output "$folder/$name-$1" --steps 3 --learning-rate 1e-3 --json "${@:2}" >"$folder/report.json" 2>"$folder/log" ||
      { cat "$folder/log"; exit 1; }
  }
  train green --method green --rho 0.6
  "$python" "$golden/check_saved_model.py" "$folder/$name-green" "$model" --tolerance 0.5
  for method in lora prefix; do
    # peft lets layers of T5's decoder share a prefix where their number is odd: t5-two-layers stands for them.
    [[ $method == prefix && $name == t5-* && $name != t5-two-layers ]] && continue
    train $method --method $method --adapter-output peft
    "$program" evaluate --model "$folder/$name-$method" --data "$data" --json >"$folder/evaluation.json" 2>"$folder/log" || { cat "$folder/log"; exit 1; }
    "$python" "$golden/check_saved_adapter.py" "$model" "$folder/$name-$method" "$data" "$folder/evaluation.json"
  done
done
