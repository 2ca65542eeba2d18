#!/usr/bin/env bash
# transformers 5.24.0. A CWM folder whose config.json has rope_theta and no scaling ("rope_scaling" null or absent, as
# files from transformers 4 say that there is none) gets the class's own rotary parameters, and rope_theta is dropped
# with them: llama3 scaling by 16 and theta 1000000. Nothing is printed. Other families keep rope_theta, unscaled.
# Seen: rope_theta 10000 gives cwm ('llama3', 1000000.0), llama and mistral ('default', 10000).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install torch==2.15.0 transformers==5.24.0
HF_HUB_OFFLINE=1 "$work/venv/bin/python" - <<'PYTHON'
from transformers import CwmConfig, LlamaConfig, MistralConfig


def read(config_class):
    rope = config_class.from_dict({"rope_theta": 10000, "rope_scaling": None}).rope_parameters
    return rope["rope_type"], rope["rope_theta"]


cwm, llama, mistral = read(CwmConfig), read(LlamaConfig), read(MistralConfig)
print("cwm", cwm, "llama", llama, "mistral", mistral)
assert cwm == ("llama3", 1000000.0)
assert llama == mistral == ("default", 10000)
PYTHON
