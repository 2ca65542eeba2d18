#!/usr/bin/env bash
# Installs the Debian 12 packages that the build needs and that are not there yet. Does nothing, without asking for
# rights, when all are.
set -euo pipefail

packages=(g++ cmake ninja-build pkg-config libeigen3-dev doctest-dev nlohmann-json3-dev libcli11-dev libpcre2-dev
  libtomlplusplus-dev libbenchmark-dev libboost-context-dev libicu-dev zlib1g-dev libssl-dev libopenmpi-dev openmpi-bin)

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "Not a Debian system: going on with what is installed. Needed: the like of ${packages[*]}"
  exit 0
fi

missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] ||
    missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "[install_packages] missing: ${missing[*]}; as root, run: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi
echo "Installing with apt-get: ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" \
  >/dev/null
