#!/usr/bin/env python3
"""Token ids of Hugging Face `tokenizers` for awkward and ordinary text, one JSON object a line: {"text": ..., "ids": [...]}, and "decoded" where
decoding those ids, special tokens included, gives another text.

    S="--text ../../examples/data/scitldr/train.jsonl tinyshakespeare.txt"
    python3 make_tokenizer_goldens.py gpt2=GPT2 opt=OPT smollm2=SMOLLM2/tokenizer.json t5=T5/tokenizer.json stories260k=STORIES/tokenizer.json $S --out tokenizers
    python3 make_tokenizer_goldens.py --train tokenizers --corpus ../../examples/data/scitldr/train.jsonl
    python3 make_tokenizer_goldens.py byte-bpe-digits=tokenizers/byte-bpe/tokenizer.json byte-bpe=tokenizers/byte-bpe bloom=tokenizers/bloom/tokenizer.json \\
        unigram=tokenizers/unigram/tokenizer.json unigram-bytes=tokenizers/unigram-bytes/tokenizer.json $S --out tokenizers
    python3 make_tokenizer_goldens.py gpt2=GPT2 ... --full FILE... --out OUT

A tokenizer is given as NAME=tokenizer.json or NAME=FOLDER: with vocab.json and merges.txt (GPT-2's pre-tokeniser), or with spiece.model (T5's, as
transformers reads it). Nothing is put in front or behind; special tokens written in the text are recognised, as by default in transformers. With
--full every line of the files is encoded (and every string inside a line that is JSON), for a comparison by hand.
"""

import argparse
import io
import json
import tempfile
import unicodedata
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SAMPLE = 210
SIZE = 1000  # tokens of those trained here
BYTE_BPE_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
# For tokenizers of the vocab.json and merges.txt form: the tokens that their tokenizer_config.json names.
SPECIAL = {"gpt2": ["<|endoftext|>"], "opt": ["</s>", "<pad>"], "byte-bpe": BYTE_BPE_SPECIAL}
BLOOM_PATTERN = " ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+"
LONGEST_LINE = 4000

NASTY = [
    "",
    " ",
    "  ",
    "   ",
    "\t",
    "\n",
    "\r\n",
    "\r",
    " \n",
    "\n ",
    "\n\n\n",
    "\t\t\t",
    " \t \n ",
    "Hello, world!",
    " leading",
    "trailing ",
    "trailing   ",
    "two  spaces",
    "three   spaces   twice",
    "            twelve spaces",
    "tab\tbetween",
    "\tdef f(x):\n\t\treturn x  # two tabs",
    "line one\nline two\r\nline three\rline four",
    "a \n b",
    "a  \n  b",
    "a\n\n\nb\n",
    "if (x == 1) {\n        y += 2;\n    }\n",
    "I'm you're he's we'll they've she'd can't",
    "I'M YOU'RE HE'S WE'LL THEY'VE SHE'D CAN'T IT'S",
    "'s 'S 't 'T 'll 'LL 're 'Re",
    "don''t ''s 'quoted' 'sword 'tis 'llama",
    "it\u2019s a \u201cquote\u201d \u2018single\u2019",
    "rock'n'roll o'clock 90's '90s",
    "0",
    "42",
    "2024",
    "1234567890",
    "3.14159",
    "1,000,000",
    "-17",
    "1e-5",
    "v2.0.1",
    "x1y2z3",
    "a  2",
    "a   23 b",
    "  7",
    "\n8",
    "2nd 3rd 10th",
    "12:34:56 on 2024-02-29",
    "\u00bd \u00b2 x\u00b3 \u2167 \u0663\u0664 \u096a\u096b \u3007 \u4e00\u4e8c \u2460 \U0001d7d8",
    "caf\u00e9 na\u00efve \u00fcber \u00c5ngstr\u00f6m",
    "cafe\u0301 e\u0301 n\u0303 o\u0308\u0304 a\u0300\u0301\u0302",
    "\u0301 alone",
    "\u1e9e\u00df\u0131\u0130",
    "\u00c9\u00c8\u00ca \u0152uvre \u0141\u00f3d\u017a \u0160koda",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440!",
    "\u0393\u03b5\u03b9\u03ac \u03c3\u03bf\u03c5 \u039a\u03cc\u03c3\u03bc\u03b5",
    "\u4f60\u597d\uff0c\u4e16\u754c\u3002",
    "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8\u3067\u3059\u3002",
    "\uc548\ub155\ud558\uc138\uc694 \uc138\uacc4",
    "\u1112\u1161\u11ab\u1100\u1173\u11af",
    "\U00020000\U0002a6d6",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645",
    "\u0628\u0650\u0633\u0652\u0645\u0650",
    "\u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd \u05e2\u05d5\u05dc\u05dd",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e",
    "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01",
    "\U0001f600",
    "smile \U0001f600\U0001f603 end",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 family",
    "\U0001f44d\U0001f3fd \U0001f1eb\U0001f1f7 \u2764\ufe0f",
    "\u2211\u222b\u221a\u221e \u2200x\u2208\u211d: x\u00b2 \u2265 0",
    "\u2192 \u2190 \u2026 \u2014 \u2013 \u2022 \u00b7 \u20ac \u00a3 \u00a5 \u00a9 \u2122",
    "zero\u200bwidth\u200cnon\u200djoiner\ufeffbom",
    "no\u00a0break\u202fspace\u2003em\u3000wide",
    "line\u2028para\u2029next\u0085end",
    "vt\x0bff\x0cfs\x1cgs\x1dus\x1f",
    "nul\x00bell\x07del\x7fesc\x1b",
    "mongolian\u180evowel",
    "\ufffd\uffff \U0010ffff",
    "soft\u00adhyphen",
    "\u2581",
    "\u2581a \u2581 b\u2581c",
    "\u0120 \u010a \u0100 byte-level letters",
    "\u00c4\u00a0 \u00e2\u0096\u0081",
    "<|endoftext|>",
    "a<|endoftext|>b",
    " <|endoftext|> ",
    "<|im_start|>user\nHi there<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|> <|im_end|>",
    "<|im_start|><|im_start|>",
    "<|im_start|",
    "<|IM_START|>",
    "</s>",
    "a</s>b",
    "a </s> b",
    "<s>",
    "<s> once",
    "<unk> <pad> <mask>",
    "<s></s><unk>",
    "<0x0A> <0xE2>",
    "[INST] hi [/INST]",
    "<repo_name>x<file_sep>",
    "!!!???...",
    "...!?",
    "#hashtag @mention $100 50% a&b c*d e^f _under_ ~tilde `tick`",
    "http://example.org/path?q=1&r=%20#frag",
    "user@example.com",
    "C++20 / C# / F*",
    "x->y::z[0](){};",
    "{\"key\": [1, 2.5, null, true]}",
    "\\n \\t \\\\ \\u00e9",
    "a_b_c __init__ CamelCaseWord snake_case_word",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "Donaudampfschifffahrtselektrizit\u00e4tenhauptbetriebswerkbauunterbeamtengesellschaft",
    "lopadotemachoselachogaleokranioleipsanodrimhypotrimmatosilphiokarabomelitokatakechymenokichlepikossyphophattoperisteralektryonoptekephalliokigklopeleiolagoiosiraiobaphetraganopterygon",
    "ab" * 120,
    "x" * 400,
    "!" * 70,
    " " * 130,
    "\n" * 40,
    "9" * 60,
    "\u00e9" * 50,
    "\U0001f600" * 30,
    "ThE qUiCk BrOwN fOx",
    "THE QUICK BROWN FOX",
    "The quick brown fox jumps over the lazy dog.",
    "Once upon a time, there was a little girl named Lily.",
]


# What Unicode writes in several ways, which T5's normaliser makes one, and what BLOOM's pattern cuts at.
FORMS = [
    "\ufb01\ufb03 \ufb06 \u0133 \u01c6 \u2122 \u212b \u2126",
    "\uff28\uff45\uff4c\uff4c\uff4f\u3000\uff11\uff12\uff13\uff01",
    "\uff76\uff9e\uff77\uff9e \u30ab\u3099",
    "\ufdfa \ufdfb \u3392 \u33a5 \u2474 \u32a3",
    "\u00bd\u0301 \ufb01\u0301 \u00b2\u0301x \u00aa\u0897 \u00b5\u0302\u0303",
    "e\u0301\u0302 E\u0328\u0304 \u1e0b\u0323 d\u0323\u0307 a\u0301b\u0301",
    "\u1100\u1161\u11a8 \uac00\u11a8 \u3131\u314f",
    "\u2460\u24b6\u24d0 \u2170\u216b \u2080\u2099 \u1d2c\u1d43",
    "\U0001d400\U0001d7ce \U0001f100 \U0001f130 \U0002f800",
    "\u0340\u0341 \u0374 \u037e \u0387 \u1fef",
    "\u0958\u0959 \u0915\u093c \u0915\u094d\u0937 \u0a59 \u0e33",
    "\u00a9\u200d\U0001f600 \u00ae\ufe0f \u203c\ufe0f 1\ufe0f\u20e3",
    "\u0600123 \u06dd4 \u0d4ek",
    "\u00a8 \u00af \u00b4 \u00b8 \u02d8 \u203e",
    "a\u0300\u0300\u0300\u0300\u0300\u0300z",
    "\r\n\r\n a\r\n \u2028b\u2029",
    "\u0001\u0008 \u000b\u000e\u001f \u007f\u008f\u009f \u200b\u200e\u200f\ufeff",
    "(a|b) (c)(d) [e] {f} | g",
    "f(x) " * 12,
    "wait\u2026 what?! yes,no.maybe",
    "\u4f60\u597d\uff0c\u4e16\u754c\u3002\u518d\u89c1\u3001\u670b\u53cb",
    "\u0939\u093e\u0901\u0964 \u0646\u06c1\u06cc\u06ba\u06d4 \u0646\u0639\u0645\u060c \u0644\u0627",
    " , . ! ? ( ) | ",
    "  .x  ,y",
    "<extra_id_0> one <extra_id_1>two<extra_id_99> <extra_id_100>",
    "<extra_id_0",
    "</s><pad><unk>",
    "translate English to German: That is good.",
    "summarize: state authorities dispatched emergency crews tuesday.",
]


def load(name, path):
    if path.is_file():
        return Tokenizer.from_file(str(path))
    if (path / "spiece.model").exists():
        return t5_tokenizer(path / "spiece.model")
    tokenizer = Tokenizer(models.BPE.from_file(str(path / "vocab.json"), str(path / "merges.txt")))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in SPECIAL[name]])
    return tokenizer


def t5_tokenizer(model):
    """A folder with spiece.model and no tokenizer.json, as transformers loads it."""
    from transformers import AutoTokenizer

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "spiece.model").write_bytes(model.read_bytes())
        Path(folder, "config.json").write_text('{"model_type": "t5"}')
        return AutoTokenizer.from_pretrained(folder).backend_tokenizer


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from strings(item)


def lines(path):
    """Lines without their line break, and the strings inside where the file is JSON or JSON lines; long ones in pieces."""
    whole = path.read_bytes().decode("utf-8", errors="ignore")
    texts = whole.split("\n")
    if path.suffix == ".jsonl":
        texts += [value for line in whole.split("\n") if line for value in strings(json.loads(line))]
    elif path.suffix == ".json":
        texts += strings(json.loads(whole))
    for text in texts:
        for start in range(0, len(text), LONGEST_LINE):
            yield text[start : start + LONGEST_LINE]


def ordinary(files, count):
    """Lines at equal distances from plain text, and shortened strings from JSON lines."""
    texts = []
    for path in files:
        found = [text[:240] for text in lines(path) if text.strip() and not text.startswith("{")]
        step = max(1, len(found) // (count // len(files) + 1))
        texts += found[step // 2 :: step][: count // len(files)]
    return texts


def write(tokenizer, texts, path):
    count = 0
    with path.open("w", encoding="ascii", newline="\n") as out:
        for text in texts:
            line = {"text": text, "ids": tokenizer.encode(text, add_special_tokens=False).ids}
            decoded = tokenizer.decode(line["ids"], skip_special_tokens=False)
            if decoded != text:
                line["decoded"] = decoded
            out.write(json.dumps(line, separators=(",", ":")) + "\n")
            count += 1
    print(f"{path}: {count} lines, {path.stat().st_size} bytes")


def save(folder, tokenizer, settings):
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    print(f"{folder}: {tokenizer.get_vocab_size()} tokens")


def train_bpe(texts, awkward, size, special, pre_tokenizer):
    """A byte-level BPE. Its merges are learnt from whole words, over the borders that pre-tokenisers put inside them ("'S", "10", "r."), so that
    a pre-tokeniser that forgets a border gives other ids."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" ?\S+|\s+"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=special,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(texts + [text for text in awkward if len(text) < 120] * 40, trainer)
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def train_byte_bpe(folder, texts, size):
    tokenizer = train_bpe(
        texts,
        NASTY,
        size,
        BYTE_BPE_SPECIAL,
        pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        ),
    )
    save(
        folder,
        tokenizer,
        {
            "add_prefix_space": False,
            "bos_token": "<|im_start|>",
            "eos_token": "<|im_end|>",
            "unk_token": "<|endoftext|>",
            "pad_token": "<|im_end|>",
            "clean_up_tokenization_spaces": False,
            "model_max_length": 512,
            "tokenizer_class": "PreTrainedTokenizerFast",
        },
    )
    tokenizer.model.save(str(folder))


def train_bloom(folder, texts, size):
    """All of BLOOM's tokenizer.json but its vocabulary."""
    tokenizer = train_bpe(
        texts,
        NASTY + FORMS,
        size,
        ["<unk>", "<s>", "</s>", "<pad>"],
        pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(BLOOM_PATTERN), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        ),
    )
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    save(
        folder,
        tokenizer,
        {
            "add_prefix_space": False,
            "bos_token": "<s>",
            "eos_token": "</s>",
            "unk_token": "<unk>",
            "pad_token": "<pad>",
            "padding_side": "left",
            "clean_up_tokenization_spaces": False,
            "tokenizer_class": "BloomTokenizerFast",
        },
    )


def normalisation_rules():
    """A part of SentencePiece's nmt_nfkc, so that the compiled table is small: "key\\tvalue", code points in hexadecimal."""
    rules = {code: "" for code in [*range(0x01, 0x09), 0x0B, *range(0x0E, 0x20), 0x7F, 0x8F, 0x9F]}
    rules |= {
        code: " "
        for code in [0x09, 0x0A, 0x0C, 0x0D, 0x1680, *range(0x200B, 0x2010), 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD]
    }
    rules = {chr(code): value for code, value in rules.items()}
    compatible = [
        *range(0xA0, 0x180),
        *range(0x2460, 0x2474),
        *range(0xFB00, 0xFB07),
        *range(0xFF01, 0xFF5F),
        0x2026,
        0x2122,
        0x212B,
        0x3000,
        0xFDFA,
    ]
    for character in map(chr, compatible):
        for key in {character, unicodedata.normalize("NFD", character)}:
            if unicodedata.normalize("NFKC", key) != key:
                rules[key] = unicodedata.normalize("NFKC", key)
    hexadecimal = lambda text: " ".join(f"{ord(character):X}" for character in text)
    return "".join(f"{hexadecimal(key)}\t{hexadecimal(value)}\n" for key, value in sorted(rules.items()))


def train_sentencepiece(texts, size, **options):
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    written = io.BytesIO()
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as rules:
        rules.write(normalisation_rules())
        rules.flush()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(text for text in texts if text.strip()),
            model_writer=written,
            model_type="unigram",
            vocab_size=size,
            num_threads=1,
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=-1,
            normalization_rule_tsv=rules.name,
            minloglevel=2,
            **options,
        )
    model = sentencepiece_model_pb2.ModelProto.FromString(written.getvalue())
    model.normalizer_spec.ClearField("normalization_rule_tsv")  # the name of a file that is gone
    return model


def train_unigram(folder, texts, size):
    """T5's form: spiece.model, and the tokenizer.json that transformers makes of it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spiece.model").write_bytes(train_sentencepiece(texts, size - 100).SerializeToString())
    save(
        folder,
        t5_tokenizer(folder / "spiece.model"),
        {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>", "tokenizer_class": "T5TokenizerFast"},
    )


def train_unigram_bytes(folder, texts, size):
    """The parts that other SentencePiece models have in tokenizer.json: byte fallback, no cut at white space, a decoder in steps."""
    model = train_sentencepiece(texts, size, byte_fallback=True, character_coverage=0.99, hard_vocab_limit=False)
    tokenizer = Tokenizer(
        models.Unigram([(piece.piece, piece.score) for piece in model.pieces], unk_id=2, byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap),
            normalizers.Strip(left=False, right=True),
            normalizers.Replace(Regex(" {2,}"), "\u2581"),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", pair=None, special_tokens=[("</s>", 1)])
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in ("<pad>", "</s>", "<unk>")])
    save(
        folder,
        tokenizer,
        {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>", "tokenizer_class": "PreTrainedTokenizerFast"},
    )


def train(folder, corpus, size):
    texts = [
        value
        for path in corpus
        for line in path.read_text(encoding="utf-8").split("\n")
        if line
        for value in strings(json.loads(line))
    ]
    train_byte_bpe(folder / "byte-bpe", texts, size)
    train_bloom(folder / "bloom", texts, size)
    train_unigram(folder / "unigram", texts, size)
    train_unigram_bytes(folder / "unigram-bytes", texts, size)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizer", nargs="*", metavar="NAME=PATH")
    parser.add_argument("--out", type=Path, help="folder for NAME.jsonl")
    parser.add_argument("--text", type=Path, nargs="+", default=[], help="ordinary text for the sample")
    parser.add_argument("--full", type=Path, nargs="+", help="encode every line of these files instead of the sample")
    parser.add_argument("--train", type=Path, metavar="FOLDER", help="make the tests' own tokenizers in folders here")
    parser.add_argument("--corpus", type=Path, nargs="+", default=[], help="JSON lines to train them on")
    parser.add_argument("--size", type=int, default=SIZE, help="how many tokens they have")
    args = parser.parse_args()
    if args.train:
        train(args.train, args.corpus, args.size)
    for argument in args.tokenizer:
        name, _, path = argument.partition("=")
        args.out.mkdir(parents=True, exist_ok=True)
        if args.full:
            texts = NASTY + FORMS + [text for file in args.full for text in lines(file)]
        else:
            texts = NASTY + FORMS + (ordinary(args.text, SAMPLE - len(NASTY) - len(FORMS)) if args.text else [])
        write(load(name, Path(path)), texts, args.out / f"{name}.jsonl")


if __name__ == "__main__":
    main()
