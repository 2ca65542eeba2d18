#!/usr/bin/env bash
# transformers 5.24.0, torch 2.15.0. A Phi-3's rope_scaling of type "yarn" is read as longrope (as "su" is), and the
# original_max_position_embeddings that stands in it is not followed: that of the whole configuration is, 4096 where it
# has none. So the long factors, and the attention factor, begin at 4096 and not at the 8 that the section says.
# Seen: longrope with an original context of 4096 for all three types; attention factor sqrt(1 + ln 2 / ln 4096).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install torch==2.15.0 transformers==5.24.0
HF_HUB_OFFLINE=1 "$work/venv/bin/python" - <<'PYTHON'
import math

from transformers import Phi3Config
from transformers.models.phi3.modeling_phi3 import Phi3RotaryEmbedding

for kind in ("longrope", "su", "yarn"):
    config = Phi3Config.from_dict({
        "hidden_size": 32, "num_attention_heads": 2, "max_position_embeddings": 8192,
        "rope_scaling": {
            "type": kind, "short_factor": [1.0] * 8, "long_factor": [2.0] * 8,
            "original_max_position_embeddings": 8}})
    rotary = Phi3RotaryEmbedding(config)
    original = config.rope_parameters["original_max_position_embeddings"]
    print(kind, "is", rotary.rope_type, "from", original, "on, times", rotary.attention_scaling)
    assert rotary.rope_type == "longrope"
    assert original == 4096
    assert math.isclose(rotary.attention_scaling, math.sqrt(1 + math.log(2) / math.log(4096)))
PYTHON
