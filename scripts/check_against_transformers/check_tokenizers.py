"""Ids of rows by tokenizers of every form, trained on fresh random texts, against AutoTokenizer."""

import contextlib
import io
import json
import random
import sys
from pathlib import Path

from program import Failure, write_rows
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors, trainers
from transformers import AutoTokenizer

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "golden"))
import make_tokenizer_goldens as goldens  # noqa: E402

SIZE = 700
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content']"
    " + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
)


def random_texts(rng: random.Random, count):
    """Sentences of published texts, and made-up words of many scripts with digits, marks and spaces between them."""
    published = [
        value
        for line in (ROOT / "examples/data/scitldr/train.jsonl").read_text(encoding="utf-8").splitlines()
        for value in goldens.strings(json.loads(line))
        if value.strip()
    ]
    letters = "abcdeABC0123éßñçœ漢字かなабвгδεק عرب…—'\"()[]|,.!?;:-_/\\#@&*+=<>~ \t\n  "
    made = ["".join(rng.choice(letters) for _ in range(rng.randint(1, 60))) for _ in range(count)]
    texts = [text[:200] for text in rng.sample(published, min(count, len(published)))] + made
    return texts + [text for text in goldens.NASTY if rng.random() < 0.3 and len(text) < 400]


def train_llama(folder, texts, size):
    """Llama 2's form: SentencePiece's BPE with byte fallback, as tokenizer.json has it, and a BOS in front."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    special = ["<unk>", "<s>", "</s>"]
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer.train_from_iterator(
        [text for text in texts if text.isascii()],
        trainers.BpeTrainer(vocab_size=size, special_tokens=special + bytes_, show_progress=False),
    )
    whole = json.loads(tokenizer.to_str())
    whole["added_tokens"] = [token for token in whole["added_tokens"] if token["content"] in special]
    tokenizer = Tokenizer.from_str(json.dumps(whole))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    settings = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    goldens.save(folder, tokenizer, settings | {"tokenizer_class": "PreTrainedTokenizerFast"})


def train_gpt2_files(folder, texts, size):
    """vocab.json and merges.txt alone, as OPT's and GPT-2's folders have them."""
    goldens.train_byte_bpe(folder, texts, size)
    (folder / "tokenizer.json").unlink()
    settings = {"eos_token": "<|endoftext|>", "bos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"tokenizer_class": "GPT2Tokenizer"}))


def train_spiece(folder, texts, size):
    """spiece.model alone."""
    goldens.train_unigram(folder, texts, size)
    (folder / "tokenizer.json").unlink()
    (folder / "config.json").write_text('{"model_type": "t5"}')


def train_chatml(folder, texts, size):
    goldens.train_byte_bpe(folder, texts, size)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"chat_template": CHATML}))


FORMS = {
    "byte-bpe": goldens.train_byte_bpe,
    "byte-bpe-files": train_gpt2_files,
    "bloom": goldens.train_bloom,
    "llama": train_llama,
    "unigram": goldens.train_unigram,
    "unigram-bytes": goldens.train_unigram_bytes,
    "spiece": train_spiece,
    "chatml": train_chatml,
}


def with_end(tokenizer, ids):
    end = tokenizer.eos_token_id
    return ids if end is None or (ids and ids[-1] == end) else ids + [end]


def split_where_the_prompt_ends(tokenizer, prompt, completion):
    """Ids of the one text, and labels: of the tokens from the first on that reaches behind the prompt, or that the
    prompt by itself has not."""
    encoded = tokenizer(prompt + completion, return_offsets_mapping=True)
    ids = with_end(tokenizer, encoded["input_ids"])
    first = next((i for i, (_, end) in enumerate(encoded["offset_mapping"]) if end > len(prompt)), len(ids))
    alone = tokenizer(prompt)["input_ids"]
    common = next((i for i, (a, b) in enumerate(zip(alone, ids)) if a != b), min(len(alone), len(ids)))
    first = min(first, common)
    return ids, [-100] * first + ids[first:]


def compare(rows, got, expected, field="ids"):
    """Rows without a label that could be predicted are not among what the program gives."""
    lines = {line["line"]: line[field] for line in got}
    compared = 0
    for number, (row, ids) in enumerate(zip(rows, expected), 1):
        if all(label == -100 for label in ids[1:]) and number not in lines:
            continue
        compared += 1
        ours = lines.get(number)
        if ours != ids:
            raise Failure(f"{field} of {json.dumps(row)[:400]}: expected {ids[-60:]}, got {ours and ours[-60:]}")
    return compared


def check(name, programs, scratch, rng):
    """Yields (what, how many rows were compared)."""
    folder = scratch / "tokenizer"
    with contextlib.redirect_stdout(io.StringIO()):
        FORMS[name](folder, random_texts(rng, 150), SIZE)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    # A BOS or EOS that the text itself brings is not put there again.
    begin, end = tokenizer.bos_token or "\0", tokenizer.eos_token or "\0"
    texts = [
        text
        for text in random_texts(rng, 150)
        if text.strip() and not text.startswith(begin) and not text.endswith(end)
    ]
    rows = [{"text": text} for text in texts]
    expected = [with_end(tokenizer, tokenizer(text)["input_ids"]) for text in texts]
    yield "text", compare(rows, programs.ids(folder, write_rows(scratch / "texts.jsonl", rows)), expected)

    rows = [{"prompt": rng.choice(texts)[:60], "completion": rng.choice(texts)[:60]} for _ in range(200)]
    rows = [row for row in rows if row["completion"].strip()]
    expected = [split_where_the_prompt_ends(tokenizer, row["prompt"], row["completion"]) for row in rows]
    got = programs.ids(folder, write_rows(scratch / "prompts.jsonl", rows))
    yield "prompt and completion", compare(rows, got, [ids for ids, _ in expected])
    yield "their labels", compare(rows, got, [labels for _, labels in expected], "labels")
    if tokenizer.chat_template is None:
        return
    rows = [
        {
            "messages": [
                {"role": role, "content": rng.choice(texts)[:80]} for role in ["system", "user", "assistant"][i % 2 :]
            ]
        }
        for i in range(50)
    ]
    expected = [
        tokenizer.apply_chat_template(row["messages"], tokenize=True, return_dict=False) for row in rows
    ]
    yield "messages", compare(rows, programs.ids(folder, write_rows(scratch / "messages.jsonl", rows)), expected)
