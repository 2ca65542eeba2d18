#!/usr/bin/env bash
# tokenizers 0.23.3. Offsets that an encoding reports are those of the normalised text's alignment, and a Replace
# normaliser aligns everything that it puts in place of a match with the LAST character of the match alone. A token made
# of replaced text seems to begin inside the match: characters before it belong to no token.
# Seen: "xabcy" with "abc" -> "Z": token Z has offsets (3, 4), not (1, 4).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install tokenizers==0.23.3
"$work/venv/bin/python" - <<'PYTHON'
from tokenizers import Tokenizer, models, normalizers

tokenizer = Tokenizer(models.BPE(vocab={"x": 0, "y": 1, "Z": 2}, merges=[]))
tokenizer.normalizer = normalizers.Replace("abc", "Z")
encoding = tokenizer.encode("xabcy")
print(list(zip(encoding.tokens, encoding.offsets)))
assert list(zip(encoding.tokens, encoding.offsets)) == [("x", (0, 1)), ("Z", (3, 4)), ("y", (4, 5))]
PYTHON
