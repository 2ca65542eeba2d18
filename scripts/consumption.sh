#!/usr/bin/env bash
# Tries the ways in which another project can use the library, each in a clean folder, and prints a table.
#   scripts/consumption.sh [--table FILE] [--compiled PREFIX] [--program] [WAY...]
# WAYs (all unless named): find_package add_subdirectory fetch_content pkg_config include_path without_io compiled
# debian vcpkg conan.
#   --table FILE        writes the table there too
#   --compiled PREFIX   where a build with -DGREENTRAINER_COMPILED=ON is installed; without it one is made (minutes)
#   --program           the Debian package of the program, too (minutes)
# vcpkg: the command, or a copy of its repository in VCPKG_ROOT, whose CMake scripts then build the port by themselves.
# conan: the command named by CONAN (conan). A way whose client is not here is skipped by name. Nothing is downloaded.
# Exit status 0 if all that ran passed, 1 if something failed, 77 if nothing ran, 2 for bad usage.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
all=(find_package add_subdirectory fetch_content pkg_config include_path without_io compiled debian vcpkg conan)
table= compiled_prefix= program=0 ways=()
while [ $# -gt 0 ]; do
  case $1 in
    --table) table=$2; shift 2 ;;
    --compiled) compiled_prefix=$2; shift 2 ;;
    --program) program=1; shift ;;
    -*) sed -n '2,13s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
    *)
      [[ " ${all[*]} " == *" $1 "* ]] || { echo "consumption.sh: expected one of ${all[*]}, got $1" >&2; exit 2; }
      ways+=("$1"); shift ;;
  esac
done
[ ${#ways[@]} -gt 0 ] || ways=("${all[@]}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
version=$(sed -n 's/^project(greentrainer VERSION \([0-9.]*\).*/\1/p' "$root/CMakeLists.txt")
library=(-DGREENTRAINER_TESTS=OFF -DGREENTRAINER_EXAMPLES=OFF -DGREENTRAINER_BENCHMARKS=OFF)
consumer=(-G Ninja -DCMAKE_BUILD_TYPE=Debug -DCONSUMER_TRAINER=OFF)
compile=("${CXX:-c++}" -std=c++20 -Wall -Wextra -Werror)

# The source as an archive, as a release would have it.
archive() {
  [ -f "$work/source.tar.gz" ] && return
  local list=$work/files
  (cd "$root" &&
    git ls-files --cached --others --exclude-standard 2>/dev/null || find . -type f -not -path './build*') |
    grep -v -e '^\.git' | while read -r file; do [ -f "$root/$file" ] && echo "$file"; done >"$list"
  tar -czf "$work/source.tar.gz" -C "$root" -T "$list" --transform "s,^,greentrainer-$version/,"
}

# Headers installed from a folder where nothing was built, CUDA's library included where there is a CUDA compiler, and
# moved: a package may not remember where it was made.
installed() {
  [ -d "$work/installed" ] && return
  cmake -S "$root" -B "$work/headers" -G Ninja "${library[@]}" &&
    cmake --install "$work/headers" --prefix "$work/first" && mv "$work/first" "$work/installed"
}

# Configures, builds and tests the project of tests/consumer. $1: folder; the rest: options.
consume() {
  local folder=$1
  shift
  cmake -S "$root/tests/consumer" -B "$folder" "${consumer[@]}" "$@" && cmake --build "$folder" &&
    ctest --test-dir "$folder" --output-on-failure --no-tests=error
}

pkg_config() { PKG_CONFIG_PATH=$1/lib/pkgconfig:$1/share/pkgconfig pkg-config --cflags --libs "${@:2}"; }

find_package() { installed && consume "$work/find_package" -DCMAKE_PREFIX_PATH="$work/installed" \
  -DCONSUMER_COMPONENTS=greentrainer; }

add_subdirectory() { consume "$work/add_subdirectory" -DCONSUMER_SUBDIRECTORY="$root"; }

fetch_content() { archive && consume "$work/fetch_content" -DCONSUMER_ARCHIVE="$work/source.tar.gz"; }

# The selector alone, then what JSON, PCRE2 and Eigen add.
pkg_config_programs() {
  local selection everything
  selection=$(pkg_config "$1" greentrainer) && everything=$(pkg_config "$1" greentrainer-io greentrainer-eigen) &&
    "${compile[@]}" "$root/tests/consumer/selection.cpp" -o "$work/selection" $selection && "$work/selection" &&
    "${compile[@]}" -DCONSUMER_HAS_io -DCONSUMER_HAS_eigen "$root/tests/consumer/main.cpp" -o "$work/main" \
      $everything && "$work/main"
}
pkg_config_() { installed && pkg_config_programs "$work/installed"; }

include_path() {
  "${compile[@]}" -I"$root/include" "$root/tests/consumer/selection.cpp" -o "$work/by_path" && "$work/by_path"
}

# Without JSON, PCRE2, ICU, zlib and OpenSSL: graph, training passes, importances and optimizers.
without_io() {
  local options=("${library[@]}" -DGREENTRAINER_CUDA=OFF) package
  for package in nlohmann_json PCRE2 ICU ZLIB OpenSSL; do options+=("-DCMAKE_DISABLE_FIND_PACKAGE_$package=ON"); done
  cmake -S "$root" -B "$work/no_io" -G Ninja "${options[@]}" &&
    cmake --install "$work/no_io" --prefix "$work/no_io_prefix" &&
    [ ! -e "$work/no_io_prefix/include/greentrainer/io/json.hpp" ] &&
    "${compile[@]}" "$root/examples/importance_on_mlp.cpp" -o "$work/mlp" \
      $(pkg_config "$work/no_io_prefix" greentrainer greentrainer-eigen) && "$work/mlp"
}

# The library compiled once: by CMake and by pkg-config, and its definitions are not compiled again.
compiled() {
  if [ -z "$compiled_prefix" ]; then
    compiled_prefix=$work/compiled_prefix
    cmake -S "$root" -B "$work/compiled_build" -G Ninja "${library[@]}" -DGREENTRAINER_CUDA=OFF \
      -DGREENTRAINER_COMPILED=ON && cmake --build "$work/compiled_build" &&
      cmake --install "$work/compiled_build" --prefix "$compiled_prefix" || return 1
  fi
  consume "$work/compiled" -DCMAKE_PREFIX_PATH="$compiled_prefix" "-DCONSUMER_COMPONENTS=io;eigen" &&
    pkg_config_programs "$compiled_prefix" &&
    "${compile[@]}" -c "$root/tests/consumer/selection.cpp" -o "$work/selection.o" \
      $(PKG_CONFIG_PATH=$compiled_prefix/lib/pkgconfig pkg-config --cflags greentrainer-io) &&
    nm -C "$work/selection.o" | grep ' U greentrainer::ExactSelector::select'
}

debian() {
  command -v dh >/dev/null && command -v lintian >/dev/null || { echo "debhelper or lintian is not here"; return 77; }
  local folder=$work/debian kind=source,all
  [ "$program" = 0 ] || kind=full
  archive && mkdir "$folder" && tar -xzf "$work/source.tar.gz" -C "$folder" && cd "$folder/greentrainer-$version" &&
    env -u CXXFLAGS -u CFLAGS dpkg-buildpackage -us -uc --build=$kind && cd .. &&
    lintian --allow-root --fail-on error,warning ./*.changes && dpkg-deb -x libgreentrainer-dev_*_all.deb root &&
    pkg_config_programs "$folder/root/usr" && consume "$folder/consumer" \
      -Dgreentrainer_DIR="$folder/root/usr/share/cmake/greentrainer" -DCONSUMER_COMPONENTS=greentrainer
}

vcpkg_port() {
  local packages=$work/vcpkg/packages/greentrainer
  if command -v vcpkg >/dev/null; then
    vcpkg install greentrainer --overlay-ports="$root/packaging/vcpkg" --x-install-root="$work/vcpkg/packages" &&
      packages=$(dirname "$(find "$work/vcpkg/packages" -path '*/share/greentrainer' | head -n 1)")/..
  elif [ -n "${VCPKG_ROOT:-}" ]; then
    # What the command would run, with the system's packages in place of vcpkg's.
    local triplet=x64-linux port configs=
    local installed=$work/vcpkg/installed/$triplet
    for port in vcpkg-cmake vcpkg-cmake-config; do
      mkdir -p "$installed/share/$port" && cp "$VCPKG_ROOT/ports/$port/"*.cmake "$installed/share/$port/" || return 1
      configs+="${configs:+;}$installed/share/$port/vcpkg-port-config.cmake"
    done
    cmake -DCMD=BUILD -DPORT=greentrainer -DFEATURES="core;io;eigen" -DALL_FEATURES="core;io;eigen" \
      -DCURRENT_PORT_DIR="$root/packaging/vcpkg/greentrainer" -DCURRENT_PACKAGES_DIR="$packages" \
      -DVCPKG_ROOT_DIR="$VCPKG_ROOT" -DTARGET_TRIPLET=$triplet -D_HOST_TRIPLET=$triplet \
      -DTARGET_TRIPLET_FILE="$VCPKG_ROOT/triplets/$triplet.cmake" -DVCPKG_PORT_CONFIGS="$configs" \
      -D_VCPKG_INSTALLED_DIR="$work/vcpkg/installed" -DCURRENT_BUILDTREES_DIR="$work/vcpkg/buildtrees/greentrainer" \
      -DDOWNLOADS="$work/vcpkg/downloads" -DVCPKG_CONCURRENCY="$(nproc)" -DVCPKG_BASE_VERSION=2026-01-01 \
      -DGIT="$(command -v git)" -DNINJA="$(command -v ninja)" -DPKGCONFIG="$(command -v pkg-config)" \
      -P "$VCPKG_ROOT/scripts/ports.cmake" || return 1
  else
    echo "neither vcpkg nor VCPKG_ROOT is here"
    return 77
  fi
  [ -f "$packages/share/greentrainer/copyright" ] && consume "$work/vcpkg/consumer" \
    -Dgreentrainer_DIR="$packages/share/greentrainer" "-DCONSUMER_COMPONENTS=io;eigen"
}

conan_recipe() {
  local conan=${CONAN:-conan}
  command -v "$conan" >/dev/null || { echo "conan is not here"; return 77; }
  export CONAN_HOME=$work/conan
  archive && mkdir "$work/conan_source" && tar -xzf "$work/source.tar.gz" -C "$work/conan_source" &&
    "$conan" profile detect &&
    "$conan" create "$work/conan_source/greentrainer-$version/packaging/conan" --no-remote --build=missing \
      -s compiler.cppstd=20
}

rows=("| way | result | seconds |" "| --- | --- | ---: |")
failed=0 ran=0
for way in "${ways[@]}"; do
  function=$way
  case $way in pkg_config) function=pkg_config_ ;; vcpkg) function=vcpkg_port ;; conan) function=conan_recipe ;; esac
  started=$(date +%s%N)
  ("$function") >"$work/$way.log" 2>&1
  status=$?
  seconds=$(awk "BEGIN { printf \"%.1f\", ($(date +%s%N) - $started) / 1e9 }")
  case $status in
    0) result=passed ran=$((ran + 1)) ;;
    77) result="SKIP $(tail -n 1 "$work/$way.log")" ;;
    *) result=failed failed=1 ran=$((ran + 1)) && tail -n 40 "$work/$way.log" >&2 ;;
  esac
  rows+=("| $way | $result | $seconds |")
  [ $status -ne 77 ] || echo "MESSAGE: SKIP $way: $(tail -n 1 "$work/$way.log")"  # as tests/run.sh counts them
  echo "$way: $result, $seconds s" >&2
done
printf '%s\n' "${rows[@]}"
[ -z "$table" ] || printf '%s\n' "${rows[@]}" >"$table"
[ $failed -eq 0 ] || exit 1
[ $ran -gt 0 ] || exit 77
