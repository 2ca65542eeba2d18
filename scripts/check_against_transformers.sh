#!/usr/bin/env bash
# Compares the program with transformers, peft and tokenizers, on fresh random folders of every architecture and form of
# tokenizer: losses, gradients, token ids, and what was saved; and on the chat templates of TRL and of a folder. Not
# part of CI.
#   check_against_transformers.sh BUILD_DIR [--venv DIR] [--seed N] [--only GLOB] [--templates DIR] [--keep DIR]
# BUILD_DIR has bin/greentrainer, bin/print_ids and bin/render_chat. --venv is a Python environment that has, or is
# given, the packages below; without it one is made and removed again. The seed is printed; another run takes another
# one. Exit status 0 if everything agrees, 1 if something differs.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
packages=(torch==2.15.0 transformers==5.24.0 tokenizers==0.23.3 peft==0.21.2 safetensors==0.8.0
  sentencepiece protobuf jinja2 trl==1.16.0)
[ $# -ge 1 ] || { sed -n '2,10p' "${BASH_SOURCE[0]}" >&2; exit 2; }
build=$1
shift
venv=
arguments=()
while [ $# -gt 0 ]; do
  case $1 in
    --venv) venv=$2; shift 2 ;;
    --seed | --only | --templates | --keep) arguments+=("$1" "$2"); shift 2 ;;
    *) echo "$0: unknown option $1" >&2; exit 2 ;;
  esac
done
for program in greentrainer print_ids render_chat; do
  [ -x "$build/bin/$program" ] || { echo "$0: expected $build/bin/$program, got none; build it first" >&2; exit 2; }
done
if [ -z "$venv" ]; then
  venv=$(mktemp -d)
  trap 'rm -rf "$venv"' EXIT
fi
if ! "$venv/bin/python" -c 'import torch, transformers, peft, sentencepiece' 2>/dev/null; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet "${packages[@]}"
fi
export HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error PYTHONWARNINGS=ignore OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1
"$venv/bin/python" "$here/check_against_transformers" "$build/bin" "${arguments[@]}"
