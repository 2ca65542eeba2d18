#!/usr/bin/env bash
# Installs what is missing (Debian 12), builds everything with assertions on, and runs all tests.
#   bash tests/run.sh [ctest option...]      such as -R tokenizers, -L io
# BUILD_DIR: where to build (build/tests); JOBS: how many cores to use (all).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${BUILD_DIR:-$root/build/tests}
started=$SECONDS

bash "$root/scripts/install_packages.sh"
bash "$root/scripts/build.sh" "$build" -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-O1 -DGREENTRAINER_NATIVE=ON \
  -DGREENTRAINER_COMPILED=ON
built=$SECONDS

status=0
ctest --test-dir "$build" --output-on-failure --no-tests=error --parallel "${JOBS:-$(nproc)}" --output-junit \
  "$build/tests.xml" "$@" || status=$?

# Why tests were skipped.
sed -n 's/^.*MESSAGE: \(SKIP .*\)$/\1/p' "$build/Testing/Temporary/LastTest.log" | sort | uniq -c
count() { sed -n "s/^.*[[:space:]]$1=\"\([0-9]*\)\".*$/\1/p" "$build/tests.xml" | head -n 1; }
failed=$(count failures)
skipped=$(count skipped)
passed=$(($(count tests) - failed - skipped - $(count disabled)))
echo
echo "Build $((built - started)) s, tests $((SECONDS - built)) s. A test is a file of tests; skipped are those whose" \
  "data or device is not here."
echo "$passed passed, $failed failed, $skipped skipped"
exit "$status"
