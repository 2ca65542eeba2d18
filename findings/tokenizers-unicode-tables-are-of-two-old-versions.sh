#!/usr/bin/env bash
# tokenizers 0.23.3. Its tables of characters are not today's Unicode, and not of one version: what is punctuation
# (Punctuation, BertPreTokenizer) is Unicode 8, what normalises (NFC, NFD, NFKC, NFKD) and what StripAccents removes is
# Unicode 9. An implementation on a current Unicode library gives other ids for newer characters.
# Seen: U+2E42 (new in Unicode 7) is split off as punctuation, U+2E43 (new in Unicode 9) is not; NFKC leaves U+32FF (new
# in Unicode 12.1, where it decomposes) as it is.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install tokenizers==0.23.3
"$work/venv/bin/python" - <<'PYTHON'
import unicodedata

from tokenizers import normalizers, pre_tokenizers

is_punctuation = {}
for c in "\u2e42\u2e43\u2e44\u2e4f":
    is_punctuation[f"U+{ord(c):04X}"] = pre_tokenizers.Punctuation("removed").pre_tokenize_str(c) == []
    assert unicodedata.category(c).startswith("P")
print("punctuation that is new in Unicode 7, 9, 9 and 12, by tokenizers:", is_punctuation)
nfkc = normalizers.NFKC().normalize_str("\u32ff")
print("NFKC of U+32FF:", repr(nfkc), "by Python:", repr(unicodedata.normalize("NFKC", "\u32ff")))
assert unicodedata.normalize("NFKC", "\u32ff") == "\u4ee4\u548c"
assert nfkc == "\u32ff"
assert is_punctuation["U+2E42"] and not is_punctuation["U+2E43"] and not is_punctuation["U+2E4F"], is_punctuation
PYTHON
