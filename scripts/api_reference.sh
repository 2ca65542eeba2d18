#!/usr/bin/env bash
# Writes the API reference as HTML with Doxygen, and fails if Doxygen warns of anything.
#   scripts/api_reference.sh [FOLDER]      FOLDER/html/index.html (build/api)
# Exit status 77 where doxygen is not here: apt-get install doxygen.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if ! command -v doxygen >/dev/null; then
  echo "MESSAGE: SKIP doxygen is not here"
  exit 77
fi
folder=$(realpath -m "${1:-$root/build/api}")
mkdir -p "$folder"
version=$(sed -n 's/^project(greentrainer VERSION \([0-9.]*\).*/\1/p' "$root/CMakeLists.txt")
cd "$root"
{
  cat docs/Doxyfile
  echo "OUTPUT_DIRECTORY = \"$folder\""
  echo "PROJECT_NUMBER = $version"
} | doxygen -
echo "$folder/html/index.html"
