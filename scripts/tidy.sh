#!/usr/bin/env bash
# Runs clang-tidy with the repository's .clang-tidy over source files, one at a time.
#   scripts/tidy.sh BUILD_DIR [FILE...]     files as they stand in BUILD_DIR's compile_commands.json
# Without files: a sample of tests and sources that includes most headers, which takes minutes. CLANG_TIDY: the command.
# Exit status 0 if nothing was found, 1 if something was, 2 for bad usage, 77 where clang-tidy is not here.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
sample=(tests/core/workload_test.cpp tests/graph/pass_plan_test.cpp tests/cost/choose_recomputation_test.cpp
  tests/select/exact_selector_test.cpp tests/parallel/thread_group_test.cpp tests/io/safetensors_test.cpp
  tests/templates/chat_template_test.cpp tests/tokenizers/components_test.cpp tests/data/load_jsonl_test.cpp
  tests/metrics/rouge_test.cpp tests/optim/weight_decay_test.cpp tests/report/plot_test.cpp
  tests/models/architectures_test.cpp examples/greentrainer/command.cpp examples/greentrainer/plan.cpp
  examples/own_parts.cpp)
[ $# -ge 1 ] && [ -f "$1/compile_commands.json" ] || { sed -n '2,5p' "${BASH_SOURCE[0]}" >&2; exit 2; }
build=$1
shift
tidy=${CLANG_TIDY:-clang-tidy}
command -v "$tidy" >/dev/null || { echo "MESSAGE: SKIP $tidy is not here"; exit 77; }
[ $# -gt 0 ] || set -- "${sample[@]}"
status=0
for file in "$@"; do
  started=$SECONDS
  [[ $file == /* ]] || file=$root/$file
  # g++'s own warning options mean nothing to clang.
  if output=$("$tidy" --quiet -p "$build" --extra-arg=-Wno-unknown-warning-option "$file" 2>/dev/null); then
    echo "${file#"$root"/}: nothing, $((SECONDS - started)) s"
  else
    status=1
    echo "${file#"$root"/}: $(grep -c ' error: ' <<<"$output") findings, $((SECONDS - started)) s"
    echo "$output"
  fi
done
exit $status
