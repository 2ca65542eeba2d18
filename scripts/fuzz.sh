#!/bin/bash
# Fuzzes the readers of untrusted files with libFuzzer (clang), each for some seconds, and reports what was found:
#   scripts/fuzz.sh [--seconds N] [--executions N] [--out DIR] [--keep] [TARGET...]
#   scripts/fuzz.sh --coverage [--out DIR] [TARGET...]
# Without targets all of tests/fuzz/targets. Findings and logs lie in DIR (build/fuzz), a table of executions and
# findings is printed. --executions ends a target earlier, once it has made so many. --keep adds inputs that reach new
# code to tests/fuzz/corpus, the smallest that do; tests replay them. --coverage fuzzes nothing: it says which share of
# the lines of each target's reader ("// reader:" in its header) the inputs of DIR and of tests/fuzz/corpus run.
# Ends with 1 where a target crashed, hung (10 s an input) or took too much memory (1 GiB).
set -uo pipefail
cd "$(dirname "$0")/.."
seconds=60 executions=-1 out=build/fuzz keep=0 coverage=0 targets=()
while [ $# -gt 0 ]; do
  case $1 in
    --seconds) seconds=$2; shift 2 ;;
    --executions) executions=$2; shift 2 ;;
    --out) out=$2; shift 2 ;;
    --keep) keep=1; shift ;;
    --coverage) coverage=1; shift ;;
    --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) echo "fuzz.sh: expected --seconds, --executions, --out, --keep, --coverage or the name of a target, got $1" >&2
        exit 2 ;;
    *) targets+=("$1"); shift ;;
  esac
done
# The first compiler that has libFuzzer and the sanitizers' libraries, which are packages of their own.
compiler=
for candidate in ${CXX:-clang++-16 clang++-15 clang++-14 clang++}; do
  command -v "$candidate" >/dev/null &&
    echo 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }' |
    "$candidate" -x c++ -fsanitize=fuzzer,address,undefined - -o /dev/null 2>/dev/null || continue
  compiler=$candidate
  break
done
[ -n "$compiler" ] || { echo "fuzz.sh: expected clang++ with libFuzzer, got none; install both" >&2; exit 2; }
if [ ${#targets[@]} -eq 0 ]; then
  for header in tests/fuzz/targets/*.hpp; do targets+=("$(basename "$header" .hpp)"); done
fi
mkdir -p "$out"
flags=(-std=c++20 -O1 -g -Iinclude -Itests -Iexamples/greentrainer -isystem /usr/include/eigen3
       -Ibackends/eigen/include "-DGREENTRAINER_SOURCE_DIR=\"$PWD\"" "-DGREENTRAINER_SHARED=\"\""
       "-DGREENTRAINER_PROGRAM=\"\"")
checks=(-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined)
libraries=(-lpthread -licuuc -licudata -lpcre2-8 -lz -lcrypto)
# Targets that read files write each input to one: in memory, since a disk is what they would wait for.
[ -d /dev/shm ] && [ -w /dev/shm ] && export TMPDIR=/dev/shm
export ASAN_OPTIONS=detect_leaks=0

# build TARGET PROGRAM FLAGS...
build() {
  local target=$1 program=$2
  shift 2
  local sources=(tests/fuzz/libfuzzer_main.cpp tests/support/paths.cpp)
  [ "$target" = toml ] && sources+=(examples/greentrainer/{config_file,command,toml_guard}.cpp)
  "$compiler" "${flags[@]}" "$@" "-DGREENTRAINER_FUZZ_HEADER=\"fuzz/targets/$target.hpp\"" \
    "-DGREENTRAINER_FUZZ_TARGET=$target" "${sources[@]}" -o "$program" "${libraries[@]}" 2>"$program.compile.log" || {
    echo "fuzz.sh: $target does not compile, see $program.compile.log" >&2
    exit 2
  }
}

# Prints a row with the lines of a target's reader, and how many of them its inputs run.
cover() {
  local target=$1 program=$out/$1.coverage version=${compiler##*clang++}
  local reader
  read -ra reader <<<"$(sed -n 's|^// reader: ||p' "tests/fuzz/targets/$target.hpp" | tr '\n' ' ')"
  local files=${reader[*]} folder=include/greentrainer
  [ "$target" = toml ] && folder=examples/greentrainer
  reader=("${reader[@]/#/$folder/}")
  build "$target" "$program" -O0 -g0 -fsanitize=fuzzer -fprofile-instr-generate -fcoverage-mapping
  LLVM_PROFILE_FILE=$program.profraw "$program" -runs=0 -timeout=10 -max_len=65536 "$out/$target.corpus" \
    "tests/fuzz/corpus/$target" >"$program.log" 2>&1 || { echo "fuzz.sh: see $program.log" >&2; return 1; }
  "llvm-profdata$version" merge -o "$program.profdata" "$program.profraw" || return 1
  "llvm-cov$version" report "$program" -instr-profile="$program.profdata" "${reader[@]}" >"$program.txt" || return 1
  awk -v target="$target" -v files="$files" \
    '$1 == "TOTAL" { printf "| %s | %s | %d | %d | %s |\n", target, files, $8, $8 - $9, $10 }' "$program.txt"
}

status=0
if [ $coverage -eq 1 ]; then
  printf '| target | its reader | lines | run by the inputs | share |\n| --- | --- | ---: | ---: | ---: |\n'
else
  printf '| target | executions | seconds | a second | inputs kept | edges reached | findings |\n'
  printf '| --- | ---: | ---: | ---: | ---: | ---: | --- |\n'
fi
for target in "${targets[@]}"; do
  header=tests/fuzz/targets/$target.hpp
  [ -f "$header" ] || { echo "fuzz.sh: expected one of tests/fuzz/targets, got $target" >&2; exit 2; }
  found=$out/$target.corpus
  mkdir -p "$found" "$out/$target.findings"
  if [ $coverage -eq 1 ]; then
    cover "$target" || status=1
    continue
  fi
  build "$target" "$out/$target" "${checks[@]}"
  begin=$(date +%s)
  "$out/$target" -max_total_time="$seconds" -runs="$executions" -timeout=10 -rss_limit_mb=1024 -max_len=65536 \
    -print_final_stats=1 -artifact_prefix="$out/$target.findings/" "$found" "tests/fuzz/corpus/$target" \
    >"$out/$target.log" 2>&1
  ended=$?
  took=$(($(date +%s) - begin))
  made=$(grep -o 'stat::number_of_executed_units: *[0-9]*' "$out/$target.log" | grep -o '[0-9]*$')
  edges=$(grep -o 'cov: [0-9]*' "$out/$target.log" | tail -1 | grep -o '[0-9]*')
  findings=none
  if [ $ended -ne 0 ]; then
    status=1
    findings=$(ls "$out/$target.findings" | tr '\n' ' ')
  fi
  printf '| %s | %s | %s | %s | %s | %s | %s |\n' "$target" "${made:-?}" "$took" "$((${made:-0} / (took + !took)))" \
    "$(ls "$found" | wc -l)" "${edges:-?}" "$findings"
  if [ $keep -eq 1 ]; then
    merged=$out/$target.merged
    rm -rf "$merged" && mkdir "$merged"
    "$out/$target" -merge=1 -max_len=2048 "$merged" "tests/fuzz/corpus/$target" "$found" \
      >"$out/$target.merge.log" 2>&1 && find "$merged" -type f -size -3k | sort | head -n 60 | while read -r input; do
        cp "$input" "tests/fuzz/corpus/$target/found-$(basename "$input" | head -c 12)"
      done
  fi
done
exit $status
