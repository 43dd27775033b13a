#!/usr/bin/env bash
# Compiles the kernel of src/codec/cuda to PTX, without a GPU and without a CUDA toolkit: ptx.sh OUTPUT. The oldest NVRTC that is
# on PyPI asks for the oldest driver (CUDA 12.0, 525).
set -euo pipefail
. "$(dirname "$0")/env.sh"
at=$SWAE_DEPS/nvrtc-12.0.140
if [ ! -d "$at" ]; then
    echo "== fetching NVRTC into $at (once; 60 MB)"
    rm -rf "$at.part"
    "$SWAE_DEPS/python/bin/pip" install -q --no-deps --only-binary=:all: --target "$at.part" nvidia-cuda-nvrtc-cu12==12.0.140
    mv "$at.part" "$at"
fi
python3 "$(dirname "$0")/ptx.py" "$at/nvidia/cuda_nvrtc/lib/libnvrtc.so.12" "$(dirname "$0")/../src/codec/cuda/network.cu" "$1"
