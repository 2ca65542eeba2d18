"""What peer_pytorch.py has PyTorch and transformers do, each call in a process of its own: make a model folder of
random weights, tokenise SciTLDR, and train for some steps. Prints JSON."""

import argparse
import json
import math
import pathlib
import struct
import sys
import time

import torch
import transformers

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def random_tensor(name, shape, dtype):
    if name.endswith("norm.weight"):
        return torch.ones(shape, dtype=dtype)
    if name.endswith(".bias"):
        return torch.zeros(shape, dtype=dtype)
    return torch.empty(shape).normal_(std=0.02).to(dtype)


def write_model(args):
    """A folder of random weights, one tensor in memory at a time."""
    fields = json.loads(args.config)
    config = transformers.AutoConfig.for_model(**fields)
    with torch.device("meta"):
        shapes = {n: p.shape for n, p in transformers.AutoModelForCausalLM.from_config(config).named_parameters()}
    dtype, header, end = DTYPES[args.dtype], {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shapes.items():
        begin, end = end, end + math.prod(shape) * dtype.itemsize
        kind = "F32" if dtype == torch.float32 else "BF16"
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    args.out.mkdir(parents=True)
    (args.out / "config.json").write_text(json.dumps(fields))
    torch.manual_seed(0)
    with (args.out / "model.safetensors").open("wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for name, shape in shapes.items():
            out.write(random_tensor(name, shape, dtype).view(torch.uint8).numpy().tobytes())
    return {"parameters": sum(math.prod(shape) for shape in shapes.values())}


def write_rows(args):
    """Rows of SciTLDR as token ids: prompt and summary tokenised together, the prompt without loss. Longer ones than
    --max-tokens are passed over."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.model)
    written = 0
    with args.data.open(encoding="utf-8") as lines, args.out.open("w", encoding="utf-8") as out:
        for line in lines:
            row = json.loads(line)
            prompt = " ".join(row["source"]) + " TL;DR:"
            ids = tokenizer(prompt + " " + row["target"][0])["input_ids"] + [tokenizer.eos_token_id]
            if len(ids) > args.max_tokens:
                continue
            unlabelled = len(tokenizer(prompt)["input_ids"])
            out.write(json.dumps({"input_ids": ids, "labels": [-100] * unlabelled + ids[unlabelled:]}) + "\n")
            written += 1
            if written == args.count:
                return {"rows": written}
    sys.exit(f"{args.data}: expected {args.count} rows of at most {args.max_tokens} tokens, got {written}")


def collate(rows, pad_to):
    longest = max(len(row["input_ids"]) for row in rows)
    width = max(longest, pad_to)

    def padded(key, value):
        return torch.tensor([row[key] + [value] * (width - len(row[key])) for row in rows])

    batch = {"input_ids": padded("input_ids", 0), "labels": padded("labels", -100)}
    if any(len(row["input_ids"]) < width for row in rows):  # without a mask attention is faster
        batch["attention_mask"] = torch.tensor(
            [[1] * len(row["input_ids"]) + [0] * (width - len(row["input_ids"])) for row in rows]
        )
    return batch


def load_model(args):
    model = transformers.AutoModelForCausalLM.from_pretrained(
        args.model, dtype=torch.float32, attn_implementation="sdpa"
    )
    model.config.use_cache = False
    if args.tensors:
        names = set(json.loads(pathlib.Path(args.tensors).read_text()))
        parameters = dict(model.named_parameters())
        if names - parameters.keys():
            sys.exit(f"{args.model}: expected all tensors that are trained, got none of {names - set(parameters)}")
        for name, parameter in parameters.items():
            parameter.requires_grad_(name in names)
    return model.train()


def train(args):
    torch.set_num_threads(args.threads)
    model = load_model(args)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=args.learning_rate, weight_decay=0.01, fused=True)
    with args.rows.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    seconds, losses = [], []
    for step in range(args.steps):
        start = time.perf_counter()
        batch = collate(rows[step * args.batch_size : (step + 1) * args.batch_size], args.pad_to)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.dtype == "bfloat16"):
            loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - start)
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    return {"seconds": seconds, "losses": losses, "tensors": len(trained), "versions": versions}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)

    def command(run, *options):
        sub = commands.add_parser(run.__name__.replace("_", "-"))
        sub.set_defaults(run=run)
        for name, kind, default in options:
            sub.add_argument("--" + name, type=kind, default=default, required=default is None)

    path = pathlib.Path
    command(write_model, ("config", str, None), ("dtype", str, "float32"), ("out", path, None))
    command(
        write_rows, ("model", path, None), ("data", path, None), ("count", int, None), ("max-tokens", int, 512),
        ("out", path, None),
    )  # fmt: skip
    command(
        train, ("model", path, None), ("rows", path, None), ("steps", int, None), ("batch-size", int, 4),
        ("dtype", str, "float32"), ("tensors", str, ""), ("pad-to", int, 0), ("threads", int, None),
        ("learning-rate", float, 2e-5),
    )  # fmt: skip
    args = parser.parse_args()
    print(json.dumps(args.run(args)))


if __name__ == "__main__":
    main()
