"""The tables and comparisons that peer_pytorch.py prints."""

import dataclasses
import pathlib
import statistics
import sys


@dataclasses.dataclass
class Run:
    name: str
    command: list
    folder: pathlib.Path = None  # ours: where the result is written, with the steps' numbers
    rounds: list = dataclasses.field(default_factory=list)
    failed: str = ""


@dataclasses.dataclass
class Case:
    title: str
    runs: list
    ratios: list  # (kind, name of the run above, name of the run below)


def summary(run):
    """Of the rounds of a run: seconds and FLOPs of a step, bytes, losses."""
    steps = list(zip(*[r["seconds"][1:] or r["seconds"] for r in run.rounds]))
    result = {"best": statistics.mean(map(min, steps)), "median": statistics.mean(map(statistics.median, steps))}
    first = run.rounds[0]
    if "flops" in first:
        result["flops"] = statistics.mean(first["flops"][1:] or first["flops"])
    for key in ("peak_bytes", "before_saving_bytes", "planned_bytes"):
        if key in first:
            result[key] = max(r[key] for r in run.rounds)
    return result | {"losses": first["losses"]}


def ratio(kind, above, below):
    """The text of one comparison."""
    a, b = summary(above), summary(below)
    name = f"{above.name} / {below.name}"
    if kind == "time":
        return f"time, {name}: {a['best'] / b['best']:.2f} (best), {a['median'] / b['median']:.2f} (median)"
    if kind == "time over FLOPs":
        flops = a["flops"] / b["flops"]
        best, median = a["best"] / b["best"] / flops, a["median"] / b["median"] / flops
        return f"time over FLOPs, {name}: {best:.3f} (best), {median:.3f} (median); FLOPs {flops:.4f}"
    if kind == "peak memory":
        text = f"peak memory, {name}: {a['peak_bytes'] / b['peak_bytes']:.2f}"
        if "planned_bytes" in a and "planned_bytes" in b:
            text += f"; before saving {a['before_saving_bytes'] / b['before_saving_bytes']:.2f}"
            text += f", planned {a['planned_bytes'] / b['planned_bytes']:.2f}"
        return text
    if kind == "planned memory":
        off = a["before_saving_bytes"] / a["planned_bytes"] - 1, a["peak_bytes"] / a["planned_bytes"] - 1
        return f"measured against planned memory, {above.name}: {off[0]:+.1%} before saving, {off[1]:+.1%} with it"
    off = max(abs(x - y) / abs(y) for x, y in zip(a["losses"], b["losses"]))
    return f"losses, {above.name} against {below.name}: at most {off:.1e} apart, relatively"


def row(run, peak):
    if run.failed:
        return f"| {run.name} | {run.failed} | | | | | | | |"
    s = summary(run)
    cells = [run.name, f"{s['best']:.4g}", f"{s['median']:.4g}", "", "", f"{s['peak_bytes'] / 1e6:.0f}", "", ""]
    if "flops" in s:
        rate = s["flops"] / s["best"]
        cells[3:5] = [f"{rate / 1e9:.0f}", f"{100 * rate / peak:.1f}%"]
        cells[6:] = [f"{s['before_saving_bytes'] / 1e6:.0f}", f"{s['planned_bytes'] / 1e6:.0f}"]
    return "| " + " | ".join([*cells, f"{s['losses'][-1]:.4f}"]) + " |"


def print_case(case, peak):
    """The table and its comparisons, in Markdown. Returns the comparisons."""
    print(f"\n## {case.title}\n")
    print("| run | s a step, best | median | GFLOP/s | of float32 peak | peak memory, MB | before saving | planned |"
          " last loss |\n| --- |" + " ---: |" * 8)  # fmt: skip
    for run in case.runs:
        print(row(run, peak))
    print()
    by_name, comparisons = {run.name: run for run in case.runs}, []
    for kind, above, below in case.ratios:
        missing = [name for name in (above, below) if name not in by_name or by_name[name].failed]
        if not missing:
            comparisons.append(ratio(kind, by_name[above], by_name[below]))
            print("- " + comparisons[-1])
    sys.stdout.flush()
    return comparisons
