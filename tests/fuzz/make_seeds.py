#!/usr/bin/env python3
"""Writes the inputs that the fuzzers start from into corpus/, beside those that they have found.

    python3 make_seeds.py

Python's standard library is enough. Those of training_state are the state.json of a saved run, shortened by hand.
Seeds are named seed-N; scripts/fuzz.sh adds what covers more of a reader.
"""

import gzip
import json
import struct
from pathlib import Path

from tokenizer_seeds import bpe_models, part_seeds, ranked_seeds

HERE = Path(__file__).resolve().parent
GOLDEN = HERE.parent / "golden"


def safetensors(header, data=b""):
    text = json.dumps(header).encode() if not isinstance(header, bytes) else header
    return struct.pack("<Q", len(text)) + text + data


def tensor(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def safetensors_seeds():
    data = struct.pack("<6f", 1, 2, 3, 4, 5, 6)
    yield safetensors({"a": tensor("F32", [2, 3], 0, 24)}, data)
    metadata = {"format": "pt"}
    two = {"a": tensor("F16", [2], 0, 4), "b": tensor("I64", [1], 4, 12)}
    yield safetensors({"__metadata__": metadata, **two}, data[:12])
    yield safetensors({"a": tensor("BF16", [0], 0, 0)})
    yield safetensors({})
    yield safetensors({"a": tensor("F32", [2, 3], 0, 24), "b": tensor("F32", [1], 4, 8)}, data)
    yield safetensors({"a": tensor("F32", [1 << 62, 4], 0, 24)}, data)
    yield struct.pack("<Q", 1 << 63) + b"{}"
    yield safetensors(b'{"a": 3}')


def index_seeds():
    first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    yield json.dumps({"metadata": {"total_size": 24}, "weight_map": {"a": first, "b": second, "c": second}}).encode()
    yield json.dumps({"weight_map": {"a": first}}).encode()
    yield json.dumps({"weight_map": {"a": "../" + first}}).encode()
    yield json.dumps({"weight_map": {"b": first}}).encode()
    yield b'{"weight_map": []}'


def quantized_seeds():
    """A quantization_config, NUL, and the tensors of a folder: those that are read, and then wrong ones of each."""

    def folder(config, tensors):
        header, data = {}, b""
        for name, dtype, shape, values in tensors:
            header[name] = tensor(dtype, shape, len(data), len(data) + len(values))
            data += values
        return json.dumps(config).encode() + b"\0" + safetensors(header, data)

    def floats(*values):
        return struct.pack(f"<{len(values)}f", *values)

    fp8 = {"quant_method": "fp8", "weight_block_size": [2, 3]}
    codes = ("a", "F8_E4M3", [4, 5], bytes(range(100, 120)))
    scales = ("a_scale_inv", "F32", [2, 2], floats(1, 2, 3, 4))
    yield folder(fp8, [codes, scales])
    yield folder({"quant_method": "fp8"}, [("a", "F8_E5M2", [2, 2], bytes(4)), ("a_scale_inv", "F32", [], floats(2))])
    yield folder(fp8, [codes])
    yield folder(fp8, [codes, ("a_scale_inv", "F32", [3, 1], floats(1, 2, 3))])
    yield folder(fp8, [codes, ("a_scale_inv", "F32", [2, 2], floats(1, 2, float("inf"), 4))])
    yield folder(fp8, [("a", "F8_E4M3", [20], bytes(20)), scales])
    yield folder(fp8, [("a", "I8", [4, 5], bytes(20)), scales])
    yield folder(fp8, [codes, scales, ("b.input_scale", "F32", [1], floats(1))])
    yield folder({**fp8, "activation_scheme": "static"}, [codes, scales])
    yield folder({**fp8, "weight_block_size": [2]}, [codes, scales])
    yield folder({**fp8, "weight_block_size": [2, 0]}, [codes, scales])
    yield folder({**fp8, "weight_block_size": 2}, [codes, scales])

    rows = {"quant_method": "compressed-tensors", "format": "float-quantized"}
    codes = ("a", "F8_E4M3", [2, 3], bytes(range(6)))
    yield folder(rows, [codes, ("a_scale", "F32", [2, 1], floats(1, 2))])
    yield folder(rows, [codes, ("a_scale", "F32", [1], floats(2))])
    yield folder({**rows, "format": "pack-quantized"}, [codes])

    int8 = {"quant_method": "bitsandbytes", "load_in_8bit": True}
    codes, scales = ("a.weight", "I8", [2, 3], bytes([0, 1, 127, 128, 255, 9])), ("a.SCB", "F32", [2], floats(1, 2))
    yield folder(int8, [codes, scales, ("a.weight_format", "U8", [], b"\0")])
    yield folder(int8, [codes, scales, ("a.weight_format", "U8", [], b"\1")])
    yield folder(int8, [codes, ("a.SCB", "F32", [3], floats(1, 2, 3))])
    yield folder({**int8, "load_in_4bit": True}, [codes, scales])
    yield folder({**int8, "load_in_8bit": 1}, [codes, scales])

    four = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    table = ("a.quant_map", "F32", [16], floats(*range(16)))

    def nibbles(state, *others, kind="nf4"):
        text = json.dumps(state).encode()
        state_tensor = (f"a.quant_state.bitsandbytes__{kind}", "U8", [len(text)], text)
        return folder(four, [("a", "U8", [3, 1], bytes([18, 52, 86])), state_tensor, *others])

    state = {"shape": [2, 3], "dtype": "bfloat16", "blocksize": 4}
    largest = ("a.absmax", "F32", [2], floats(1, 2))
    yield nibbles(state, table, largest)
    yield nibbles({"shape": [5]}, table, ("a.absmax", "F32", [1], floats(1)), kind="fp4")
    nested = [
        ("a.absmax", "U8", [2], b"\1\2"),
        ("a.nested_absmax", "F32", [1], floats(2)),
        ("a.nested_quant_map", "F32", [256], floats(*range(256))),
    ]
    yield nibbles({**state, "nested_offset": 0.5, "nested_blocksize": 2}, table, *nested)
    yield nibbles({**state, "nested_offset": 1e300}, table, *nested)
    yield nibbles(state, table, *nested)
    yield nibbles(state, largest)
    yield nibbles({**state, "shape": [9, 9]}, table, largest)
    yield nibbles({**state, "dtype": "int8"}, table, largest)
    yield nibbles({**state, "blocksize": 1 << 41}, table, largest)
    yield nibbles({**state, "blocksize": 1}, table, largest)
    yield nibbles([], table, largest)
    yield folder(four, [("a.quant_state.bitsandbytes__nf4", "U8", [2], b"{}")])
    yield folder(four, [("a", "U8", [1], b"1"), ("a.quant_state.bitsandbytes__nf4", "F32", [1], floats(1))])
    yield folder({"quant_method": "gptq"}, [])
    yield folder({"quant_method": 1}, [])
    yield b"[]\0" + safetensors({})


def gguf_text(value):
    return struct.pack("<Q", len(value)) + value.encode()


def gguf_seeds():
    """Metadata of each type, and tensors whose numbers lie as they are and in blocks."""
    def pair(name, kind, payload):
        return gguf_text(name) + struct.pack("<I", kind) + payload

    def tensor_entry(name, shape, kind, offset):
        return gguf_text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)

    def file(pairs, tensors, data, version=3):
        begin = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(pairs)) + b"".join(pairs + tensors)
        return begin + b"\0" * (-len(begin) % 32) + data

    pairs = [
        pair("general.architecture", 8, gguf_text("llama")),
        pair("llama.block_count", 4, struct.pack("<I", 2)),
        pair("llama.epsilon", 6, struct.pack("<f", 1e-5)),
        pair("a.flag", 7, b"\1"),
        pair("a.long", 11, struct.pack("<q", -3)),
        pair("tokens", 9, struct.pack("<IQ", 8, 2) + gguf_text("a") + gguf_text("b")),
        pair("scores", 9, struct.pack("<IQ2f", 6, 2, 0.5, -1)),
    ]
    plain = tensor_entry("a", [3, 2], 0, 0)
    data = struct.pack("<6f", 1, 2, 3, 4, 5, 6) + b"\0" * 8
    blocks = struct.pack("<e", 0.5) + bytes(range(32))
    yield file(pairs, [plain, tensor_entry("b", [32], 8, 32)], data + blocks)
    yield file(pairs[:1], [plain], data[:24], version=2)
    yield file([], [tensor_entry("c", [32], 2, 0)], struct.pack("<e", 2) + bytes(16))
    yield file([], [plain, tensor_entry("b", [2], 0, 16)], data)
    yield file([], [tensor_entry("a", [1 << 62, 4], 0, 0)], data)
    yield file(pairs, [], b"")[:60]
    yield b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 0)


def config_seeds():
    folders = [p for part in ("models", "architectures") for p in sorted((GOLDEN / part).iterdir()) if p.is_dir()]
    for folder in folders:
        yield json.dumps(json.loads((folder / "config.json").read_text())).encode()
    yield json.dumps({"model_type": "llama", "hidden_size": 1 << 40, "num_hidden_layers": 1 << 40}).encode()
    yield json.dumps({"model_type": "unknown"}).encode()


def tokenizer_seeds():
    yield json.dumps(
        {
            "added_tokens": [{"id": 4, "content": "<s>", "special": True}],
            "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]},
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [
                    {
                        "type": "Split",
                        "pattern": {"Regex": r" ?[^(\s|[.,])]+"},
                        "behavior": "Isolated",
                        "invert": False,
                    },
                    {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
                ],
            },
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [4], "tokens": ["<s>"]}},
            },
            "decoder": {"type": "ByteLevel"},
            "model": {
                "type": "BPE",
                "unk_token": None,
                "vocab": {"a": 0, "b": 1, "ab": 2, "aba": 3},
                "merges": ["a b", "ab a"],
            },
        }
    ).encode()
    yield json.dumps(
        {
            "added_tokens": [],
            "normalizer": {
                "type": "BertNormalizer",
                "clean_text": True,
                "handle_chinese_chars": True,
                "lowercase": True,
            },
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
            "model": {
                "type": "WordPiece",
                "unk_token": "[UNK]",
                "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100,
                "vocab": {"[UNK]": 0, "the": 1, "qu": 2, "##ick": 3},
            },
        }
    ).encode()
    yield json.dumps(
        {
            "added_tokens": [{"id": 1, "content": "</s>", "special": True}],
            "normalizer": {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
            "pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always"},
            "decoder": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always"},
            "model": {
                "type": "Unigram",
                "unk_id": 0,
                "vocab": [["<unk>", 0.0], ["</s>", 0.0], ["\u2581", -2.0], ["\u2581the", -1.5], ["q", -3.0]],
            },
        }
    ).encode()
    yield json.dumps({"model": {"type": "WordLevel", "vocab": {"the": 0, "[UNK]": 1}, "unk_token": "[UNK]"}}).encode()
    yield from class_seeds()
    yield b'{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}}'
    yield from part_seeds()


def class_seeds():
    """A small tokenizer of each class that makes steps of its own, with the settings that it reads."""
    space, letters = "\u2581", ["h", "e", "i", "a", "o", "1", ".", "\u0120"]
    bpe = {
        "type": "BPE",
        "unk_token": "<unk>",
        "fuse_unk": True,
        "byte_fallback": True,
        "ignore_merges": True,
        "vocab": {t: i for i, t in enumerate(["<unk>", *letters, space, "he", space + "a", "<0xE4>", "<s>", "</s>"])},
        "merges": [["h", "e"], space + " a"],
    }
    pieces = [["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0], [space, -1.0], [space + "he", -2.0], ["a", -3.0]]
    unigram = {"type": "Unigram", "unk_id": 2, "vocab": pieces, "byte_fallback": False}
    added = [{"id": 20, "content": "<end>", "special": True, "lstrip": True, "rstrip": True, "normalized": False}]
    for name in ["GPT2", "Llama", "Qwen2", "GPTNeoX", "Cohere", "Gemma", "Qwen3_5"]:
        settings = {
            "tokenizer_class": name + "Tokenizer",
            "add_bos_token": True,
            "add_prefix_space": name != "GPT2",
            "legacy": name == "Llama",
            "bos_token": {"content": "<s>", "special": True},
            "eos_token": "</s>",
            "added_tokens_decoder": {"20": {"content": "<end>", "special": True}},
            "additional_special_tokens": ["<end>"],
        }
        yield json.dumps({"added_tokens": added[:1], "model": bpe}).encode() + b"\0" + json.dumps(settings).encode()
    charsmap = {"type": "Precompiled", "precompiled_charsmap": None}
    for normalizer in [None, charsmap, {"type": "Sequence", "normalizers": [{"type": "NFKC"}, charsmap]}]:
        tokenizer = {"normalizer": normalizer, "model": unigram}
        settings = {"tokenizer_class": "T5Tokenizer", "extra_ids": 3, "eos_token": "</s>"}
        yield json.dumps(tokenizer).encode() + b"\0" + json.dumps(settings).encode()
    letters = ["T", "h", "e", "q", "u", " ", "1", "2"]
    vocab = {t: i for i, t in enumerate(["<unk>", *letters, "he", "The", "qu", "12", "<0xC3>", "<0xA9>", "<0xA0>"])}
    merging = {"type": "BPE", "vocab": vocab, "merges": ["h e", "T he", "q u", "1 2"], "unk_token": "<unk>"}
    for more in [
        {"fuse_unk": True},
        {"byte_fallback": True},
        {"ignore_merges": True},
        {"dropout": 0.5},
        {"end_of_word_suffix": "</w>"},
        {"merges": ["a"]},
        {"unk_token": "none"},
        {"type": "Other"},
    ]:
        yield json.dumps({"pre_tokenizer": {"type": "Whitespace"}, "model": {**merging, **more}}).encode()
    word_level = {"type": "WordLevel", "unk_token": "<unk>", "vocab": {"<unk>": 0, "The": 1, "quick": 2}}
    yield json.dumps({"pre_tokenizer": {"type": "Whitespace"}, "model": word_level}).encode()
    yield json.dumps({"model": {"vocab": pieces, "unk_id": 2}}).encode() + b"\0" + b'{"bos_token": "<s>"}'


def field(number, kind, payload):
    return varint(number << 3 | kind) + payload


def varint(value):
    out = b""
    while value >= 128:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def block(number, payload):
    return field(number, 2, varint(len(payload)) + payload)


def spiece_seeds():
    def piece(text, score, kind):
        return block(1, block(1, text.encode()) + field(2, 5, struct.pack("<f", score)) + field(3, 0, varint(kind)))

    pieces = piece("<pad>", 0, 3) + piece("</s>", 0, 3) + piece("<unk>", 0, 2)
    normal = ["\u2581", "\u2581a", "a", "b", "\u2581the", "e"]
    pieces += b"".join(piece(text, -1.0 - i, 1) for i, text in enumerate(normal))
    trainer = block(2, field(3, 0, varint(1)) + field(40, 0, varint(2)))
    normalizer = block(3, block(1, b"identity") + field(3, 0, varint(1)))
    yield pieces + trainer + normalizer
    yield pieces
    yield pieces[:20]
    yield b"\xff" * 12


def merges_seeds():
    vocabulary = {c: i for i, c in enumerate(["a", "b", "ab", "\u0120", "\u0120a", "<|endoftext|>"])}
    merges = "#version: 0.2\na b\n\u0120 a\n"
    yield json.dumps(vocabulary).encode() + b"\0" + merges.encode()
    yield json.dumps(vocabulary).encode() + b"\0" + b"a c\n"
    yield json.dumps(vocabulary).encode() + b"\0" + b"a b\r\n\n\xc4\xa0  a\n"
    yield b'{"a": 0, "b": 0}\0' + b"a b\n"
    yield b'{"a": 0, "b": 2}\0' + b"a b\n"
    yield b'["a"]\0' + b"a b\n"
    yield b'{"a": -1}\0' + b"ab\n"
    yield b"{}\0"
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    every_byte = [chr(c) for c in printable] + [chr(0x100 + i) for i in range(256 - len(printable))]
    pieces = ["h e", "T he", "\u0120 b", "q u", "\u0120 qu", "1 2", "12 3", "o x", "f ox", "\u0120 \u0120b"]
    vocabulary = {c: i for i, c in enumerate(every_byte + [piece.replace(" ", "") for piece in pieces])}
    yield json.dumps(vocabulary).encode() + b"\0" + "\n".join(["#version: 0.2", *pieces]).encode() + b"\n"
    yield json.dumps({"a": 0, "b": 1, "ab": 2, "</s>": 3, "<pad>": 4}).encode() + b"\0" + b"a b\r\n\r\n"
    for line in (b"a", b" b", b"a ", b"a b c"):
        yield json.dumps({"a": 0, "b": 1, "ab": 2}).encode() + b"\0" + line + b"\n"
    for model in bpe_models():
        yield json.dumps(model).encode()


def template_seeds():
    yield (
        b"{{ bos_token }}{% for message in messages %}{% if message.role == 'assistant' %}{% generation %}"
        b"{{ message.content | trim }}{{ eos_token }}{% endgeneration %}{% else %}<|{{ message['role'] }}|>"
        b"{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}"
        b"{{ part.text }}{% endfor %}{% endif %}{% endif %}\n{% endfor %}"
        b"{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    yield (
        b"{%- set ns = namespace(n=0) -%}{%- macro show(x, y=2) -%}{{ x|tojson(indent=y) }}{%- endmacro -%}"
        b"{%- for t in tools -%}{%- set ns.n = ns.n + loop.index -%}{{ show(t) }}{%- endfor -%}{{ ns.n }}"
        b"{{ messages[1:-1]|map(attribute='role')|join(', ') }}{{ strftime_now('%d %b %Y') }}"
    )
    yield b"{{ messages[0].content.split(' ')[0].upper() ~ '%s-%d'|format('a', 3) }}{{ range(3)|list }}"
    yield b"{% for m in messages %}{{ raise_exception('no') }}{% endfor %}"
    yield b"{{ 'a' * 1000000000 }}"
    yield b"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"
    yield b"{% for"
    constructs = (GOLDEN / "templates" / "constructs.jsonl").read_text().splitlines()
    cases = [case for case in map(json.loads, constructs) if "template" in case]
    rendered = [case["template"] for case in cases if "error" not in case]
    for first in range(0, len(rendered), 4):
        yield "\n".join(rendered[first : first + 4]).encode()
    for case in [case for case in cases if "error" in case][::4]:
        yield case["template"].encode()


def row_seeds():
    yield b'{"prompt": "A dog", "completion": " ran."}\n{"text": "The cat sat."}\n'
    yield b'{"input_ids": [1, 5, 6], "labels": [-100, 5, 6], "attention_mask": [1, 1, 1]}\n'
    yield b'{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}\n'
    yield (
        b'{"prompt": [{"role": "user", "content": "Hi"}], "id": 3,'
        b' "completion": [{"role": "assistant", "content": "Yes."}]}\n'
    )
    yield b'{"input_ids": [99999999999]}\n'
    ids = {"input_ids": [1, 5, 6], "labels": [7, 8, -100]}
    more = [
        {"decoder_input_ids": [0, 7], "decoder_attention_mask": [1, 1, 0], "position_ids": [0, 1, 2]},
        {"decoder_input_ids": [7, 7]},
        {"decoder_attention_mask": [0, 1, 1]},
        {"decoder_attention_mask": [1, 0, 0]},
        {"position_ids": [0, 2, 1]},
        {"position_ids": "0"},
        {"attention_mask": [1, 1]},
        {"attention_mask": [1, 2, 1]},
        {"attention_mask": [0, 1, 1], "position_ids": [0, 0, 1]},
        {"loss_mask": [1, 0, 1]},
        {"loss_mask": [], "weight": None, "other": 3},
        {"text": "a"},
    ]
    for fields in more:
        yield json.dumps({**ids, **fields}).encode() + b"\n"
    yield b'{"input_ids": [1, 5], "labels": [5]}\n'
    yield b'{"input_ids": [1, 5], "labels": [-100, -100]}\n'
    yield b'{"question": "?"}\n'
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes.", "thinking": "t", "weight": 1}]
    yield json.dumps({"messages": turns, "tools": [], "source": "s"}).encode() + b"\n"
    yield json.dumps({"messages": [{**turns[0], "weight": 0}, {**turns[1], "weight": 0.5}]}).encode() + b"\n"
    yield json.dumps({"messages": [{**turns[0], "train": True}, {**turns[1], "train": True}, 3]}).encode() + b"\n"
    yield b'\n\n{"text": ""}\n'
    yield b'{"text": "\xff"}\n'


def form_seeds():
    yield b"\x00" + b'{"source": ["One.", "Two."], "target": ["Short."]}\n'
    yield b"\x01" + b'{"fname": "a", "dialogue": "#Person1#: Hi", "summary": "They greet.", "topic": "t"}\n'
    yield b"\x02" + b'[{"url": "u", "targetValue": "(list (description Paris))", "utterance": "where?"}]'
    squad = {
        "version": "1.1",
        "data": [
            {
                "title": "t",
                "paragraphs": [
                    {
                        "context": "Anna ran.",
                        "qas": [{"id": "1", "question": "Who?", "answers": [{"text": "Anna", "answer_start": 0}]}],
                    }
                ],
            }
        ],
    }
    yield b"\x03" + json.dumps(squad).encode()
    yield b"\x05" + b'{"goal": "Eat", "sol1": "a", "sol2": "b", "label": 1}\n'
    yield b"\x05" + b' [{"goal": "Eat", "sol1": "a", "sol2": "b", "label": 0, "sol3": "c", "id": 1}]'
    yield b"\x05" + b'[{"goal": "Eat", "sol1": "a", "sol2": "b", "label": 0}, 3]'
    yield b"\x06" + b"Good phone.\t1\nBad.\t0\n"
    yield b"\x06" + b"no tab\n"


def adapter_seeds():
    for name in ("llama-gqa-tied-lora", "llama-gqa-tied-prefix", "bloom-lora"):
        folder = GOLDEN / "adapters" / name
        config = (folder / "adapter_config.json").read_bytes()
        yield config + b"\0" + (folder / "adapter_model.safetensors").read_bytes()
    yield b"{}\0"


def manifest_seeds():
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    abc = {"bytes": 3, "sha256": digest}
    entry = {"a.txt": abc}
    written = {"format": "greentrainer-files", "version": 1, "state": "written"}
    for files, folders in [(entry, []), (entry, ["sub"]), ({"../a.txt": abc}, []), ({}, ["a.txt"])]:
        yield json.dumps({**written, "files": files, "folders": folders}).encode()
    yield b'{"format": "greentrainer-files"}'
    more = [
        ({**entry, "b/c.txt": abc}, ["b", "b/empty"]),  # all that is there but a link
        ({**entry, "b/c.txt": abc, "link/kept.txt": abc, "link": abc}, ["b", "b/empty", "link", "link/sub"]),
        ({"a.txt": {"bytes": 4, "sha256": digest}, "b/c.txt": {"bytes": 3, "sha256": "0"}, "d": abc}, ["b", "d"]),
        ({"b": abc, "a.txt/": abc}, ["b/", "b//empty", "a.txt/x"]),
        ({"a.txt": {"bytes": (1 << 63) + 3, "sha256": digest}}, []),
        ({"/a.txt": abc}, []),
        ({"": abc}, []),
        ({"a\0b": abc}, []),
        ({"a.txt": {"bytes": -3, "sha256": digest}}, []),
        ({"a.txt": {"bytes": 3}}, []),
        ({"a.txt": []}, []),
        (entry, ["./b"]),
        (entry, [3]),
        (entry, {}),
        ([], []),
    ]
    for files, folders in more:
        yield json.dumps({**written, "files": files, "folders": folders}).encode()
    for field in ({"state": "writing"}, {"state": "replaced"}, {"state": "other"}, {"state": 1}, {"version": 2}):
        yield json.dumps({**written, "files": entry, "folders": [], **field}).encode()
    yield b"[]"
    yield b"{"


def gzip_seeds():
    members = [gzip.compress(text, mtime=0) for text in (b'{"text": "one"}\n' * 9, b"", b"two")]
    yield members[0]
    yield members[1]
    yield members[2] + members[0]
    yield members[0][:-5]
    yield members[2] + b"more"
    yield gzip.compress(bytes(1 << 21), mtime=0)
    yield b"\x1f\x8b\x08\x1c" + bytes(6) + b"\x04\x00name\x00file\x00"
    yield b"text"


def toml_seeds():
    yield b'model = "opt"\n[finetune]\nrho = 0.5\nepochs = 5\ntensors = ["*.bias", "a"]\njson = true\n'
    yield b"rho = 0.5\ndata = 'f'\n[finetune]\nmodel = 'opt'\nepochs = 5\ntensors = ['*.bias', 'a']\njson = true\n"
    yield b"[evaluate]\ndata = 'f'\nmodel = 1\n"
    yield b"epochs = 0\n"
    yield b"[finetun]\nrho = 1\n"
    yield b"modle = 'a'\n"
    yield b"config = 'a'\n"
    yield b"[a.b]\nc.d = 1\nx = 1979-05-27T07:32:00Z\n"
    yield b"a = " + b"[" * 101 + b"\n"
    yield b"a = 'never\n"
    yield b'a = """never'
    yield b"x = 1979-05-27T:1\n"
    yield b"a.= 1\n"
    yield b'a = """\nx\n"""\nb = [1, [2, 3]]\nc = {d = 1}\n'
    yield b"a = [" * 50
    yield "r\u00e9 = 1\n".encode()
    yield "x = \u03d1\n".encode()
    yield "[a.\u00fc]\nx = 1\n".encode()
    yield "\ufeff\"\u00e9\" = '\u03d1' # \u2603\n'\u00fc' = \"\"\"\n\u00e9 \\\n  \u00e9\"\"\"\n".encode()
    yield 'x = 1"\u00e9"\n'.encode()
    yield 'x = """\\\u00e9"""\n'.encode()


SEEDS = {
    "safetensors": safetensors_seeds,
    "quantized": quantized_seeds,
    "gguf": gguf_seeds,
    "checkpoint_index": index_seeds,
    "config": config_seeds,
    "tokenizer_json": tokenizer_seeds,
    "spiece_model": spiece_seeds,
    "merges": merges_seeds,
    "ranked_tokenizer": ranked_seeds,
    "chat_template": template_seeds,
    "jsonl_rows": row_seeds,
    "dataset_forms": form_seeds,
    "adapter": adapter_seeds,
    "manifest": manifest_seeds,
    "toml": toml_seeds,
    "gzip": gzip_seeds,
}


def main():
    for name, seeds in SEEDS.items():
        folder = HERE / "corpus" / name
        folder.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds()):
            (folder / f"seed-{number}").write_bytes(seed)


if __name__ == "__main__":
    main()
