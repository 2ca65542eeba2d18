"""Runs the programs that are checked."""

import json
import subprocess
from pathlib import Path


class Failure(Exception):
    """What differs, or what went wrong: one check of the table fails."""


class Programs:
    def __init__(self, folder: Path):
        self.folder = folder

    def run(self, name, *arguments):
        command = [str(self.folder / name), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise Failure(f"{' '.join(command)}: exit status {done.returncode}: {done.stderr.strip()[-400:]}")
        return done.stdout

    def evaluate(self, model, data):
        return json.loads(self.run("greentrainer", "evaluate", "--model", model, "--data", data, "--json"))

    def finetune(self, model, data, output, *options):
        return json.loads(
            self.run(
                "greentrainer", "finetune", "--model", model, "--train", data, "--output", output,
                "--no-shuffle", "--schedule", "constant", "--json", *options,
            )
        )  # fmt: skip

    def ids(self, folder, data):
        return [json.loads(line) for line in self.run("print_ids", folder, data).splitlines()]


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
