"""Chat templates: conversations of all kinds as transformers' apply_chat_template renders them, byte for byte, and the
ranges that {% generation %} marks. What transformers refuses, we refuse. The templates are those that TRL carries and
those of a folder that is named."""

import importlib.util
import json
from pathlib import Path

import transformers.utils.chat_template_utils as utils
from program import Failure
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

CONVERSATIONS = 200
TEXTS = [
    "Hi", "What is 2 + 2?", "  leading and trailing  \n", "line one\nline two\n\nline four", "", "null", "True", "0",
    "caf\u00e9 \u4f60\u597d \U0001f600", "<think>inner</think>after", "x</think>\n\ny", "<b>&amp;'\"</b> \\n",
    "tabs\tand\r\nCRLF", "A long answer. " * 10, "{{ not jinja }} {% x %}", '<tool_call>{"a":1}</tool_call>',
    "\u00a0blank\u2028line", "/no_think", "<|im_end|>", "[INST] x [/INST]",
]  # fmt: skip


def templates(folder):
    """{name: path}"""
    folders = [folder] if folder else []
    if trl := importlib.util.find_spec("trl"):
        folders.append(Path(trl.submodule_search_locations[0]) / "chat_templates")
    return {path.stem: path for place in folders for path in sorted(place.rglob("*.jinja"))}


def value(rng, depth=0):
    scalars = [0, 1, -3, 12345678901, 1.5, 1e15, 0.1, 1e-7, True, False, None, rng.choice(TEXTS)]
    kind = rng.randrange(6) if depth < 2 else 0
    if kind == 4:
        return [value(rng, depth + 1) for _ in range(rng.randrange(3))]
    if kind == 5:
        return {rng.choice(TEXTS)[:6] or "k": value(rng, depth + 1) for _ in range(rng.randrange(3))}
    return rng.choice(scalars)


def schema(rng, depth=0):
    kind = rng.choice(["string", "integer", "number", "boolean", "array", "object"] if depth < 2 else ["string"])
    result = {"type": kind}
    if rng.random() < 0.7:
        result["description"] = rng.choice(TEXTS)
    if kind == "string" and rng.random() < 0.4:
        result["enum"] = ["a", "b", rng.choice(TEXTS)]
    if rng.random() < 0.2:
        result["default"] = value(rng, 2)
    if rng.random() < 0.2:
        result["nullable"] = True
    if kind == "array":
        result["items"] = schema(rng, depth + 1)
    if kind == "object":
        result["properties"] = {f"p{i}": schema(rng, depth + 1) for i in range(rng.randrange(3))}
        if rng.random() < 0.5:
            result["required"] = list(result["properties"])[:1]
    return result


def tool(rng):
    names = rng.sample(["city", "unit", "n", "options"], rng.randrange(4))
    function = {
        "name": rng.choice(["get_weather", "search", "add"]),
        "description": rng.choice(TEXTS),
        "parameters": {
            "type": "object",
            "properties": {name: schema(rng) for name in names},
            "required": names[:1] if rng.random() < 0.5 else [],
        },
    }
    if rng.random() < 0.2:
        function["return"] = {"type": "string", "description": "r"}
    if rng.random() < 0.2:
        function["strict"] = True
    return {"type": "function", "function": function}


def tool_call(rng):
    arguments = {name: value(rng) for name in rng.sample(["city", "unit", "n", "options"], rng.randrange(3))}
    function = {"name": rng.choice(["get_weather", "search"])}
    function["arguments"] = arguments if rng.random() < 0.8 else json.dumps(arguments)
    call = {"type": "function", "function": function}
    if rng.random() < 0.5:
        call["id"] = rng.choice(["abcdef123", "call_1"])
    return call


def conversation(rng, plain):
    def content():
        if plain or rng.random() < 0.75:
            return rng.choice(TEXTS)
        parts = [{"type": "text", "text": rng.choice(TEXTS)}, {"type": "image"}]
        return [rng.choice(parts) for _ in range(rng.randrange(1, 3))]

    messages = []
    if rng.random() < 0.5:
        messages.append({"role": "developer" if not plain and rng.random() < 0.3 else "system", "content": content()})
    for _ in range(rng.randrange(1, 4)):
        messages.append({"role": "user", "content": content()})
        answer = {"role": "assistant", "content": content()}
        if rng.random() < 0.4:
            answer[rng.choice(["reasoning_content", "thinking", "reasoning"])] = rng.choice(TEXTS)
        messages.append(answer)
        if not plain and rng.random() < 0.4:
            answer["tool_calls"] = [tool_call(rng) for _ in range(rng.randrange(1, 3))]
            answer["content"] = rng.choice([answer["content"], None, ""])
            for call in answer["tool_calls"]:
                result = {"role": "tool", "content": content()}
                if rng.random() < 0.6:
                    result["name"] = call["function"]["name"]
                if rng.random() < 0.6:
                    result["tool_call_id"] = call.get("id", "abcdef123")
                messages.append(result)
            messages.append({"role": "assistant", "content": content()})
    if rng.random() < 0.3:
        messages.pop()
    if not plain and rng.random() < 0.1:
        rng.shuffle(messages)
    row = {"messages": messages, "add_generation_prompt": rng.random() < 0.5, "variables": {}}
    if not plain and rng.random() < 0.5:
        row["tools"] = [tool(rng) for _ in range(rng.randrange(1, 3))]
    if not plain and rng.random() < 0.1:
        row["documents"] = [{"title": rng.choice(TEXTS), "text": rng.choice(TEXTS)}]
    variables = {"enable_thinking": [True, False], "thinking": [True, False], "reasoning_effort": ["low", "high"]}
    for name, values in variables.items():
        if rng.random() < 0.2:
            row["variables"][name] = rng.choice(values)
    return row


def expected(tokenizer, jinja, row):
    """Text and marked ranges of bytes, or None where transformers refuses."""
    tools, documents = row.get("tools"), row.get("documents")
    try:
        text = tokenizer.apply_chat_template(
            row["messages"], tools=tools, documents=documents, chat_template=jinja, tokenize=False,
            add_generation_prompt=row["add_generation_prompt"], **row["variables"],
        )  # fmt: skip
    except Exception:  # of any kind: templates call what they like
        return None
    messages = [{key: value for key, value in message.items() if value is not None} for message in row["messages"]]
    again, ranges = utils._render_with_assistant_indices(
        utils._compile_jinja_template(jinja), utils._alias_reasoning_fields(utils._plain_template_data(messages)),
        tools, documents, row["add_generation_prompt"], **{**tokenizer.special_tokens_map, **row["variables"]},
    )  # fmt: skip
    if text != again:
        raise Failure("transformers gives two texts")
    return text, [[len(text[:begin].encode()), len(text[:end].encode())] for begin, end in ranges]


def check(path, programs, scratch, rng):
    jinja = path.read_text(encoding="utf-8")
    model = models.WordLevel({"<unk>": 0, "<s>": 1, "</s>": 2}, unk_token="<unk>")
    tokens = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "</s>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(model), **tokens)
    rows = [conversation(rng, plain=i % 10 < 7) for i in range(CONVERSATIONS)]
    wanted = [expected(tokenizer, jinja, row) for row in rows]
    file = scratch / "rows.jsonl"
    inputs = [{**row, "variables": {**tokens, **row["variables"]}} for row in rows]
    file.write_text("".join(json.dumps(row) + "\n" for row in inputs), encoding="ascii")
    lines = programs.run("render_chat", path, file).split("\n")[:-1]
    if len(lines) != len(rows):
        raise Failure(f"expected {len(rows)} lines, got {len(lines)}")
    rendered = 0
    for row, want, line in zip(rows, wanted, lines):
        got = json.loads(line)
        if want is None and "error" in got:
            continue
        if want is None or "error" in got or (got["text"], got["generated"]) != want:
            raise Failure(f"{json.dumps(row)[:600]}: expected {want}, got {line[:600]}")
        rendered += 1
    yield f"{len(rows) - rendered} refused by both, {rendered} rendered", "all"
