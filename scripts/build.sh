#!/usr/bin/env bash
# build.sh BUILD_DIR [cmake option...] [-- target...]: configures and builds with Ninja, with ccache where there is one,
# on JOBS cores.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$1
shift
options=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  options+=("$1")
  shift
done
[ $# -eq 0 ] || shift

if command -v ccache >/dev/null; then
  options+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_CUDA_COMPILER_LAUNCHER=ccache)
  # What -march=native made on another machine is not for this one.
  CCACHE_NAMESPACE=$(grep -m1 '^flags' /proc/cpuinfo 2>/dev/null | cksum | tr -d ' ')
  export CCACHE_NAMESPACE
  export CCACHE_BASEDIR=$root  # objects of one clone serve another
fi
cmake -S "$root" -B "$build" -G Ninja "${options[@]}"
cmake --build "$build" --parallel "${JOBS:-$(nproc)}" ${1:+--target "$@"}
