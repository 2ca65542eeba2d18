#!/usr/bin/env python3
"""Small tokenizers in Mistral's tekken format and tiktoken's, and the ids of their own libraries for them: one JSON
object {"text", "ids"} on each line, and "decoded" where decoding the ids gives another text.

    python3 -m pip install mistral-common==1.13.1 tiktoken==0.14.0 transformers==5.24.0 tokenizers==0.23.3
    python3 make_ranked_goldens.py --corpus ../../examples/data/scitldr/train.jsonl --out tokenizers

tekken: mistral-common, which takes no special token out of a text; where a text has one, transformers. Both
must agree on all other texts. tiktoken, tiktoken-random: tiktoken. The latter's tokens are drawn at random, so that
many pairs of neighbours make up the same token. With --full N the ids of N random texts each are written, for
tests/tokenizers/compare_with_goldens.cpp; with --published FILE also those of a published tekken.json, and of its
tokens in a tiktoken file.
"""

import argparse
import base64
import json
import random
from pathlib import Path

import tiktoken
from make_tokenizer_goldens import NASTY
from mistral_common.tokens.tokenizers.tekken import Tekkenizer
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
from transformers.convert_slow_tokenizer import TikTokenConverter, bytes_to_unicode
from transformers.integrations.mistral.tokenizer import MistralConverter

MISTRAL = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3 = TikTokenConverter().pattern
MIXED = [
    "The weather in Z\u00fcrich is na\u00efve; \u0432 \u041c\u043e\u0441\u043a\u0432\u0435 \u0442\u0430\u043a \u0436\u0435.",
    "\u4eca\u5929\u5929\u6c14\u5f88\u597d\uff0c\u6211\u4eec\u53bb\u516c\u56ed\u3002 \u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645 \u05e9\u05dc\u05d5\u05dd \u0928\u092e\u0938\u094d\u0924\u0947 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea \U0001f44d\U0001f3fd e\u0301 \ufb01 \u2167 \u00bd",
    "1 12 123 1234 12345 3.14159 \u0661\u0662\u0663 x = 10_000;\n\tif (x) {\r\n        return;\n\n\n    }",
]
SPECIAL_TEXTS = ["<s>a</s>", "[INST] Hello[/INST]", "a<SPECIAL_20> <SPECIAL_29>b", " [IMG]<pad><unk>", "<s", "</s >"]
TIKTOKEN_TEXTS = ["<|begin|>Hello<|end|>", "a<|reserved_token_{}|>b", "1234<|turn|>\n\n", "<|end|", "x <|turn|> y"]


def trained(pattern, corpus, size):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.train_from_iterator(corpus + MIXED * 20, trainers.BpeTrainer(vocab_size=size, show_progress=False))
    of_name = {name: byte for byte, name in bytes_to_unicode().items()}
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
    return [token for token in (bytes(of_name[c] for c in name) for name, _ in vocabulary) if len(token) > 1]


def at_random():
    tokens, parts = [], [b"a", b"b", b"c", b"\xc3", b"\xa9"]
    while len(tokens) < 400:
        token = random.choice(parts) + random.choice(parts)
        if len(token) <= 12 and token not in tokens:
            tokens.append(token)
            parts.append(token)
    random.shuffle(tokens)
    return tokens


def write_tekken(folder, tokens):
    special = 30
    size = special + 256 + len(tokens)
    vocabulary = [bytes([byte]) for byte in range(256)] + tokens + [b"beyond", b" beyond"]  # does not count
    tekken = {
        "config": {
            "pattern": MISTRAL,
            "num_vocab_tokens": len(vocabulary),
            "default_vocab_size": size,
            "default_num_special_tokens": special,
            "version": "v7",
        },
        "vocab": [
            {"rank": rank, "token_bytes": base64.b64encode(token).decode(), "token_str": text_of(token)}
            for rank, token in enumerate(vocabulary)
        ],
        "version": 1,
        "type": "Tekken",
    }
    tekken["special_tokens"] = [
        {"rank": token["rank"], "token_str": str(token["token_str"].value), "is_control": True}
        for token in Tekkenizer.DEPRECATED_SPECIAL_TOKENS
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tekken.json").write_text(json.dumps(tekken, indent=0) + "\n")


def text_of(token):
    try:
        return token.decode()
    except UnicodeDecodeError:
        return None


def tekken_encoder(folder):
    mistral = Tekkenizer.from_file(folder / "tekken.json")
    converted = MistralConverter(str(folder / "tekken.json")).converted()
    special = [token["token_str"] for token in mistral._all_special_tokens]

    def encode(text):
        ids = converted.encode(text, add_special_tokens=False).ids
        if not any(token in text for token in special):
            assert ids == mistral.encode(text, bos=False, eos=False), text
        return ids

    return encode, lambda ids: converted.decode(ids, skip_special_tokens=False)


def write_tiktoken(folder, name, tokens, added):
    ranks = list(bytes_to_unicode()) + tokens  # GPT-2's order of bytes
    ranks = {token if isinstance(token, bytes) else bytes([token]): rank for rank, token in enumerate(ranks)}
    folder.mkdir(parents=True, exist_ok=True)
    lines = [base64.b64encode(token) + f" {rank}\n".encode() for token, rank in ranks.items()]
    (folder / name).write_bytes(b"".join(lines))
    if not added:
        return ranks, {}
    named = {len(ranks): "<|begin|>", len(ranks) + 1: "<|end|>", len(ranks) + 3: "<|turn|>"}
    decoder = {str(number): {"content": token, "special": True} for number, token in named.items()}
    config = {"added_tokens_decoder": decoder, "bos_token": "<|begin|>", "eos_token": "<|end|>", "add_bos_token": True}
    config |= {"tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    special = {token: number for number, token in named.items()}
    return ranks, special | {f"<|reserved_token_{len(ranks) + 2}|>": len(ranks) + 2}


def tiktoken_encoder(ranks, special):
    encoding = tiktoken.Encoding("ranked", pat_str=LLAMA3, mergeable_ranks=ranks, special_tokens=special)
    return lambda text: encoding.encode(text, allowed_special="all"), encoding.decode


def write_published(out, file, texts):
    (out / "published").mkdir(parents=True, exist_ok=True)
    (out / "published/tekken.json").write_bytes(file.read_bytes())
    write_lines(out / "published.jsonl", *tekken_encoder(out / "published"), texts)
    vocabulary = json.loads(file.read_text(encoding="utf-8"))["vocab"]
    tokens = [base64.b64decode(token["token_bytes"]) for token in vocabulary[256:]]
    ranks, special = write_tiktoken(out / "published-tiktoken", "tokenizer.model", tokens, True)
    write_lines(out / "published-tiktoken.jsonl", *tiktoken_encoder(ranks, special), texts)


def random_texts(count, alphabets):
    for _ in range(count):
        alphabet = random.choice(alphabets)
        yield "".join(random.choice(alphabet) for _ in range(random.randint(1, 60)))


def write_lines(path, encode, decode, texts):
    with open(path, "w", encoding="utf-8") as file:
        for text in texts:
            line = {"text": text, "ids": encode(text)}
            if decode(line["ids"]) != text:
                line["decoded"] = decode(line["ids"])
            file.write(json.dumps(line, ensure_ascii=True) + "\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--corpus", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--full", type=int)
    parser.add_argument("--published", type=Path)
    options = parser.parse_args()
    random.seed(7)
    rows = [json.loads(line) for line in options.corpus.read_text(encoding="utf-8").splitlines()]
    corpus = [value for row in rows for value in row.values() if isinstance(value, str)]
    everything = "".join(MIXED + NASTY)
    alphabets = [everything, "abc", "aA1 \n", " \t\r\n", "0123456789 .", "".join(MIXED[1:4]), "ab\u00e9'S "]
    texts = NASTY + MIXED + random.sample(corpus, 10) + list(random_texts(options.full or 150, alphabets))
    if options.full:
        texts += corpus
    out = options.out
    if options.published:
        write_published(out, options.published, texts)
    write_tekken(out / "tekken", trained(MISTRAL, corpus, 700))
    write_lines(out / "tekken.jsonl", *tekken_encoder(out / "tekken"), texts + SPECIAL_TEXTS)
    ranks, special = write_tiktoken(out / "tiktoken", "tokenizer.model", trained(LLAMA3, corpus, 700), True)
    special_texts = [text.format(len(ranks) + 2) for text in TIKTOKEN_TEXTS]
    write_lines(out / "tiktoken.jsonl", *tiktoken_encoder(ranks, special), texts + special_texts)
    ranks, special = write_tiktoken(out / "tiktoken-random", "tiktoken.model", at_random(), False)
    texts = list(random_texts(options.full or 250, ["abc", "ab", "a\u00e9b", "abc\u00e9 "]))
    write_lines(out / "tiktoken-random.jsonl", *tiktoken_encoder(ranks, special), texts)


if __name__ == "__main__":
    main()
