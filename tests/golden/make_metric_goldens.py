#!/usr/bin/env python3
"""Scores of the Python packages rouge-score (ROUGE), torchmetrics (SQuAD's normalisation) and nltk (Porter's stemmer in its default mode).

    python3 make_metric_goldens.py --scitldr ../../examples/data/scitldr/scitldr-original.jsonl --out metrics
    python3 make_metric_goldens.py --scitldr train.jsonl dev.jsonl test.jsonl --dialogsum dev.jsonl --webquestions test.json --xquad xquad.en.json --full OUT

Files:
  rouge.jsonl  {"references": [...], "prediction", "stem": bool, "rouge1": [precision, recall, f], "rouge2", "rougeL", "rougeLsum"}: the maximum over references
  squad.jsonl  {"references": [...], "prediction", "exact_match", "f1"}: the maximum over references
  stems.txt    "word stem", one a line
  lower.jsonl  {"text", "lower"}: Python's str.lower
With --out a sample is kept, with --full everything, for a comparison by hand (tests/metrics/compare_with_metric_goldens.cpp).
"""

import argparse
import collections
import json
import random
import re
from pathlib import Path

from nltk.stem.porter import PorterStemmer
from rouge_score.rouge_scorer import RougeScorer
from torchmetrics.functional.text.squad import _normalize_text

KINDS = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
SAMPLE = 200
AWKWARD = [
    "",
    " ",
    "\n",
    "\n\n",
    "the",
    "The.",
    "a",
    "A1 b2",
    "!!!",
    "caf\u00e9 na\u00efve",
    "\u212aelvin \u212a",
    "\u0130stanbul D\u0130YARBAKIR",
    "x\ny\nz",
    "a b\nc d\n\ne f\n",
    "\u03a3\u038a\u03a3\u03a5\u03a6\u039f\u03a3 \u039f\u0394\u039f\u03a3 \u03a3",
    "the-a an\u2013the th\u00e9 \u00e9the",
    "don't o'clock U.S.A. 3,000.50",
    "tab\tnew\u00a0line\u2028\x1cend",
    "\u0410 the \u0410the",
    "running runs ran easily fairly conditionally nationally",
    "news innings dying skies proceed exceed",
    "yyyy syzygy enjoying spied died flies dies",
    "a a a b b c",
    "c b a a b",
    "the the the cat",
    "\U0001d400 \u216b \u24b6\u24b7 \u01c5 \u1e9e",
]
# Every rule of the stemmer, and words that only look as if a rule applied.
STEMS = """caresses ponies ties cats caress dies flies feed agreed plastered bled motoring sing died spied conflated troubled sized hopping tanned falling hissing fizzed
failing filing happy sky enjoy spy say relational conditional rational valenci hesitanci digitizer conformabli radicalli differentli vileli analogousli vietnamization
predication operator feudalism decisiveness hopefulness callousness formaliti sensitiviti sensibiliti archaeology geology theologi logi conditionalli nationalli skillfulli
triplicate formative formalize electriciti electrical hopeful goodness revival allowance inference airliner gyroscopic adjustable defensible irritant replacement adjustment
dependent adoption homologou communism activate angulariti homologous effective bowdlerize probate rate cease controll roll news innings inning outings outing cannings
canning howe proceed exceed succeed skies dying lying tying owed ated bled iced oxed using ions ssion eed ied ies ily y yy yyy ying yying lly ally ness ful 1990s b2b 3d 4ing
abilities abilit bli ably alli entli eli ousli fulli iveness ization ation ator alism aliti iviti biliti""".split()


def altered(text, rng):
    """The text as a system might have written it: words dropped, moved, repeated, in other case, with other marks and line breaks."""
    words = text.split()
    for _ in range(rng.randint(0, 1 + len(words) // 4)):
        if not words:
            break
        i = rng.randrange(len(words))
        kind = rng.randrange(7)
        if kind == 0:
            del words[i]
        elif kind == 1:
            words[i], words[rng.randrange(len(words))] = words[rng.randrange(len(words))], words[i]
        elif kind == 2:
            words.insert(i, words[rng.randrange(len(words))])
        elif kind == 3:
            words[i] = rng.choice([str.upper, str.title, str.lower])(words[i])
        elif kind == 4:
            words[i] += rng.choice(["\n", ".\n", "-", "'s", ",", "\u2019s", "\u00e9", "\n\n", "s", "ing", "ed", "ly"])
        elif kind == 5:
            words.insert(i, rng.choice(["the", "a", "an", "and", "The", "of", "-", "\u2014", "\u00fcber"]))
        else:
            words = words[:i] if i > 2 else words
    return " ".join(words)


def read_jsonl(paths):
    return (
        [
            json.loads(line)
            for path in paths
            for line in Path(path).read_text(encoding="utf-8").splitlines()
            if line.strip()
        ]
        if paths
        else []
    )


def awkward_pairs():
    return [([reference], prediction) for reference in AWKWARD for prediction in AWKWARD]


def rouge_pairs(args, rng):
    for row in read_jsonl(args.scitldr):
        source, target = row["source"], row["target"]
        yield target, rng.choice(source)
        yield target, altered(rng.choice(target), rng)
        yield ["\n".join(source)], altered("\n".join(source), rng)
        yield ["\n".join(source)], "\n".join(rng.sample(source, max(1, len(source) // 2)))
        yield target + [rng.choice(source)], altered(" ".join(source[:2]), rng)
    for row in read_jsonl(args.dialogsum):
        yield [row["summary"]], altered(row["summary"], rng)
        yield [row["dialogue"]], altered(row["dialogue"], rng)
        yield [row["summary"]], "\n".join(row["dialogue"].split("\n")[:3])


def squad_pairs(args, rng):
    for row in read_jsonl(args.scitldr):
        words = row["title"].split()
        yield [row["title"]], altered(row["title"], rng)
        yield [" ".join(words[i : i + 3]) for i in range(3)], " ".join(rng.sample(words, min(3, len(words))))
    questions = [row for path in args.webquestions or [] for row in json.loads(Path(path).read_text(encoding="utf-8"))]
    for row in questions:
        yield row["answers"], altered(rng.choice(row["answers"]), rng)
        yield row["answers"], rng.choice(rng.choice(questions)["answers"])
    for path in args.xquad or []:
        for article in json.loads(Path(path).read_text(encoding="utf-8"))["data"]:
            for paragraph in article["paragraphs"]:
                for question in paragraph["qas"]:
                    answer = question["answers"][0]
                    start, end = answer["answer_start"], answer["answer_start"] + len(answer["text"])
                    yield [answer["text"]], paragraph["context"][
                        max(0, start - rng.randint(0, 20)) : end + rng.randint(0, 20)
                    ]


def squad_scores(reference, prediction):
    expected, got = _normalize_text(reference).split(), _normalize_text(prediction).split()
    exact = float(expected == got)
    hits = sum((collections.Counter(expected) & collections.Counter(got)).values())
    if not expected or not got:
        return exact, exact
    precision, recall = hits / len(got), hits / len(expected)
    return exact, 2 * precision * recall / (precision + recall) if hits else 0.0


def sampled(rows, full, rng, size=SAMPLE):
    rows = list(rows)
    if full or len(rows) <= size:
        return rows
    return [rows[i] for i in sorted(rng.sample(range(len(rows)), size))]


def chosen_pairs(pairs, full, rng):
    return sampled(awkward_pairs(), full, rng, SAMPLE // 2) + sampled(pairs, full, rng, SAMPLE // 2)


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="ascii")
    print(f"{path}: {len(rows)} lines")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ["scitldr", "dialogsum", "webquestions", "xquad"]:
        parser.add_argument("--" + name, nargs="+")
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--out", type=Path)
    group.add_argument("--full", type=Path)
    args = parser.parse_args()
    folder, full, rng = args.out or args.full, args.full is not None, random.Random(1)

    scorers = {stem: RougeScorer(KINDS, use_stemmer=stem) for stem in (False, True)}
    rows = []
    for references, prediction in chosen_pairs(rouge_pairs(args, rng), full, rng):
        stem = rng.random() < 0.7
        scores = scorers[stem].score_multi(references, prediction)
        rows.append(
            {
                "references": references,
                "prediction": prediction,
                "stem": stem,
                **{kind: [float(x) for x in scores[kind]] for kind in KINDS},
            }
        )
    write(folder / "rouge.jsonl", rows)

    rows = []
    for references, prediction in chosen_pairs(squad_pairs(args, rng), full, rng):
        scores = [squad_scores(reference, prediction) for reference in references]
        rows.append(
            {
                "references": references,
                "prediction": prediction,
                "exact_match": max(s[0] for s in scores),
                "f1": max(s[1] for s in scores),
            }
        )
    write(folder / "squad.jsonl", rows)

    words = set()
    for row in read_jsonl(args.scitldr) + read_jsonl(args.dialogsum):
        for text in row.get("source", []) + row.get("target", []) + [row.get("dialogue", ""), row.get("summary", "")]:
            words.update(re.findall("[a-z0-9]+", text.lower()))
    found = sorted(words)
    if full:  # and words that no text has: all endings behind stems of other measure
        endings = sorted({word[-n:] for word in STEMS for n in range(1, 9)})
        found += sorted(
            {
                start + end
                for start in ["", "y", "tr", "oak", "trouble", "priv", "oaten", "sky", "2k"]
                for end in endings
            }
            - words
        )
    stemmer = PorterStemmer()
    (folder / "stems.txt").write_text(
        "".join(f"{w} {stemmer.stem(w)}\n" for w in dict.fromkeys(STEMS + sampled(found, full, rng))), encoding="ascii"
    )

    texts = AWKWARD + [
        "\u0391\u03a3 \u0391\u03a3. \u0391\u03a3.\u0391 \u03a3 \u03a3\u03a3\u03a3 \u0391\u03a3\u0301 A\u03a3a a\u03a3 1\u03a3 \u0391'\u03a3 \u0391\u00ad\u03a3"
    ]
    if full:
        texts += ["".join(map(chr, range(c, c + 64))) for c in range(0, 0x20000, 64) if not 0xD800 <= c < 0xE000]
    else:
        texts += [
            "".join(chr(c) for c in range(0xC0, 0x250)),
            "".join(chr(c) for c in range(0x370, 0x530) if c != 0x3A3),
        ]
    write(folder / "lower.jsonl", [{"text": text, "lower": text.lower()} for text in texts])


if __name__ == "__main__":
    main()
