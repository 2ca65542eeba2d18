#!/usr/bin/env bash
# nvidia-cublas 13.4.1.3. Loading libcublasLt takes about 156 MB of resident memory before anything is called and
# without a GPU or a driver: 97 MB of it are private pages, which the dynamic linker writes relocations to, and are no
# file's that others could share or the system drop. A program that only links cuBLAS has them in every process, also
# where it computes on the CPU; memory that is planned for a model has to leave room for it.
# Seen: VmRSS +156 MB, RssAnon +97 MB; libcublas besides +2 MB.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install nvidia-cublas==13.4.1.3
"$work/venv/bin/python" - <<'PYTHON'
import ctypes
import pathlib
import sys


def memory():
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines if line.startswith(("VmRSS", "RssAnon"))}


before = memory()
for name in ["libcublasLt.so.13", "libcublas.so.13"]:
    (file,) = pathlib.Path(sys.prefix).rglob(name)
    ctypes.CDLL(str(file))
    after = memory()
    more = {key: after[key] - before[key] for key in after}
    print(f"{name}: VmRSS +{more['VmRSS']:.0f} MB, RssAnon +{more['RssAnon']:.0f} MB since the start")
assert 100 < more["VmRSS"] < 250
assert 60 < more["RssAnon"] < 150
PYTHON
