#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What Dockerfile and ../contrib/apptainer/trireme.def run inside of the image, as root. The
# image is Debian 12, Ubuntu 24.04 or later.
#
#   steps.sh build SOURCE PREFIX     packages, program, installation, list of needed packages
#   steps.sh runtime PREFIX          packages of that list; with ANALYSIS=yes the plots' too
#
# `build` reads TRIREME_ARCH, TRIREME_CUDA (ON, OFF, AUTO), CUDA_ARCHITECTURES and JOBS.
# TRIREME_ARCH is -march; the default x86-64-v3 suits images that run on other processors.
# CUDA_ARCHITECTURES auto means all architectures that Trireme can use.
set -euo pipefail

list=share/trireme/runtime-packages.txt

# Prints a library's package. dpkg knows files by the path with which they were packed.
package_of() {  # FILE
  local real
  real=$(readlink -f "$1")
  dpkg-query -S "$real" 2>/dev/null || dpkg-query -S "${real#/usr}"
}

build() {  # SOURCE PREFIX
  local source=$1 prefix=$2 folder library
  local arguments=(-DTRIREME_TESTS=OFF "-DTRIREME_ARCH=${TRIREME_ARCH:-x86-64-v3}"
    "-DTRIREME_CUDA=${TRIREME_CUDA:-AUTO}")
  [ "${CUDA_ARCHITECTURES:-auto}" = auto ] ||
    arguments+=("-DCMAKE_CUDA_ARCHITECTURES=$CUDA_ARCHITECTURES")
  apt-get -q update
  "$source/jobs/install-deps.sh" build
  folder=$(mktemp -d)
  cmake -S "$source" -B "$folder" -G Ninja "${arguments[@]}"
  cmake --build "$folder" --parallel "${JOBS:-$(nproc)}" --target trireme
  cmake --install "$folder" --prefix "$prefix" --strip
  rm -rf "$folder"
  ldd "$prefix/bin/trireme" | awk '$3 ~ /^\// {print $3}' | while read -r library; do
    package_of "$library"
  done | sed 's/:.*//' | sort -u >"$prefix/$list"
  [ -s "$prefix/$list" ] || {
    echo "steps.sh: $prefix/bin/trireme runs on no package that dpkg knows" >&2
    exit 1
  }
}

runtime() {  # PREFIX
  local prefix=$1 packages
  mapfile -t packages <"$prefix/$list"
  apt-get -q update
  DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends openmpi-bin \
    "${packages[@]}"
  [ "${ANALYSIS:-no}" != yes ] || "$prefix/share/trireme/jobs/install-deps.sh" analysis
  rm -rf /var/lib/apt/lists/*
  # Fail here if the image can't start its program.
  "$prefix/bin/trireme" --version
}

case ${1:-} in
  build) build "${2:?SOURCE}" "${3:?PREFIX}" ;;
  runtime) runtime "${2:?PREFIX}" ;;
  *)
    echo "usage: steps.sh build SOURCE PREFIX | steps.sh runtime PREFIX" >&2
    exit 1
    ;;
esac
