"""Every architecture in random configurations: planning, loss, gradients, ten steps of AdamW, the saved
folder in transformers, and greedy generation."""

import json
import resource

import architectures
import torch
import transformers
from check_models import compare_gradients, load, sum_of_losses, within
from models import make_with, rows, save, save_old
from program import Failure, write_rows
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders
from tokenizers.models import BPE
from transformers import AutoConfig

CONFIGURATIONS = 4  # of each architecture, half of them with the fields that transformers 4 writes
STEPS, RATE = 10, 1e-3
ARCHITECTURES = architectures.ARCHITECTURES | architectures.OTHERS
LOSS, STEPPED, NEW_TOKENS = 1e-6, 1e-5, 12
COLUMNS = ["plan", "published plan", "loss", "gradients", "10 steps", "reload", "generation"]


def add_tokenizer(folder):
    """A token for each of 80 characters, so that the program can read a prompt."""
    characters = {chr(ord("0") + i): i for i in range(architectures.VOCABULARY)}
    tokenizer = Tokenizer(BPE(vocab=characters, merges=[]))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))


def mean_loss(model, examples):
    sums = [sum_of_losses(model, row) for row in examples]
    return sum(total for total, _ in sums) / sum(count for _, count in sums)


def loss_after_steps(model, examples):
    """In the model's own type."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    for _ in range(STEPS):
        optimizer.zero_grad()
        mean_loss(model, examples).backward()
        optimizer.step()
    with torch.no_grad():
        return mean_loss(model, examples).item()


def compare_generation(programs, model, folder, prompt):
    """Stops at the end token, or where transformers' best logit leads by less than what float32 can tell."""
    config = model.config.get_text_config()
    ids = [config.decoder_start_token_id] if config.is_encoder_decoder else list(prompt)
    given = len(ids)
    with torch.no_grad():
        for _ in range(NEW_TOKENS):
            read = torch.tensor([ids])
            inputs = (
                {"input_ids": torch.tensor([[*prompt, config.eos_token_id]]), "decoder_input_ids": read}
                if config.is_encoder_decoder
                else {"input_ids": read}
            )
            best = model(**inputs, use_cache=False).logits[0, -1].topk(2)
            if best.values[0] - best.values[1] < 1e-4:
                break
            ids.append(best.indices[0].item())
            if ids[-1] == config.eos_token_id:
                break
    expected = ids[given:]
    text = "".join(chr(ord("0") + i) for i in prompt)
    made = programs.run(
        "greentrainer", "generate", "--model", folder, "--prompt", text, "--max-new-tokens", NEW_TOKENS, "--json"
    )
    got = json.loads(made)["generations"][0]["ids"][: len(expected)]
    if got != expected:
        raise Failure(f"generation: expected {expected}, got {got}")
    return len(expected)


def compare_other_parts(folder, saved):
    """What reads images is saved as it was."""
    before, after = load_file(folder / "model.safetensors"), load_file(saved / "model.safetensors")
    for name, value in before.items():
        if any(part in name for part in ("vision_tower.", "multi_modal_projector.", "visual.")):
            if name not in after or after[name].dtype != value.dtype or not torch.equal(after[name], value):
                raise Failure(f"{name}: expected it saved as it was")


def seconds_of_plan(programs, folder):
    """Of the processor."""
    start = resource.getrusage(resource.RUSAGE_CHILDREN)
    programs.run("greentrainer", "plan", "--model", folder, "--tokens", "20", "--json")
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    return end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime


def published_configuration(model_type, folder):
    """The sizes that transformers' configuration class has by itself: those of a published model."""
    folder.mkdir()
    config = AutoConfig.for_model(model_type).to_json_string(use_diff=False)
    (folder / "config.json").write_text(config)
    return folder


def check_one(build, write, programs, scratch, rng):
    folder = scratch / "model"
    make_with(build, write, folder, rng)
    add_tokenizer(folder)
    yield "plan", seconds_of_plan(programs, folder)

    examples = rows(AutoConfig.from_pretrained(folder).is_encoder_decoder, rng)
    data = write_rows(scratch / "rows.jsonl", examples)
    model = load(folder).double()
    with torch.no_grad():
        expected = mean_loss(model, examples).item()
    yield "loss", within(abs(programs.evaluate(folder, data)["loss"] / expected - 1), LOSS, "loss")
    yield "gradients", compare_gradients(programs, folder, data, examples, scratch)

    stepped = loss_after_steps(model, examples)
    rounding = abs(loss_after_steps(load(folder), examples) / stepped - 1)  # of PyTorch's own float32 run
    saved = scratch / "ten-steps"
    report = programs.finetune(
        folder, data, saved, "--method", "full", "--optimizer", "adamw", "--learning-rate", RATE,
        "--steps", STEPS, "--batch-size", len(examples), "--save-dtype", "float32",
    )  # fmt: skip
    yield "10 steps", within(abs(report["loss_after"] / stepped - 1), STEPPED + 2 * rounding, "loss after ten steps")
    compare_other_parts(folder, saved)
    with torch.no_grad():
        reloaded = mean_loss(load(saved).double(), examples).item()  # fails for a missing or unexpected key
    yield "reload", within(abs(report["loss_after"] / reloaded - 1), LOSS, "loss of the saved folder")
    yield "generation", compare_generation(programs, load(folder).double(), folder, examples[0]["input_ids"][:3])


def check(name, programs, scratch, rng):
    """Yields (column, the worst over all configurations); of generation, the tokens compared."""
    worst = {}
    for i in range(CONFIGURATIONS):
        build, write = ARCHITECTURES[name], save if i % 2 == 0 else save_old
        for column, value in check_one(build, write, programs, scratch / str(i), rng):
            if column == "generation":
                worst[column] = worst.get(column, 0) + value
            else:
                worst[column] = max(worst.get(column, 0.0), value)
    model_type = json.loads((scratch / "0" / "model" / "config.json").read_text())["model_type"]
    worst["published plan"] = seconds_of_plan(programs, published_configuration(model_type, scratch / "published"))
    within(worst["published plan"], 1.0, "seconds of a plan of published sizes")
    yield from worst.items()


def write_table(path, results, seed):
    """Of the rows that were checked: {architecture: {column: value}}, or a fault."""
    lines = [
        "# Architectures against transformers",
        "",
        f"Made by `scripts/check_against_transformers.sh BUILD --only 'architecture *' --table FILE --seed {seed}`:",
        f"{CONFIGURATIONS} random configurations of each, half of them with the fields that transformers 4 writes;",
        f"torch {torch.__version__.split('+')[0]}, transformers {transformers.__version__}. The program computes in",
        "float32, transformers in float64 from the same float32 weights. Largest relative differences: of the mean",
        "loss; of a parameter's gradient; of the loss after ten steps of AdamW, where PyTorch's own float32 run",
        "differs as much if the figure is above 1e-5; of the loss that transformers gives the saved folder, which",
        "it reads without a missing or unexpected key. Plan: the longest run of `plan`, in seconds of the",
        "processor; published: for the sizes that transformers' configuration class has by itself. Generation:",
        "greedy tokens, all equal.",
        "",
        "| architecture | " + " | ".join(COLUMNS) + " |",
        "| --- |" + " --- |" * len(COLUMNS),
    ]
    for name, result in results.items():
        cells = [f"{result[c]:.1g}" if isinstance(result[c], float) else f"{result[c]} equal" for c in COLUMNS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    path.write_text("\n".join(lines) + "\n")
