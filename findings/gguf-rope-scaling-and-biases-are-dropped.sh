#!/usr/bin/env bash
# transformers 5.24.0, torch 2.15.0, gguf 0.19.0. A GGUF file of a Llama 3.1 or later holds the scaling of its rotary
# positions as the tensor rope_freqs.weight, and a Llama with biases holds them as blk.N.*.bias. `from_pretrained` with
# `gguf_file` drops both without a warning: positions are not scaled, so numbers differ from those of the folder that
# the file was made of.
# Seen: a file with rope_freqs.weight of (1, 2, 4, 8) and a bias of queries gives rope_type "default" and no bias.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install transformers==5.24.0 torch==2.15.0 gguf==0.19.0 accelerate
cd "$work"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" - <<'PYTHON'
import gguf
import numpy as np
from transformers import AutoModelForCausalLM

width, heads, inner, vocabulary = 32, 4, 64, 8
random = np.random.default_rng(1)
writer = gguf.GGUFWriter("tiny.gguf", "llama")
writer.add_context_length(128)
writer.add_embedding_length(width)
writer.add_block_count(1)
writer.add_feed_forward_length(inner)
writer.add_head_count(heads)
writer.add_head_count_kv(heads)
writer.add_layer_norm_rms_eps(1e-5)
writer.add_rope_freq_base(500000.0)
writer.add_rope_dimension_count(width // heads)
writer.add_vocab_size(vocabulary)
writer.add_tokenizer_model("gpt2")
writer.add_token_list([chr(97 + i) for i in range(vocabulary)])
writer.add_token_merges([])
shapes = {"token_embd.weight": (vocabulary, width), "output.weight": (vocabulary, width),
          "output_norm.weight": (width,),
          "blk.0.attn_norm.weight": (width,), "blk.0.ffn_norm.weight": (width,),
          "blk.0.attn_q.weight": (width, width), "blk.0.attn_k.weight": (width, width),
          "blk.0.attn_v.weight": (width, width), "blk.0.attn_output.weight": (width, width),
          "blk.0.ffn_gate.weight": (inner, width), "blk.0.ffn_up.weight": (inner, width),
          "blk.0.ffn_down.weight": (width, inner), "blk.0.attn_q.bias": (width,)}
for name, shape in shapes.items():
    writer.add_tensor(name, random.normal(size=shape).astype(np.float32))
writer.add_tensor("rope_freqs.weight", np.array([1, 2, 4, 8], dtype=np.float32))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()

model = AutoModelForCausalLM.from_pretrained(".", gguf_file="tiny.gguf")
biases = [name for name in model.state_dict() if name.endswith(".bias")]
print(model.config.rope_parameters, biases)
assert model.config.rope_parameters["rope_type"] == "default"
assert biases == []
PYTHON
