#!/usr/bin/env bash
# transformers 5.24.0, tiktoken 0.13.0. A tiktoken file (`tokenizer.model`, a base64 piece and its rank on each line)
# does not say how text is split before pieces are merged. AutoTokenizer takes Llama 3's pattern for every such file,
# which keeps up to three digits together, also where the folder names a class with another pattern, and does not say
# so: Qwen2Tokenizer splits digits one by one, but makes other tokens of a tiktoken file than of the same pieces and
# merges in vocab.json and merges.txt. A model that was trained with single digits reads numbers it has never seen so.
# Seen: "1234" is ['123', '4'] from the tiktoken file, ['1', '2', '3', '4'] from vocab.json and merges.txt.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install transformers==5.24.0 tiktoken==0.13.0 sentencepiece==0.2.2 protobuf==7.35.1
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import base64
import json
import pathlib

from transformers import AutoTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

letters = bytes_to_unicode()
pieces = [bytes([byte]) for byte in range(256)] + [b"12", b"123", b"1234"]


def folder(name, files):
    path = pathlib.Path(name)
    path.mkdir()
    for file, content in files.items():
        (path / file).write_bytes(content)
    (path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "Qwen2Tokenizer"}))
    return AutoTokenizer.from_pretrained(path)


ranks = b"".join(base64.b64encode(piece) + b" " + str(rank).encode() + b"\n" for rank, piece in enumerate(pieces))
vocabulary = {"".join(letters[byte] for byte in piece): rank for rank, piece in enumerate(pieces)}
as_tiktoken = folder("tiktoken", {"tokenizer.model": ranks})
as_merges = folder("merges", {"vocab.json": json.dumps(vocabulary).encode(), "merges.txt": b"1 2\n12 3\n123 4\n"})
tokens = [t.convert_ids_to_tokens(t("1234")["input_ids"]) for t in (as_tiktoken, as_merges)]
print([type(t).__name__ for t in (as_tiktoken, as_merges)], *tokens)
assert type(as_tiktoken).__name__ == type(as_merges).__name__ == "Qwen2Tokenizer"
assert tokens == [["123", "4"], ["1", "2", "3", "4"]]
PYTHON
