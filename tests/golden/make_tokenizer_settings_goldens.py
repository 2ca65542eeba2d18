#!/usr/bin/env python3
"""What AutoTokenizer.from_pretrained of transformers makes of the small files beside a tokenizer, one JSON object a
line.

    python3 make_tokenizer_settings_goldens.py --out tokenizers/settings.jsonl

"base": a folder whose files in "keep" stay; "files": written beside them; "set": top-level keys of tokenizer.json that
are replaced. Then ids of the roles, the number of tokens, and for each text: "ids" without and "sequence" with what
stands around a sequence, and "decoded", the sequence's text without special tokens. "refused" in place of these: a word
of our error, where transformers goes on (or fails).
"""

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"

ROOT = Path(__file__).resolve().parent.parent.parent
BASES = {
    "byte-bpe": "tests/golden/tokenizers/byte-bpe",
    "unigram": "tests/golden/tokenizers/unigram",
    "stories260k": "examples/data/stories260k",
}
TEXTS = {
    "byte-bpe": [
        "a 12  7",
        "a  <mask>  b",
        "a <sep>b <|im_end|> c",
        "x<cls> <image> the",
        "e\u0301 e\u0301t 12 a\u0323's  'S\n\n b",
        "<pad>a  <unk> <|endoftext|>",
    ],
    "unigram": ["a 12  7", "a  <mask>  b", "x <extra_id_0> y </s><pad>z", "\ufb01 <unk>"],
    "stories260k": ["Once  upon 12", " a  <mask>  b", "<s>Once</s> upon <unk>", "<pad>a"],
}
JSON = ["tokenizer.json"]
FILES = ["vocab.json", "merges.txt"]
SPIECE = ["spiece.model"]


def token(content, **flags):
    return {
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
    } | flags


def cases():
    def case(name, config=None, base="byte-bpe", keep=JSON, refused=None, model=None, set=None, **files):
        written = {} if config is None else {"tokenizer_config.json": config}
        if model is not None:
            written["config.json"] = model
        written |= {key + ".json": value for key, value in files.items()}
        return {"name": name, "base": base, "keep": keep, "files": written, "set": set or {}, "refused": refused}

    fast = {"tokenizer_class": "PreTrainedTokenizerFast"}
    ends = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}
    flags = {"add_bos_token": True, "add_eos_token": True}
    opt, llama, t5 = {"model_type": "opt"}, {"model_type": "llama"}, {"model_type": "t5"}

    # Which class, and what it takes from tokenizer.json.
    for name in [
        None,
        "PreTrainedTokenizerFast",
        "GPT2Tokenizer",
        "GPT2TokenizerFast",
        "LlamaTokenizer",
        "BloomTokenizerFast",
    ]:
        for model in [None, opt, llama, {"model_type": "gpt2"}, {"model_type": "bloom"}]:
            named = {} if name is None else {"tokenizer_class": name}
            yield case(f"class {name}, {model}", ends | named, model=model)
    yield case("class of config.json", model=llama | {"tokenizer_class": "GPT2Tokenizer"})
    yield case(
        "class of tokenizer_config.json before that of config.json",
        fast,
        model=llama | {"tokenizer_class": "GPT2Tokenizer"},
    )
    yield case(
        "class that reads the file in its own way", {"tokenizer_class": "CLIPTokenizer"}, refused="CLIPTokenizer"
    )
    # Named, since these vocabularies have no <PAD> or <bos>, which the classes would add.
    all_roles = ["unk_token", "pad_token", "cls_token", "sep_token", "mask_token"]
    one_for_all = {role: "<|endoftext|>" for role in ["bos_token", "eos_token", *all_roles]}
    sentencepiece = {"bos_token": "<s>", "eos_token": "</s>"} | {role: "<unk>" for role in all_roles}
    for name in ["Qwen2Tokenizer", "Qwen3_5Tokenizer", "GPTNeoXTokenizerFast", "CohereTokenizer"]:
        for more in [{}, ends | flags, {"add_prefix_space": True}]:
            yield case(f"class {name}, {more}", {"tokenizer_class": name} | one_for_all | more)
    yield case("class Qwen2Tokenizer, nothing else", {"tokenizer_class": "Qwen2Tokenizer"})
    for more in [{}, flags]:
        gemma = {"tokenizer_class": "GemmaTokenizer"} | sentencepiece | more
        yield case(f"class GemmaTokenizer, {more}", gemma, "stories260k")
    for kind in ["qwen2", "qwen3", "qwen3_5", "gpt_neox", "gemma2", "cohere", "mistral", "granite", "phi3", "olmo2"]:
        for name in [None, "GPT2Tokenizer", "LlamaTokenizer", "PreTrainedTokenizerFast"]:
            base, roles = ("stories260k", sentencepiece) if kind == "gemma2" else ("byte-bpe", one_for_all)
            named = {} if name is None else {"tokenizer_class": name}
            yield case(f"model type {kind}, class {name}", roles | named, base, model={"model_type": kind})
    for prefix in [True, False]:
        yield case(f"GPT2Tokenizer, prefix {prefix}", {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": prefix})
        yield case(f"as it is, prefix {prefix}", fast | {"add_prefix_space": prefix})
        yield case(
            f"LlamaTokenizer, prefix {prefix}",
            {"tokenizer_class": "LlamaTokenizer", "add_prefix_space": prefix},
            "stories260k",
        )
    yield case("LlamaTokenizer", {"tokenizer_class": "LlamaTokenizer"}, "stories260k", model=llama)
    for legacy in [True, False]:
        yield case(
            f"LlamaTokenizer, legacy {legacy}",
            {"tokenizer_class": "LlamaTokenizerFast", "legacy": legacy},
            "stories260k",
        )
    yield case("no class, llama", None, "stories260k", model=llama)
    yield case("T5Tokenizer", {"tokenizer_class": "T5Tokenizer"}, "unigram", model=t5)
    yield case("no class, t5", None, "unigram", model=t5)
    yield case("t5 as it is", fast, "unigram", model=t5)
    yield case(
        "t5, another post-processor", {"tokenizer_class": "T5Tokenizer"}, "unigram", set={"post_processor": None}
    )
    yield case("t5, another post-processor, as it is", fast, "unigram", set={"post_processor": None})

    # What stands around a sequence.
    single = [{"SpecialToken": {"id": "<|im_start|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    template = {
        "type": "TemplateProcessing",
        "single": single,
        "pair": single + [{"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<|im_start|>": {"id": "<|im_start|>", "ids": [1], "tokens": ["<|im_start|>"]}},
    }
    for bos in [None, True, False]:
        for eos in [None, True, False]:
            around = {
                key: value for key, value in [("add_bos_token", bos), ("add_eos_token", eos)] if value is not None
            }
            says = f"bos {bos}, eos {eos}"
            yield case(f"no post-processor, {says}", fast | ends | around)
            yield case(f"post-processor, {says}", fast | ends | around, set={"post_processor": template})
            yield case(
                f"GPT2Tokenizer, post-processor, {says}",
                {"tokenizer_class": "GPT2Tokenizer"} | ends | around,
                set={"post_processor": template},
            )
            yield case(f"vocab.json, opt, {says}", ends | around, keep=FILES, model=opt)
            yield case(
                f"vocab.json, GPT2Tokenizer, {says}", {"tokenizer_class": "GPT2Tokenizer"} | ends | around, keep=FILES
            )
            yield case(f"llama with BOS in its post-processor, {says}", fast | around, "stories260k")
            yield case(f"LlamaTokenizer, {says}", {"tokenizer_class": "LlamaTokenizer"} | around, "stories260k")
            yield case(
                f"LlamaTokenizer, no post-processor, {says}",
                {"tokenizer_class": "LlamaTokenizer"} | around,
                "stories260k",
                set={"post_processor": None},
            )
            yield case(f"tokenizer.json of t5, {says}", {"tokenizer_class": "T5Tokenizer"} | around, "unigram")
            yield case(f"spiece.model, {says}", {"tokenizer_class": "T5Tokenizer"} | around, "unigram", keep=SPIECE)
    yield case("vocab.json, no tokenizer_config.json", keep=FILES, model=opt)

    # Tokens that are special in a text.
    for role in ["sep_token", "cls_token", "mask_token", "pad_token", "unk_token", "image_token"]:
        for base, keep, config in [
            ("byte-bpe", JSON, fast),
            ("byte-bpe", FILES, {"tokenizer_class": "GPT2Tokenizer"}),
            ("byte-bpe", JSON, {"tokenizer_class": "GPT2Tokenizer"}),
            ("unigram", JSON, {"tokenizer_class": "T5Tokenizer"}),
            ("stories260k", JSON, fast),
        ]:
            yield case(f"{role}, {base}, {keep[0]}, {config['tokenizer_class']}", config | {role: "<mask>"}, base, keep)
    yield case("ids of new tokens by role", fast | {"pad_token": "<pad>", "mask_token": "<mask>", "sep_token": "<sep>"})
    yield case("a role with flags", fast | {"mask_token": token("<mask>", lstrip=True, __type="AddedToken")})
    yield case("a role that is an ordinary token", fast | {"mask_token": "the"})
    yield case("an EOS outside the vocabulary", fast | {"eos_token": "<mask>"}, refused="eos_token")
    yield case("extra list", fast | {"extra_special_tokens": ["<sep>", "<mask>"]})
    yield case(
        "extra list with flags", fast | {"extra_special_tokens": [token("<mask>", lstrip=True, __type="AddedToken")]}
    )
    yield case("extra object", fast | {"extra_special_tokens": {"image_token": "<image>", "a_token": "<sep>"}})
    yield case("additional list", fast | {"additional_special_tokens": ["<sep>", "<mask>"]})
    yield case(
        "additional and extra lists",
        fast | {"additional_special_tokens": ["<sep>"], "extra_special_tokens": ["<mask>"]},
    )
    yield case(
        "additional list, extra object",
        fast | {"additional_special_tokens": ["<sep>"], "extra_special_tokens": {"image_token": "<image>"}},
    )
    yield case("names of their own", fast | {"zeta_token": "<sep>", "image_token": "<image>"})
    decoder = lambda **tokens: fast | {"added_tokens_decoder": {key[1:]: value for key, value in tokens.items()}}
    yield case("decoder overrides flags", decoder(_2=token("<|im_end|>", lstrip=True, rstrip=True)))
    yield case("decoder says not special", decoder(_2=token("<|im_end|>", special=False)))
    yield case("decoder has a new token", decoder(_1000=token("<mask>", rstrip=True)))
    yield case("decoder has new tokens in any order", decoder(_1001=token("<mask>"), _1000=token("<sep>")))
    yield case("decoder has a new token with another id", decoder(_1500=token("<mask>")), refused="<mask>")
    yield case("decoder has a token with another id", decoder(_7=token("<|im_end|>")), refused="<|im_end|>")
    yield case("decoder and map", decoder(_2=token("<|im_end|>")), special_tokens_map={"mask_token": "<mask>"})
    yield case("decoder and added tokens", decoder(_2=token("<|im_end|>")), added_tokens={"<mask>": 1000})
    yield case(
        "decoder, GPT2Tokenizer",
        {"tokenizer_class": "GPT2Tokenizer", "added_tokens_decoder": {"0": token("<|endoftext|>")}},
    )
    yield case("map", fast, special_tokens_map={"mask_token": "<mask>"})
    yield case("map with flags", fast, special_tokens_map={"mask_token": token("<mask>", lstrip=True)})
    yield case("map overrides", fast | {"eos_token": "<|im_start|>"}, special_tokens_map={"eos_token": "<|im_end|>"})
    yield case("map: additional", fast, special_tokens_map={"additional_special_tokens": ["<sep>"]})
    yield case(
        "map: extra list",
        fast | {"extra_special_tokens": ["<mask>"]},
        special_tokens_map={"extra_special_tokens": ["<sep>"]},
    )
    yield case(
        "map: extra object",
        fast | {"extra_special_tokens": ["<mask>"]},
        special_tokens_map={"extra_special_tokens": {"image_token": "<image>"}},
    )
    yield case("map: a name of its own", fast, special_tokens_map={"image_token": "<image>"})
    yield case("added tokens", fast, added_tokens={"<sep>": 1001, "<mask>": 1000})
    yield case(
        "added tokens that are special", fast | {"mask_token": "<mask>"}, added_tokens={"<mask>": 1000, "<sep>": 1001}
    )
    yield case("added tokens with another id", fast, added_tokens={"<mask>": 1005}, refused="<mask>")
    for config in [{}, {"mask_token": "<mask>"}, {"mask_token": token("<mask>", __type="AddedToken")}]:
        for special in [True, False]:
            added = [
                token("<|im_end|>", id=2),
                token("<mask>", lstrip=True, special=special, normalized=not special, id=1000),
            ]
            yield case(
                f"tokenizer.json's own flags, special {special}, {config}", fast | config, set={"added_tokens": added}
            )
            plain = {"added_tokens_decoder": {"1000": token("<mask>")}}
            yield case(
                f"the decoder's flags, special {special}, {config}", fast | config | plain, set={"added_tokens": added}
            )
            other = {"added_tokens_decoder": {"2": token("<|im_end|>")}}
            yield case(
                f"a decoder without it, special {special}, {config}", fast | config | other, set={"added_tokens": added}
            )
    yield case("special tokens are split", fast | ends | {"split_special_tokens": True})
    yield case(
        "special tokens are split, others not",
        decoder(_1000=token("<mask>", special=False)) | {"split_special_tokens": True},
    )
    yield case(
        "special tokens are split, vocab.json",
        {"tokenizer_class": "GPT2Tokenizer", "split_special_tokens": True} | flags,
        keep=FILES,
    )

    # Keys that change nothing, or that are refused.
    yield case(
        "keys that change nothing",
        fast
        | {
            "model_max_length": 2,
            "clean_up_tokenization_spaces": True,
            "padding_side": "left",
            "errors": "ignore",
            "do_lower_case": True,
            "legacy": True,
            "truncation_side": "left",
            "use_fast": False,
            "bos_token": None,
            "sp_model_kwargs": {},
            "processor_class": "X",
        },
    )
    yield case(
        "another file in place of tokenizer.json",
        fast | {"fast_tokenizer_files": ["tokenizer.4.0.0.json"]},
        refused="fast_tokenizer_files",
    )
    yield case("code of its own", fast | {"auto_map": {"AutoTokenizer": ["x.Y", None]}}, refused="auto_map")
    yield case("a key that nobody knows", fast | {"surprise": 1}, refused="surprise")
    yield case("single words", decoder(_1000=token("<mask>", single_word=True)), refused="single_word")


def load(folder, case):
    from transformers import AutoTokenizer

    for file in case["keep"]:
        shutil.copyfile(ROOT / BASES[case["base"]] / file, folder / file)
    for file, value in case["files"].items():
        (folder / file).write_text(json.dumps(value))
    if case["set"]:
        value = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        (folder / "tokenizer.json").write_text(json.dumps(value | case["set"]))
    return AutoTokenizer.from_pretrained(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    lines = []
    for case in cases():
        if case["refused"] is None:
            del case["refused"]
            with tempfile.TemporaryDirectory() as folder:
                tokenizer = load(Path(folder), case)
            for role in ["bos", "eos", "pad", "unk"]:
                case[role] = getattr(tokenizer, role + "_token_id")
            case["size"] = len(tokenizer)
            case["texts"] = [
                {
                    "text": text,
                    "ids": tokenizer.encode(text, add_special_tokens=False),
                    "sequence": tokenizer.encode(text),
                    "decoded": tokenizer.decode(tokenizer.encode(text), skip_special_tokens=True),
                }
                for text in TEXTS[case["base"]]
            ]
        lines.append(json.dumps(case, separators=(",", ":")))
    args.out.write_text("\n".join(lines) + "\n", encoding="ascii")
    print(f"{args.out}: {len(lines)} cases")


if __name__ == "__main__":
    main()
