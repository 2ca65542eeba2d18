#!/usr/bin/env python3
"""Writes tests/golden/quantized/: small folders with quantised weights, and the numbers that these stand for.

- nf4, nf4-nested, fp4, int8: a Llama that transformers 5.24.0 quantised with bitsandbytes 0.50.2 and saved. `decoded`
  is what bitsandbytes' own functions give for each tensor, in bfloat16.
- fp8: blocks of 128 x 128 with weight_scale_inv, as DeepSeek-V3's report defines them and torch 2.15's float8 casts make
  them; one matrix has 136 rows and 130 columns, which blocks of 128 do not divide. fp8-tensor: one scale for all.
- float-quantized: compressed-tensors' form, a bfloat16 scale for each row.
- mxfp4: a gpt-oss with random codes and scales; `decoded` is what transformers loads them as, on a CPU.
- decoded.safetensors: the numbers, as FOLDER/NAME.

Needs torch, transformers, bitsandbytes, accelerate and safetensors.
"""

import json
import shutil
from pathlib import Path

import bitsandbytes.functional as bnb
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, GptOssConfig, GptOssForCausalLM, LlamaConfig, LlamaForCausalLM

HERE = Path(__file__).parent / "quantized"
SMALL = dict(vocab_size=32, hidden_size=64, intermediate_size=72, num_hidden_layers=1, num_attention_heads=4,
             num_key_value_heads=2, head_dim=16, max_position_embeddings=64, tie_word_embeddings=False)


def llama():
    torch.manual_seed(5)
    model = LlamaForCausalLM(LlamaConfig(**SMALL)).to(torch.bfloat16)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * (0.1 if parameter.dim() > 1 else 1))
    return model


def read(folder):
    with safe_open(folder / "model.safetensors", "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}


def bitsandbytes(name, decoded, **options):
    folder, plain = HERE / name, HERE / "plain"
    llama().save_pretrained(plain)
    config = BitsAndBytesConfig(**options)
    model = AutoModelForCausalLM.from_pretrained(plain, quantization_config=config, dtype=torch.bfloat16,
                                                 device_map="cpu")
    model.save_pretrained(folder)
    shutil.rmtree(plain)
    (folder / "generation_config.json").unlink(missing_ok=True)
    stored = read(folder)
    for key, tensor in stored.items():
        if not key.endswith("weight"):
            continue
        if key.replace("weight", "SCB") in stored:
            tensor = bnb.int8_vectorwise_dequant(tensor, stored[key.replace("weight", "SCB")])
        elif key + ".absmax" in stored:
            parts = {k[len(key) + 1:]: v for k, v in stored.items() if k.startswith(key + ".")}
            state = bnb.QuantState.from_dict(parts, device=torch.device("cpu"))
            tensor = bnb.dequantize_4bit(tensor, state)
        decoded[f"{name}/{key}"] = tensor.to(torch.bfloat16)


def write(name, tensors, quantization):
    folder = HERE / name
    folder.mkdir(parents=True)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    config = {"model_type": "llama", "dtype": "bfloat16", "quantization_config": quantization}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def float8(decoded):
    torch.manual_seed(6)
    tensors = {}
    for name, (rows, columns) in {"a.weight": (136, 130), "b.weight": (128, 128)}.items():
        blocks = (-(-rows // 128), -(-columns // 128))
        codes = (torch.randn(rows, columns) * 60).to(torch.float8_e4m3fn)
        scales = torch.rand(blocks) * 0.01 + 1e-4
        whole = scales.repeat_interleave(128, 0)[:rows].repeat_interleave(128, 1)[:, :columns]
        tensors |= {name: codes, name + "_scale_inv": scales}
        decoded[f"fp8/{name}"] = codes.float() * whole
    write("fp8", tensors, {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]})

    every = torch.arange(256, dtype=torch.uint8).reshape(16, 16)
    codes = {"e4m3.weight": every.clone().view(torch.float8_e4m3fn), "e5m2.weight": every.view(torch.float8_e5m2)}
    scale = torch.tensor(0.125)
    write("fp8-tensor", codes | {name + "_scale_inv": scale.clone() for name in codes},
          {"quant_method": "fp8", "weight_block_size": None})
    for name, tensor in codes.items():
        decoded[f"fp8-tensor/{name}"] = tensor.float() * scale

    codes = (torch.randn(24, 40) * 100).to(torch.float8_e4m3fn)
    scales = (torch.rand(24, 1) * 0.01 + 1e-4).to(torch.bfloat16)
    write("float-quantized", {"c.weight": codes, "c.weight_scale": scales},
          {"quant_method": "compressed-tensors", "format": "float-quantized"})
    decoded["float-quantized/c.weight"] = codes.float() * scales.float()


def mxfp4(decoded):
    torch.manual_seed(7)
    folder = HERE / "mxfp4"
    small = SMALL | dict(hidden_size=64, intermediate_size=32, num_local_experts=3, num_experts_per_tok=2)
    GptOssForCausalLM(GptOssConfig(**small)).to(torch.bfloat16).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    tensors = {}
    for name, tensor in read(folder).items():
        tensor = torch.randn_like(tensor) * (0.1 if tensor.dim() > 1 else 1)
        if not name.endswith("_proj"):
            tensors[name] = tensor
            continue
        experts, columns, rows = tensor.shape
        tensors[name + "_blocks"] = torch.randint(256, (experts, rows, columns // 32, 16), dtype=torch.uint8)
        tensors[name + "_scales"] = torch.randint(118, 125, (experts, rows, columns // 32), dtype=torch.uint8)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn",
                                     "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    decoded |= {f"mxfp4/{name}": tensor for name, tensor in model.state_dict().items()}


def main():
    shutil.rmtree(HERE, ignore_errors=True)
    HERE.mkdir()
    decoded = {}
    bitsandbytes("nf4", decoded, load_in_4bit=True, bnb_4bit_quant_type="nf4")
    bitsandbytes("nf4-nested", decoded, load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)
    bitsandbytes("fp4", decoded, load_in_4bit=True, bnb_4bit_quant_type="fp4")
    bitsandbytes("int8", decoded, load_in_8bit=True)
    float8(decoded)
    mxfp4(decoded)
    save_file(decoded, HERE / "decoded.safetensors")


main()
