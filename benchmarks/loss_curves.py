#!/usr/bin/env python3
"""Training loss of runs of `greentrainer finetune`, as a Markdown table and as a drawing against
steps and against FLOPs.

    python3 loss_curves.py --out loss.svg OUTPUT_FOLDER...

Reads each folder's metrics.jsonl. A point is the mean over WINDOW steps, weighted by labelled tokens, so that long
batches do not look like better ones.
"""

import argparse
import json
from pathlib import Path

COLOURS = ["#555555", "#2a9d4a", "#1f6fb4", "#c4572b", "#8e44ad"]
WIDTH, HEIGHT, MARGIN = 420, 280, 48


def read_curve(folder, window):
    steps = []
    with (folder / "metrics.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            event = json.loads(line)
            if event["event"] == "step":
                steps.append(event)
    points = []
    for first in range(0, len(steps), window):
        some = steps[first : first + window]
        labelled = sum(s["labelled_tokens"] for s in some)
        points.append(
            (some[-1]["step"], some[-1]["flops_spent"], sum(s["loss"] * s["labelled_tokens"] for s in some) / labelled)
        )
    return points


def panel(curves, x_of, x_label, left):
    x_max = max(x_of(p) for points in curves.values() for p in points)
    losses = [p[2] for points in curves.values() for p in points]
    low, high = min(losses), max(losses)
    room = 0.08 * (high - low) or 1.0
    low, high = low - room, high + room

    def place(point):
        x = left + MARGIN + (WIDTH - MARGIN - 12) * x_of(point) / x_max
        return f"{x:.1f},{12 + (HEIGHT - MARGIN - 12) * (high - point[2]) / (high - low):.1f}"

    base = HEIGHT - MARGIN
    parts = [
        f'<path d="M{left + MARGIN},12 V{base} H{left + WIDTH - 12}" stroke="#999" fill="none"/>',
        f'<text x="{left + (WIDTH + MARGIN) / 2}" y="{base + 34}" text-anchor="middle">{x_label}</text>',
    ]
    for i in range(5):
        value, y = low + (high - low) * i / 4, base - (base - 12) * i / 4
        parts.append(f'<text x="{left + MARGIN - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.2f}</text>')
        parts.append(
            f'<text x="{left + MARGIN + (WIDTH - MARGIN - 12) * i / 4:.1f}" y="{base + 16}" text-anchor="middle">'
            f'{x_max * i / 4:.3g}</text>'
        )
    for (name, points), colour in zip(curves.items(), COLOURS):
        parts.append(
            f'<polyline points="{" ".join(place(p) for p in points)}" stroke="{colour}" stroke-width="2" fill="none">'
            f'<title>{name}</title></polyline>'
        )
    return parts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the SVG file")
    parser.add_argument("--window", type=int, default=20, help="steps a point (20)")
    parser.add_argument("folders", type=Path, nargs="+")
    args = parser.parse_args()
    if len(args.folders) > len(COLOURS):
        parser.error(f"at most {len(COLOURS)} runs")

    curves = {folder.name: read_curve(folder, args.window) for folder in args.folders}
    print("| steps | " + " | ".join(f"loss, {name}" for name in curves) + " |\n|" + " ---: |" * (len(curves) + 1))
    for row in zip(*curves.values()):
        print(f"| {row[0][0]} | " + " | ".join(f"{point[2]:.4f}" for point in row) + " |")

    parts = panel(curves, lambda p: p[0], "steps", 0) + panel(
        curves, lambda p: p[1] / 1e12, "TFLOPs of training", WIDTH
    )
    for i, (name, colour) in enumerate(zip(curves, COLOURS)):
        parts.append(f'<text x="{2 * WIDTH - 12}" y="{26 + 18 * i}" text-anchor="end" fill="{colour}">{name}</text>')
    args.out.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * WIDTH}" height="{HEIGHT}" font-family="sans-serif" '
        f'font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n',
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
