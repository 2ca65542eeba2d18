"""Inputs for the readers of tokenizers: small files for each part of a tokenizer.json, each class and both forms of
merges, and one for each way in which a part can be wrong. make_seeds.py writes them."""

import base64
import json
import struct

SPACE = "\u2581"  # SentencePiece's
WORDS = {"[UNK]": 0, "the": 1, "The": 2, "quick": 3, "brown": 4, "##x": 5, "fo": 6, "</w>": 7, ".": 8}


def text(value):
    return json.dumps(value).encode()


def charsmap(size=768, value=0, replacements=b"t\0e\0"):
    """SentencePiece's compiled rules: T becomes t, e with an acute accent becomes e."""
    units = [0] * size
    units[0] = 256 << 10  # the root's children are at 256 ^ byte
    units[0x154] = 0x54 | 0x100 | 0x54 << 10  # T ends a key; its value is at 256
    units[0x1C3] = 0xC3 | 0x3C3 << 10  # the first byte of an accented e; its children are at 512 ^ byte
    units[0x100] = value
    units[0x200] = 2
    units[0x2A9] = 0xA9 | 0x100 | 0xA9 << 10  # the second one; its value is at 512
    trie = struct.pack(f"<{size}I", *units)
    return base64.b64encode(struct.pack("<I", len(trie)) + trie + replacements).decode()


def words(**parts):
    return text({"model": {"type": "WordLevel", "vocab": WORDS, "unk_token": "[UNK]"}, **parts})


def step(kind, **fields):
    return {"type": kind, **fields}


def normalizers():
    for kind in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "ByteLevel", "BertNormalizer"):
        yield step(kind)
    yield step("BertNormalizer", clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    yield step("Prepend", prepend=SPACE)
    yield step("Replace", pattern={"String": " "}, content=SPACE)
    yield step("Replace", pattern={"Regex": "[a-o]+"}, content="x")
    yield step("Replace", pattern={"String": ""}, content="x")
    for left, right in ((True, True), (False, True), (True, False)):
        yield step("Strip", strip_left=left, strip_right=right)
    yield step("Sequence", normalizers=[step("Replace", pattern={"Regex": "."}, content=""), step("Strip")])
    yield step("Precompiled", precompiled_charsmap=charsmap())
    flags = "\U0001f1e9\U0001f1ea" * 3  # pairs of regional indicators, and a combining accent
    yield step(
        "Sequence",
        normalizers=[
            step("Replace", pattern={"String": "quick"}, content=flags + "e\u0301\r\n"),
            step("Precompiled", precompiled_charsmap=charsmap()),
        ],
    )
    within = "\u00e9\0a\0".encode()  # 1 is no place where a character begins
    for damaged in (charsmap(value=99), charsmap(replacements=b"\xff"), charsmap(value=1, replacements=within)):
        yield step("Precompiled", precompiled_charsmap=damaged)
    yield step("Precompiled", precompiled_charsmap=charsmap(replacements=b"tttt"))
    yield step("Precompiled", precompiled_charsmap=base64.b64encode(struct.pack("<II", 4, 9 << 10)).decode())
    yield step("Precompiled", precompiled_charsmap="AAA=")
    yield step("Precompiled", precompiled_charsmap="?")
    yield step("Unknown")
    yield step("NFC", form="x")
    yield step("Sequence", normalizers=[step("NFC")] * 260)


def pre_tokenizers():
    yield step("ByteLevel", add_prefix_space=True, trim_offsets=True)
    yield step("Digits")
    yield step("Digits", individual_digits=True)
    for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous", "Other"):
        yield step("Split", pattern={"String": " "}, behavior=behavior, invert=behavior == "Removed")
    for scheme in ("always", "first", "never", "other"):
        yield step("Metaspace", replacement=SPACE, prepend_scheme=scheme, split=scheme != "never")
    yield step("Metaspace", replacement="__", add_prefix_space=False)
    for kind in ("WhitespaceSplit", "Whitespace", "BertPreTokenizer", "Punctuation"):
        yield step(kind)
    yield step("Punctuation", behavior="Removed")
    yield step("CharDelimiterSplit", delimiter=" ")
    yield step("FixedLength", length=3)
    yield step("FixedLength", length=0)
    yield step("Sequence", pretokenizers=[step("WhitespaceSplit"), step("Punctuation")])
    yield step("Unknown")


def post_processors():
    special = {"SpecialToken": {"id": "the", "type_id": 0}}
    sequence = {"Sequence": {"id": "A", "type_id": 0}}
    specials = {"the": {"id": "the", "ids": [1], "tokens": ["the"]}}
    yield step("ByteLevel", trim_offsets=False)
    for single in (
        [special, sequence, special],
        [special, special, sequence],
        [sequence, sequence],
        [special],
    ):
        yield step("TemplateProcessing", single=single, pair=[], special_tokens=specials)
    yield step("TemplateProcessing", single=[special, sequence], special_tokens={"the": {"ids": [1, 2]}})
    yield step("TemplateProcessing", single=[special, sequence], special_tokens={"the": {"ids": [9]}})
    ends = {"cls": ["the", 1], "sep": ["quick", 3]}
    yield step("RobertaProcessing", **ends, trim_offsets=True, add_prefix_space=False)
    yield step("BertProcessing", cls=["the", -1], sep=3)
    yield step("BertProcessing", cls=["the", 1], sep=3)
    yield step("Sequence", processors=[step("ByteLevel"), step("BertProcessing", **ends)])
    yield step("Sequence", processors=[step("BertProcessing", **ends)] * 2)
    yield step("Unknown")


def decoders():
    yield step("ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=True)
    yield step("Fuse")
    yield step("Replace", pattern={"String": "e"}, content=" ")
    yield step("Strip", content="T", start=1, stop=1)
    yield step("Metaspace", replacement=SPACE, prepend_scheme="never")
    yield step("Metaspace", replacement=SPACE, add_prefix_space=True)
    yield step("WordPiece", cleanup=False)
    yield step("WordPiece", prefix="f", cleanup=True)
    yield step("BPEDecoder")
    yield step("BPEDecoder", suffix="")
    yield step("Sequence", decoders=[step("ByteFallback"), step("Fuse")])
    yield step("Unknown")


def bytes_of_fallback():
    return [f"<0x{byte:02X}>" for byte in range(256)]


def bpe_models():
    """Of a tokenizer.json, with merges in both forms, and what is refused."""
    vocabulary = {"a": 0, "b": 1, "ab": 2, "h": 3, "e": 4, "he": 5, "the": 6, "t": 7, "<unk>": 8, " ": 9, " a": 10}
    bpe = {"type": "BPE", "vocab": vocabulary, "merges": ["a b", "h e", "t he"]}
    pairs = [["h", "e"], ["t", "he"], [" ", "a"]]
    yield bpe
    yield {**bpe, "merges": pairs, "dropout": None, "continuing_subword_prefix": "", "end_of_word_suffix": None}
    yield {**bpe, "unk_token": "<unk>"}
    yield {**bpe, "unk_token": "<unk>", "fuse_unk": True, "ignore_merges": True, "dropout": 0.0}
    fallback = {token: 20 + i for i, token in enumerate(bytes_of_fallback())}
    yield {**bpe, "vocab": {**vocabulary, **fallback}, "merges": pairs, "byte_fallback": True, "fuse_unk": True}
    yield {**bpe, "byte_fallback": True}
    yield {**bpe, "ignore_merges": True, "vocab": {**vocabulary, "The quick": 11}}
    yield {key: value for key, value in bpe.items() if key != "type"}
    yield {**bpe, "dropout": 0.1}
    yield {**bpe, "end_of_word_suffix": "</w>"}
    yield {**bpe, "unk_token": "none"}
    yield {**bpe, "unk_token": 3}
    yield {**bpe, "merges": "a b"}
    yield {**bpe, "merges": ["a b c"]}
    yield {**bpe, "merges": [["a"], 3]}
    yield {**bpe, "merges": [["a", "h"]]}
    yield {**bpe, "vocab": ["a"]}
    yield {**bpe, "vocab": {"a": 1, "b": 1}}
    yield {**bpe, "vocab": {"a": -1}}
    yield {**bpe, "vocab": {"": 1}}
    yield {**bpe, "more": 1}


def other_models():
    pieces = [["<unk>", 0.0], [SPACE, -2.0], [SPACE + "the", -1.5], ["q", -3.0], ["ui", -4.0], ["e", -1.0]]
    yield {"vocab": pieces, "unk_id": 0}
    yield {"type": "Unigram", "vocab": pieces}
    yield {"type": "Unigram", "vocab": pieces, "unk_id": 9}
    spelled = [*pieces, *[[token, -9.0] for token in bytes_of_fallback()]]
    yield {"type": "Unigram", "vocab": spelled, "unk_id": 0, "byte_fallback": True}
    for piece in ("q", ["q"], ["", 0.0], ["q", -1.0]):
        yield {"type": "Unigram", "vocab": [*pieces, piece], "unk_id": 0}
    yield {"type": "Unigram", "vocab": {}, "unk_id": 0}
    yield {"type": "Unigram", "vocab": [*pieces, ["\u4f60\u597d", 20.0]], "unk_id": 6}
    yield {"type": "WordPiece", "vocab": {"T": 0, "##h": 1, "##e": 2}}
    yield {"type": "WordPiece", "vocab": {"<unk>": 0, "T": 1, "@h": 2, "@e": 3}, "unk_token": "<unk>",
           "continuing_subword_prefix": "@", "max_input_chars_per_word": 2}  # fmt: skip
    yield {"type": "WordLevel", "vocab": {"the": 0}, "unk_token": "none"}
    yield {"type": "Other"}


def classes():
    """A tokenizer.json, NUL, and a tokenizer_config.json that names a class."""
    special = ["<unk>", "<s>", "</s>", "<pad>", "<bos>", "<eos>", "<mask>", "<|endoftext|>", "<|padding|>"]
    special += ["<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", "<UNK>", "<PAD>", "<CLS>", "<SEP>", "<MASK_TOKEN>"]
    tokens = [*special, "h", "e", "he", "\u0120", SPACE, "q", "u", "1", "2", *bytes_of_fallback()]
    bpe = {"type": "BPE", "vocab": {token: i for i, token in enumerate(tokens)}, "merges": ["h e"]}
    added = [{"id": 7, "content": "<|endoftext|>", "special": True}, {"id": 2, "content": "</s>", "rstrip": True}]
    file = text({"model": bpe, "added_tokens": added, "post_processor": step("ByteLevel")})
    for name in ("GPT2", "Llama", "Qwen2", "Qwen3_5", "Gemma", "Cohere", "GPTNeoX", "PreTrained", "T5", "Other"):
        yield file + b"\0" + text({"tokenizer_class": name + "TokenizerFast"})
    yield file + b"\0" + text({"tokenizer_class": "LlamaTokenizer", "add_prefix_space": False})
    yield file + b"\0" + text({"tokenizer_class": "LlamaTokenizer", "legacy": True})
    yield file + b"\0" + text({"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True})
    pieces = [["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0], [SPACE, -2.0], [SPACE + "the", -2.5], ["q", -3.0]]
    unigram = {"type": "Unigram", "unk_id": 2, "vocab": pieces}
    rules = step("Precompiled", precompiled_charsmap=charsmap())
    t5 = b"\0" + text({"tokenizer_class": "T5Tokenizer", "extra_ids": 2})
    yield text({"model": unigram, "normalizer": rules}) + t5
    yield text({"model": unigram, "normalizer": step("Sequence", normalizers=[step("NFC"), rules])}) + t5
    yield text({"model": unigram, "normalizer": step("Sequence", normalizers=[step("NFC")])}) + t5
    yield text({"model": unigram, "normalizer": step("NFC")}) + b"\0" + text({"tokenizer_class": "T5Tokenizer"})
    yield text({"model": unigram, "normalizer": []}) + b"\0" + text({"tokenizer_class": "T5Tokenizer", "extra_ids": -1})
    yield text({"model": unigram}) + b"\0" + text({"tokenizer_class": "GemmaTokenizer"})


def settings():
    """The same for what else a tokenizer_config.json says."""
    file = words(pre_tokenizer=step("WhitespaceSplit"), added_tokens=[{"id": 9, "content": "vu", "lstrip": True}])
    token = {"content": "<x>", "lstrip": True, "rstrip": True, "normalized": False, "special": True}
    for config in (
        {"bos_token": "the", "eos_token": {**token, "content": "quick"}, "pad_token": None, "unk_token": "[UNK]"},
        {"bos_token": "the", "eos_token": "quick", "add_bos_token": True, "add_eos_token": True},
        {"added_tokens_decoder": {"9": token, "10": {**token, "content": "12345"}}, "mask_token": "<x>"},
        {"added_tokens_decoder": {"x": token}},
        {"added_tokens_decoder": []},
        {"added_tokens_decoder": {"9": {**token, "single_word": True}}},
        {"added_tokens_decoder": {"9": {**token, "content": ""}}},
        {"added_tokens_decoder": {"30": token}},
        {"image_token": "<i>", "audio_token": {"content": "<a>"}, "extra_special_tokens": {"video": "<v>"}},
        {"additional_special_tokens": ["<x>", token], "split_special_tokens": True},
        {"extra_special_tokens": ["<x>", "</s>"], "model_max_length": 9},
        {"extra_special_tokens": "<x>"},
        {"bos_token": "absent"},
        {"unk_token": "x" * 1025},
        {"chat_template": "{{ messages }}", "clean_up_tokenization_spaces": False, "fix_mistral_regex": False},
        {"chat_template": [{"name": "default", "template": "a"}, {"name": "tool", "template": "b"}]},
        {"chat_template": [{"name": "default"}]},
        {"chat_template": 3},
        {"unheard_of": 1},
        {"legacy": "yes"},
        {"tokenizer_class": 3},
    ):
        yield file + b"\0" + text(config)
    yield file + b"\0" + b"[]"


def part_seeds():
    for part, steps in (
        ("normalizer", normalizers),
        ("pre_tokenizer", pre_tokenizers),
        ("post_processor", post_processors),
        ("decoder", decoders),
    ):
        for one in steps():
            spaced = {} if part == "pre_tokenizer" else {"pre_tokenizer": step("Whitespace")}
            yield words(**{**spaced, part: one})
    for model in (*bpe_models(), *other_models()):
        yield text({"model": model, "pre_tokenizer": step("WhitespaceSplit")})
    bytes_again = {"type": "BPE", "vocab": {t: i for i, t in enumerate(bytes_of_fallback())}, "merges": []}
    fuse = step("Sequence", decoders=[step("ByteFallback"), step("Fuse")])
    yield text({"model": {**bytes_again, "byte_fallback": True}, "decoder": fuse})
    yield words(added_tokens={})
    yield text([])
    yield from classes()
    yield from settings()


def ranked_seeds():
    """Tokens by rank: tekken.json, tiktoken's lines, and each way in which one can be wrong."""
    tokens = [bytes([byte]) for byte in range(256)] + [b"he", b"The", b" qu", b" b", b"  ", b"123"]
    encoded = [base64.b64encode(token).decode() for token in tokens]
    entries = [{"rank": i, "token_bytes": piece, "token_str": None} for i, piece in enumerate(encoded)]
    config = {"pattern": "\\p{L}+| ?[^ ]+| +", "num_vocab_tokens": len(tokens), "version": "v7"}
    config |= {"default_vocab_size": len(tokens) + 20, "default_num_special_tokens": 20}
    special = [{"rank": i, "token_str": t, "is_control": True} for i, t in enumerate(["<s>", "</s>", "<pad>"])]
    tekken = {"config": config, "vocab": entries, "special_tokens": special}
    yield text(tekken)
    yield text({"config": config, "vocab": entries})
    for key, value in (("pattern", "("), ("default_vocab_size", 283), ("default_num_special_tokens", 1 << 40)):
        yield text(tekken | {"config": config | {key: value}})
    yield text({"config": config | {"version": "v11"}, "vocab": entries})
    yield text(tekken | {"special_tokens": special[1:]})
    for last in ({"rank": 1}, {"token_bytes": "?"}, {"token_bytes": entries[0]["token_bytes"]}, {"x": 1}):
        yield text(tekken | {"vocab": entries[:-1] + [entries[-1] | last]})
    yield text(tekken | {"vocab": entries[1:]})
    lines = "".join(f"{entry['token_bytes']} {entry['rank']}\n" for entry in entries).encode()
    yield lines
    decoder = {"262": {"content": "<s>", "special": True}, "264": {"content": "</s>", "special": True}}
    yield lines + b"\0" + text({"added_tokens_decoder": decoder, "bos_token": "<s>", "add_bos_token": True})
    yield lines + b"\0" + text({"added_tokens_decoder": {"99999999": decoder["262"]}})
    yield lines + b"\0" + text({"tokenizer_class": "Qwen2Tokenizer"})
    for line in (b"YQ== 262", b"YWI= 263", b"YWI= 2x", b"YWI 262", b" 262", b"YWI="):
        yield lines + line + b"\n"
    yield b"YQ== 0\n"
