#!/usr/bin/env bash
# transformers 5.24.0, torch 2.15.0. Whether the head of a model that reads images too is tied: a Mistral 3 whose
# text_config says false is tied all the same, since the class's own field is true where config.json has none, and
# text_config's counts for nothing; a Qwen2.5-VL whose text_config says true is tied even where config.json itself says
# false.
# Seen: mistral3 with text_config False: tied; qwen2_5_vl with False, and text_config True: tied.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install torch==2.15.0 transformers==5.24.0
HF_HUB_OFFLINE=1 "$work/venv/bin/python" - <<'PYTHON'
from transformers import (
    Mistral3Config,
    Mistral3ForConditionalGeneration,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)

TEXT = dict(vocab_size=40, hidden_size=16, intermediate_size=12, num_hidden_layers=1, num_attention_heads=2,
            num_key_value_heads=1, max_position_embeddings=64)


def is_tied(model):
    return model.get_output_embeddings().weight is model.get_input_embeddings().weight


mistral = Mistral3Config.from_dict({
    "text_config": {"model_type": "mistral", "head_dim": 8, "tie_word_embeddings": False} | TEXT,
    "vision_config": {"model_type": "pixtral", "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 1,
                      "num_attention_heads": 2, "image_size": 8, "patch_size": 4}})
qwen = Qwen2_5_VLConfig.from_dict({
    "text_config": TEXT | {"tie_word_embeddings": True}, "tie_word_embeddings": False,
    "vision_config": {"depth": 1, "hidden_size": 8, "intermediate_size": 12, "num_heads": 2, "out_hidden_size": 16}})
mistral_tied = is_tied(Mistral3ForConditionalGeneration(mistral))
qwen_tied = is_tied(Qwen2_5_VLForConditionalGeneration(qwen))
print("mistral3 tied:", mistral_tied, "qwen2_5_vl tied:", qwen_tied)
assert mistral_tied and not mistral.text_config.tie_word_embeddings
assert qwen_tied
PYTHON
