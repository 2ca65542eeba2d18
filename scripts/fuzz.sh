#!/bin/bash
# Fuzzes the readers of untrusted files with libFuzzer (clang), each for some seconds, and reports what was found:
#   scripts/fuzz.sh [--seconds N] [--out DIR] [--keep] [TARGET...]
# Without targets all of tests/fuzz/targets. Findings and logs lie in DIR (build/fuzz), a table of executions and
# findings is printed. --keep adds inputs that reach new code to tests/fuzz/corpus, the smallest that do; tests replay
# them. Ends with 1 where a target crashed, hung (10 s an input) or took too much memory (1 GiB).
set -uo pipefail
cd "$(dirname "$0")/.."
seconds=60 out=build/fuzz keep=0 targets=()
while [ $# -gt 0 ]; do
  case $1 in
    --seconds) seconds=$2; shift 2 ;;
    --out) out=$2; shift 2 ;;
    --keep) keep=1; shift ;;
    --help) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) echo "fuzz.sh: expected --seconds, --out, --keep or the name of a target, got $1" >&2; exit 2 ;;
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
flags=(-std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined
       -Iinclude -Itests -Iexamples/greentrainer -isystem /usr/include/eigen3 -Ibackends/eigen/include
       "-DGREENTRAINER_SOURCE_DIR=\"$PWD\"" "-DGREENTRAINER_SHARED=\"\"" "-DGREENTRAINER_PROGRAM=\"\"")
libraries=(-lpthread -licuuc -licudata -lpcre2-8 -lz -lcrypto)
status=0
printf '| target | executions | seconds | inputs kept | edges reached | findings |\n'
printf '| --- | ---: | ---: | ---: | ---: | --- |\n'
for target in "${targets[@]}"; do
  header=tests/fuzz/targets/$target.hpp
  [ -f "$header" ] || { echo "fuzz.sh: expected one of tests/fuzz/targets, got $target" >&2; exit 2; }
  sources=(tests/fuzz/libfuzzer_main.cpp tests/support/paths.cpp)
  [ "$target" = toml ] && sources+=(examples/greentrainer/{config_file,command,toml_guard}.cpp)
  "$compiler" "${flags[@]}" "-DGREENTRAINER_FUZZ_HEADER=\"fuzz/targets/$target.hpp\"" \
    "-DGREENTRAINER_FUZZ_TARGET=$target" "${sources[@]}" -o "$out/$target" "${libraries[@]}" \
    2>"$out/$target.compile.log" || {
    echo "fuzz.sh: $target does not compile, see $out/$target.compile.log" >&2
    exit 2
  }
  found=$out/$target.corpus
  mkdir -p "$found" "$out/$target.findings"
  begin=$(date +%s)
  ASAN_OPTIONS=detect_leaks=0 "$out/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=65536 \
    -print_final_stats=1 -artifact_prefix="$out/$target.findings/" "$found" "tests/fuzz/corpus/$target" \
    >"$out/$target.log" 2>&1
  ended=$?
  executions=$(grep -o 'stat::number_of_executed_units: *[0-9]*' "$out/$target.log" | grep -o '[0-9]*$')
  edges=$(grep -o 'cov: [0-9]*' "$out/$target.log" | tail -1 | grep -o '[0-9]*')
  findings=none
  if [ $ended -ne 0 ]; then
    status=1
    findings=$(ls "$out/$target.findings" | tr '\n' ' ')
  fi
  printf '| %s | %s | %s | %s | %s | %s |\n' "$target" "${executions:-?}" "$(($(date +%s) - begin))" \
    "$(ls "$found" | wc -l)" "${edges:-?}" "$findings"
  if [ $keep -eq 1 ]; then
    merged=$out/$target.merged
    rm -rf "$merged" && mkdir "$merged"
    ASAN_OPTIONS=detect_leaks=0 "$out/$target" -merge=1 -max_len=2048 "$merged" "tests/fuzz/corpus/$target" "$found" \
      >"$out/$target.merge.log" 2>&1 && find "$merged" -type f -size -3k | sort | head -n 60 | while read -r input; do
        cp "$input" "tests/fuzz/corpus/$target/found-$(basename "$input" | head -c 12)"
      done
  fi
done
exit $status
