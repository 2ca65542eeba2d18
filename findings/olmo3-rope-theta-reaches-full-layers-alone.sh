#!/usr/bin/env bash
# transformers 5.24.0. A config.json of OLMo 3 as transformers 4 wrote it has one rope_theta for all layers. Read today,
# it reaches the layers of full attention alone: those with a sliding window get the default of the class, 500000,
# whatever the file says.
# Seen: Olmo3Config(rope_theta=12345.0) has 12345.0 for full_attention and 500000.0 for sliding_attention.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install transformers==5.24.0
HF_HUB_OFFLINE=1 "$work/venv/bin/python" - <<'PYTHON'
from transformers import Olmo3Config

rope = Olmo3Config(rope_theta=12345.0, num_hidden_layers=4).rope_parameters
print(rope)
assert rope["full_attention"]["rope_theta"] == 12345.0
assert rope["sliding_attention"]["rope_theta"] == 500000.0
PYTHON
