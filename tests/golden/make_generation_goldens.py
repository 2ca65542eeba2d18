#!/usr/bin/env python3
"""Makes what transformers' generate gives for the tiny models of models/, and what its processors of scores give.

    python3 make_generation_goldens.py models generation [--smollm2 smollm2-135m]

Ids are those of float64. A case is written only if float32 and weights with noise of the size of float32's rounding give the same, so that none hangs
on the last bits. Every prompt is generated for by itself, thus without padding. See README.md for the files.
"""

import argparse
import copy
import json
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer, GenerationConfig
from transformers.generation.logits_process import (
    MinNewTokensLengthLogitsProcessor,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from make_model_goldens import MODELS, double_precision, load_double

# What the paper generates summaries with.
PAPER = dict(beams=4, repetition_penalty=2.5, length_penalty=1.0, early_stopping=True)
CASES = {
    "greedy": dict(max_new_tokens=24),
    "greedy, ended": dict(max_new_tokens=24, ends=2),
    "greedy, processed": dict(
        max_new_tokens=24, min_new_tokens=12, ends=2, repetition_penalty=1.3, no_repeat_ngram_size=2
    ),
    "one token": dict(max_new_tokens=1),
    "paper": dict(max_new_tokens=20, ends=3, **PAPER),
    "paper, not ended": dict(max_new_tokens=12, **PAPER),
    "beams": dict(max_new_tokens=16, ends=3, beams=3),
    "beams, long": dict(max_new_tokens=16, ends=3, beams=5, length_penalty=2.0),
    "beams, short": dict(
        max_new_tokens=16, min_new_tokens=3, ends=6, beams=4, length_penalty=-1.0, no_repeat_ngram_size=3
    ),
    "beams, one token": dict(max_new_tokens=1, ends=1, beams=4),
}
NOISE_RUNS = 3


def generate(model, prompt, options):
    """New tokens of one prompt, and for beams their score. Without transformers' cache, which counts the encoder's layers where the decoder has more."""
    names = {"beams": "num_beams", "eos_ids": "eos_token_id"}
    settings = {names.get(key, key): value for key, value in options.items() if key != "ends"}
    settings["eos_token_id"] = settings["eos_token_id"] or None
    model.generation_config = GenerationConfig(
        do_sample=False,
        use_cache=False,
        pad_token_id=0,
        decoder_start_token_id=0,
        return_dict_in_generate=True,
        output_scores=True,
        **settings,
    )
    with torch.no_grad():
        out = model.generate(torch.tensor([prompt]))
    ids = out.sequences[0, 1 if model.config.is_encoder_decoder else len(prompt) :].tolist()
    return ids, out.sequences_scores[0].item() if options.get("beams", 1) > 1 else 0


def likely_ends(model, prompts, options, count):
    """Tokens that generation comes to, but not at once: as ends of sequences they matter."""
    met = []
    for prompt in prompts:
        ids, _ = generate(model, prompt, options | {"eos_ids": [], "max_new_tokens": 12, "min_new_tokens": 0})
        met += [id for id in ids[3:] if id not in met]
    return sorted(met[:: max(1, len(met) // count)][:count])


def with_noise(model, generator):
    model = copy.deepcopy(model)
    for parameter in model.parameters():
        parameter.data *= 1 + 1e-6 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    return model


def make_model(folder, prompts, cases, noise_runs):
    auto = (
        AutoModelForSeq2SeqLM
        if json.loads((folder / "config.json").read_text()).get("is_encoder_decoder")
        else AutoModelForCausalLM
    )
    single = auto.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    generator = torch.Generator().manual_seed(1)
    done = []
    with double_precision():
        model = load_double(folder)
        noisy = [with_noise(model, generator) for _ in range(noise_runs)]
    for name, options in cases.items():
        with double_precision():
            options = {
                "eos_ids": likely_ends(model, prompts, options, options["ends"]) if "ends" in options else []
            } | options
            results = [generate(model, prompt, options) for prompt in prompts]
            others = [[generate(m, prompt, options)[0] for prompt in prompts] for m in noisy]
        others.append([generate(single, prompt, options)[0] for prompt in prompts])
        ids = [r[0] for r in results]
        if any(o != ids for o in others):
            print(f"{folder.name}, {name}: left out, since it hangs on rounding")
            continue
        options.pop("ends", None)
        done.append({"name": name, "options": options, "ids": ids, "scores": [r[1] for r in results]})
        lengths = [len(i) for i in ids]
        print(f"{folder.name}, {name}: {lengths} tokens")
    return {"prompts": prompts, "cases": done}


def golden_prompts(folder):
    golden = json.loads((folder / "golden.json").read_text())
    return golden["source_ids" if "source_ids" in golden else "input_ids"]


def make_scores(path):
    """Scores before and after transformers' processors, -inf as null."""
    generator = torch.Generator().manual_seed(2)
    vocabulary, cases = 24, []
    for draw in range(12):
        scores = 3 * torch.randn((1, vocabulary), generator=generator, dtype=torch.float64)
        context = torch.randint(0, 6, (1, 9), generator=generator)
        options = [
            dict(repetition_penalty=2.5),
            dict(repetition_penalty=0.7),
            dict(no_repeat_ngram_size=1),
            dict(no_repeat_ngram_size=2),
            dict(min_new_tokens=6, eos_ids=[2, 7]),
            dict(temperature=0.6),
            dict(temperature=1.0, top_k=5),
            dict(temperature=1.0, top_p=0.8),
            dict(temperature=1.7, top_k=12, top_p=0.6),
            dict(temperature=0.1, top_p=0.05),
            dict(repetition_penalty=1.2, no_repeat_ngram_size=2, temperature=0.8, top_k=9, top_p=0.9),
            dict(temperature=1.0, top_k=100),
        ][draw]
        new_tokens, processors = 4, []
        if "repetition_penalty" in options:
            processors.append(RepetitionPenaltyLogitsProcessor(options["repetition_penalty"]))
        if "no_repeat_ngram_size" in options:
            processors.append(NoRepeatNGramLogitsProcessor(options["no_repeat_ngram_size"]))
        if "min_new_tokens" in options:
            processors.append(
                MinNewTokensLengthLogitsProcessor(
                    9 - new_tokens, options["min_new_tokens"], torch.tensor(options["eos_ids"])
                )
            )
        if "temperature" in options:
            processors.append(TemperatureLogitsWarper(options["temperature"]))
        if "top_k" in options:
            processors.append(TopKLogitsWarper(options["top_k"]))
        if "top_p" in options:
            processors.append(TopPLogitsWarper(options["top_p"]))
        after = scores
        for processor in processors:
            after = processor(context, after)
        cases.append(
            {
                "options": options,
                "scores": scores[0].tolist(),
                "context": context[0].tolist(),
                "new_tokens": new_tokens,
                "processed": [None if x == -float("inf") else x for x in after[0].tolist()],
            }
        )
    write(path, {"cases": cases})


def make_smollm2(folder, path):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = [
        "The capital of France is",
        "def fibonacci(n):\n",
        "Once upon a time, in a small village by the sea, there lived an old fisherman who TL;DR:",
    ]
    prompts = [tokenizer(text).input_ids for text in texts]
    cases = {
        "greedy": dict(max_new_tokens=48, eos_ids=[2]),
        "paper": dict(max_new_tokens=24, eos_ids=[2], **PAPER),
    }
    made = make_model(folder, prompts, cases, 0)
    for case in made["cases"]:
        case["texts"] = [
            tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False) for ids in case["ids"]
        ]
    write(path, {"texts": texts} | made)


def write(path, value):
    path.write_text(json.dumps(value) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, help="folder of the tiny models")
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="*", choices=list(MODELS), help="these models")
    parser.add_argument("--smollm2", type=Path, help="folder that make_smollm2.py made")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(exist_ok=True)
    for name in args.only if args.only is not None else MODELS:
        write(
            args.out / f"{name}.json",
            make_model(args.models / name, golden_prompts(args.models / name), CASES, NOISE_RUNS),
        )
    make_scores(args.out / "scores.json")
    if args.smollm2:
        make_smollm2(args.smollm2, args.out / "smollm2.json")


if __name__ == "__main__":
    main()
