#!/usr/bin/env bash
# Unpacks libtorch under $SWAE_DEPS, unless LIBTORCH names one. Only the trainer links it.
# It comes from the PyPI wheels of PyTorch, which hold the C++ headers and libraries too; the two CUDA
# libraries that libtorch_cuda names must be there even on a machine without a GPU.
set -euo pipefail
. "$(dirname "$0")/env.sh"
[ -z "${LIBTORCH:-}" ] || exit 0

version=2.11.0
prefix=$SWAE_DEPS/libtorch-$version
mkdir -p "$SWAE_DEPS"
work=$(mktemp -d "$SWAE_DEPS/unpack.XXXXXX")
trap 'rm -rf "$work"' EXIT
echo "== fetching libtorch $version into $prefix (once; 0.5 GB, 1 to 5 minutes)"
fetch() {
    python3 -m pip download -q --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
        --platform manylinux_2_28_x86_64 --platform manylinux_2_25_x86_64 --platform manylinux2014_x86_64 \
        -d "$work" "$@"
}
fetch "torch==$version" nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85
for wheel in "$work"/*.whl; do unzip -q -o "$wheel" -d "$work/site" && rm "$wheel"; done
find "$work/site/nvidia" \( -name 'libcudart.so.*' -o -name 'libcupti.so.*' \) -exec mv -t "$work/site/torch/lib" {} +
rm -rf "$prefix" && mkdir "$prefix" && mv "$work"/site/torch/{include,lib,share,version.py} "$prefix/"
