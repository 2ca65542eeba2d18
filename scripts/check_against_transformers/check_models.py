"""A folder's losses and gradients, and the folders saved after training it, against transformers and peft."""

import json
import warnings

import torch
from peft import PeftModel
from program import Failure, write_rows
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoModelForSeq2SeqLM

import models

LOSS, GRADIENT = 1e-5, 1e-4
RATE = 16


def load(folder):
    """As transformers loads it by default, then in float32. Fails if it misses or does not know a key."""
    config = AutoConfig.from_pretrained(folder)
    auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    if hasattr(config, "vision_config"):
        auto = AutoModelForImageTextToText
    model, loading = auto.from_pretrained(
        folder,
        output_loading_info=True,
        ignore_mismatched_sizes=True,
        attn_implementation="eager",
        experts_implementation="eager",  # the others have no float64
    )
    bad = {kind: sorted(map(str, keys)) for kind, keys in loading.items() if keys}
    if bad:
        raise Failure(f"{folder}: transformers finds {bad}")
    return model.float().eval()


def sum_of_losses(model, row):
    """Of a row's labelled tokens, and how many they are."""
    ids, labels = torch.tensor([row["input_ids"]]), torch.tensor([row["labels"]])
    if model.config.is_encoder_decoder:
        scores, targets = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels).logits[0], labels[0]
    else:
        scores = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, :-1]
        targets = labels[0, 1:]
    total = torch.nn.functional.cross_entropy(scores.double(), targets, ignore_index=-100, reduction="sum")
    return total, int((targets != -100).sum())


def compare_losses(model, rows, evaluation):
    """The largest relative difference of a row's mean loss. Fails beyond LOSS."""
    with torch.no_grad():
        sums = [sum_of_losses(model, row) for row in rows]
    expected = [(total / count).item() for total, count in sums]
    if [e["tokens"] for e in evaluation["examples"]] != [count for _, count in sums]:
        raise Failure(f"labelled tokens: expected {[count for _, count in sums]}, got {evaluation['examples']}")
    pairs = [(e["loss"], theirs) for e, theirs in zip(evaluation["examples"], expected)]
    pairs.append((evaluation["loss"], sum(t.item() for t, _ in sums) / sum(n for _, n in sums)))
    return within(max(abs(ours / theirs - 1) for ours, theirs in pairs), LOSS, "loss")


def within(difference, most, what):
    if not difference <= most:
        raise Failure(f"{what}: differs by {difference:.3g}, allowed are {most:g}")
    return difference


def compare_gradients(programs, folder, data, rows, scratch):
    """One step of SGD takes a multiple of the gradient off the weights: far enough, so that their rounding to float32
    does not count."""
    model = load(folder)
    total, count = torch.zeros((), dtype=torch.float64), 0
    for row in rows:
        loss, labelled = sum_of_losses(model, row)
        total, count = total + loss, count + labelled
    (total / count).backward()
    programs.finetune(
        folder, data, scratch / "sgd", "--method", "full", "--optimizer", "sgd", "--learning-rate", RATE,
        "--steps", "1", "--batch-size", len(rows), "--save-dtype", "float32",
    )  # fmt: skip
    after = dict(load(scratch / "sgd").named_parameters())
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}  # else of images
    whole = torch.stack([g.norm() for g in gradients.values()]).norm().item()
    worst = 0.0
    for name, parameter in model.named_parameters():
        if name not in gradients:
            if not torch.equal(parameter, after[name]):
                raise Failure(f"{name}: expected it unchanged")
            continue
        ours = (parameter.detach() - after[name].detach()) / RATE
        # Some gradients are zero but for rounding (biases of keys): compared with the whole.
        size = max(gradients[name].norm().item(), 1e-3 * whole)
        worst = max(worst, within((ours - gradients[name]).norm().item() / size, GRADIENT, f"gradient of {name}"))
    return worst


def compare_adapter(folder, adapter, rows, evaluation):
    """peft finds every tensor of a saved adapter, and computes the same with it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # peft warns of missing keys
        model = PeftModel.from_pretrained(load(folder), adapter).eval()
    saved = load_file(adapter / "adapter_model.safetensors")
    state = {name.replace(".default.", "."): value for name, value in model.state_dict().items()}
    if "prompt_embeddings" in saved:
        state["prompt_embeddings"] = model.prompt_encoder["default"].embedding.weight
    unknown = [name for name in saved if not torch.equal(state.get(name, torch.empty(0)), saved[name])]
    if unknown:
        raise Failure(f"{adapter}: peft does not take {unknown}")
    return compare_losses(model, rows, evaluation)


def shares_prefixes(folder):
    """peft lets layers of an encoder-decoder share a prefix, in its own way where their number is odd."""
    config = json.loads((folder / "config.json").read_text())
    return not config.get("is_encoder_decoder") or config["num_decoder_layers"] % 2 == 0


def check(name, programs, scratch, rng):
    """Yields (what, largest difference) for every check."""
    folder = scratch / "model"
    models.make(name, folder, rng)
    rows = models.rows(AutoConfig.from_pretrained(folder).is_encoder_decoder, rng)
    data = write_rows(scratch / "rows.jsonl", rows)
    yield "loss", compare_losses(load(folder), rows, programs.evaluate(folder, data))
    yield "gradients", compare_gradients(programs, folder, data, rows, scratch)

    trained = ["--steps", "3", "--learning-rate", "1e-3"]
    outputs = {
        "full": ["--method", "full", "--save-dtype", "float32"],
        "green": ["--method", "green", "--rho", "0.7"],
        "lora": ["--method", "lora", "--lora-r", "3"],
    }
    for what, options in outputs.items():
        report = programs.finetune(folder, data, scratch / what, *options, *trained)
        saved = programs.evaluate(scratch / what, data)
        # A folder in 16 bits is not quite what was trained.
        rounding = LOSS if what == "full" else 2e-2
        within(abs(saved["loss"] / report["loss_after"] - 1), rounding, f"{what}: loss_after of the report")
        yield what, compare_losses(load(scratch / what), rows, saved)
    for what, options in {"lora": ["--lora-r", "3"], "prefix": []}.items():
        if what == "prefix" and not shares_prefixes(folder):
            continue
        output = scratch / f"{what}-adapter"
        programs.finetune(folder, data, output, "--method", what, *options, "--adapter-output", "peft", *trained)
        yield f"{what} in peft", compare_adapter(folder, output, rows, programs.evaluate(output, data))
