#!/usr/bin/env python3
"""What Hugging Face `tokenizers` makes of texts with each normalizer, pre-tokenizer, model and decoder of tokenizer.json, one at a time.

    python3 make_component_goldens.py --out tokenizers/components.jsonl

The first line is the vocabulary that all have. Each other line: {"name", "tokenizer": tokenizer.json without the vocabulary, "rows": [{"text", "ids", "offsets"
(bytes, two for each token), "decoded" where it is of interest}]}.
"""

import argparse
import json
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders as d, models, normalizers as n, pre_tokenizers as p

UNICODE = [
    "caf\u00e9 cafe\u0301 \u00c5ngstr\u00f6m \ufb01ne \u2460 \uff21 \u1e9b\u0323 A\u030a\u0301",
    "stra\u00dfe \u0130s \u039f\u0394\u03a3 \u01c5",
    "a\u0000b\u200b\ufeffc\ufffd\u00add\u0085e\u00a0f\u0378\ue000\tg\u000bh",
    "\u1e69\u0323\u0307 q\u0307\u0323 \uac00\u1100\u1161\u11a8 \u0958 \u0344",
    "\u4f60\u597d x\u4e16 \U0002b825\u2581 \U0001f600",
    "\u0e01\u0e33 \u0627\u0644\u0639\u064e \u05e9\u05c1\u0488",
    "",
]
PLAIN = [
    "Hello, World! It's 12 o'clock.",
    "  two  spaces\tand\nlines  ",
    "$5+3=8 <a>_b-c\u2014d\u3002\u00bf\u00ab^`|~",
    "2024 \u00bd\u00b2\u0663 x1y22z \u4f60\u597d\u200dw",
    "a",
    " ",
]
WORDS = ["[UNK] unaffable unhello, worldly affable", "hello world", "Caf\u00e9 the 12,12", "helloworldhello"]


def vocabulary():
    tokens = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", *"abcdefghijklmnopqrstuvwxyzHWIC0123456789.,!?'-_ \u2581\u00e9"]
    tokens += ["##" + letter for letter in "abcdefghijklmnopqrstuvwxyz0123456789"]
    tokens += ["hello", "world", "un", "##aff", "##able", "##hello", "##world", "12", "the", "n't", "##ly"]
    return {token: id for id, token in enumerate(tokens)}


def cases():
    vocab = vocabulary()
    by_characters = lambda: models.BPE({**vocab, **{c: len(vocab) + i for i, c in enumerate(characters())}}, [], unk_token="[UNK]")
    word_piece = lambda **options: models.WordPiece(vocab, unk_token="[UNK]", **options)
    normalizers = {
        "NFC": n.NFC(), "NFD": n.NFD(), "NFKC": n.NFKC(), "NFKD": n.NFKD(), "Lowercase": n.Lowercase(),
        "StripAccents": n.StripAccents(), "NFD, StripAccents": n.Sequence([n.NFD(), n.StripAccents()]), "Nmt": n.Nmt(),
        "BertNormalizer": n.BertNormalizer(), "BertNormalizer, cased": n.BertNormalizer(lowercase=False),
        "BertNormalizer, accents alone": n.BertNormalizer(False, False, True, False),
        "BertNormalizer, accents stay": n.BertNormalizer(strip_accents=False), "ByteLevel": n.ByteLevel(),
        "Strip": n.Strip(), "Replace": n.Replace(Regex(r"\s+"), "__"), "Replace by nothing": n.Replace(Regex("[aeiou]"), ""),
        "Prepend": n.Prepend("\u2581"), "in sequence": n.Sequence([n.NFKC(), n.Lowercase(), n.Replace(" ", "\u2581")]),
    }  # fmt: skip
    for name, normalizer in normalizers.items():
        tokenizer = Tokenizer(by_characters())
        tokenizer.normalizer = normalizer
        yield f"normalizer {name}", tokenizer, UNICODE, False
    splits = {
        f"Split {behavior}{', inverted' if invert else ''}": p.Split(Regex(r"\s+|\d"), behavior, invert)
        for behavior in ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]
        for invert in [False, True]
    }
    punctuation = {
        f"Punctuation {behavior}": p.Punctuation(behavior)
        for behavior in ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]
    }
    pre_tokenizers = {
        **splits, **punctuation, "Split at a text": p.Split(" ", "merged_with_previous"),
        "Whitespace": p.Whitespace(), "WhitespaceSplit": p.WhitespaceSplit(), "BertPreTokenizer": p.BertPreTokenizer(),
        "Digits": p.Digits(), "Digits, single": p.Digits(True), "CharDelimiterSplit": p.CharDelimiterSplit("o"),
        "FixedLength": p.FixedLength(3), "Metaspace": p.Metaspace(), "Metaspace first": p.Metaspace(prepend_scheme="first"),
        "Metaspace never": p.Metaspace(prepend_scheme="never"), "Metaspace whole": p.Metaspace(split=False),
        "Metaspace by _": p.Metaspace("_"), "in sequence": p.Sequence([p.WhitespaceSplit(), p.Punctuation(), p.Digits(True)]),
    }  # fmt: skip
    for name, pre_tokenizer in pre_tokenizers.items():
        tokenizer = Tokenizer(word_piece())
        tokenizer.pre_tokenizer = pre_tokenizer
        yield f"pre-tokenizer {name}", tokenizer, PLAIN, False
    for name, model in {
        "WordPiece": word_piece(), "WordPiece, short words": word_piece(max_input_chars_per_word=5),
        "WordPiece, another prefix": word_piece(continuing_subword_prefix=""),
        "WordLevel": models.WordLevel(vocab, unk_token="[UNK]"),
    }.items():  # fmt: skip
        tokenizer = Tokenizer(model)
        tokenizer.pre_tokenizer = p.WhitespaceSplit()
        yield f"model {name}", tokenizer, WORDS, False
    for name, decoder in {
        "WordPiece": d.WordPiece(), "WordPiece, not tidied": d.WordPiece(cleanup=False), "BPEDecoder": d.BPEDecoder("l"),
        "Fuse": d.Fuse(), "Strip": d.Strip("h", 1, 0), "Metaspace": d.Metaspace(), "Replace": d.Replace("l", "L"),
        "in sequence": d.Sequence([d.Replace("l", "L"), d.Fuse()]),
    }.items():  # fmt: skip
        tokenizer = Tokenizer(word_piece())
        tokenizer.pre_tokenizer = p.BertPreTokenizer()
        tokenizer.decoder = decoder
        yield f"decoder {name}", tokenizer, WORDS + ["hello ' n't , the ! ' ."], True


def characters():
    known = vocabulary()
    return [c for c in sorted(set("".join(UNICODE))) if c not in known]


def row(tokenizer, text, decoded):
    encoding = tokenizer.encode(text, add_special_tokens=False)
    bytes_before = [0]
    for character in text:
        bytes_before.append(bytes_before[-1] + len(character.encode()))
    result = {"text": text, "ids": encoding.ids, "offsets": [bytes_before[at] for pair in encoding.offsets for at in pair]}
    return result | ({"decoded": tokenizer.decode(encoding.ids, skip_special_tokens=False)} if decoded else {})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    lines = [{"vocab": vocabulary(), "characters": characters()}]
    for name, tokenizer, texts, decoded in cases():
        parts = json.loads(tokenizer.to_str())
        del parts["model"]["vocab"]
        parts = {key: value for key, value in parts.items() if value and key != "version"}
        lines.append({"name": name, "tokenizer": parts, "rows": [row(tokenizer, text, decoded) for text in texts]})
    args.out.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines), encoding="ascii")


if __name__ == "__main__":
    main()
