#!/usr/bin/env bash
# Builds ADIOS2 with MPI under $SWAE_DEPS, unless the machine has one (ADIOS2_DIR, adios2-config).
# The source is the distribution of the PyPI package: Debian 12 has no ADIOS2.
set -euo pipefail
. "$(dirname "$0")/env.sh"
[ -z "${ADIOS2_DIR:-}" ] || exit 0

version=2.12.1
prefix=$SWAE_DEPS/adios2-$version
work=$(mktemp -d "${TMPDIR:-/tmp}/adios2.XXXXXX")
trap 'rm -rf "$work"' EXIT
echo "== building ADIOS2 $version with MPI into $prefix (once; about 10 minutes on 2 cores)"
python3 -m pip download -q --no-deps --no-binary adios2 -d "$work" "adios2~=$version"
tar -xzf "$work"/adios2-*.tar.gz -C "$work"
cmake -S "$work"/adios2-*/ -B "$work/build" -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_INSTALL_PREFIX="$work/install" -DCMAKE_INSTALL_LIBDIR=lib \
    -DADIOS2_USE_MPI=ON -DADIOS2_USE_Python=OFF -DADIOS2_USE_Fortran=OFF -DADIOS2_USE_SST=OFF \
    -DADIOS2_USE_HDF5=OFF -DADIOS2_USE_DataMan=OFF -DADIOS2_USE_MHS=OFF \
    -DADIOS2_USE_PNG=OFF -DADIOS2_USE_BZip2=OFF -DADIOS2_USE_ZeroMQ=OFF \
    -DBUILD_TESTING=OFF -DADIOS2_BUILD_EXAMPLES=OFF >"$work/log" 2>&1 &&
    cmake --build "$work/build" -j "$(nproc)" >>"$work/log" 2>&1 &&
    cmake --install "$work/build" >>"$work/log" 2>&1 || { tail -40 "$work/log" >&2; exit 1; }
# Moved into place only when whole, so that an interrupted build is built again.
mkdir -p "$SWAE_DEPS" && rm -rf "$prefix" && mv "$work/install" "$prefix"
