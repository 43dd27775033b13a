#!/usr/bin/env bash
# SZ3 3.4.0, beside which `make bench` measures, as a C library under $SWAE_DEPS. It comes from PyPI: the module of the
# wheel pysz holds all of SZ3, and src/reference/sz3.cpp calls that. No Python runs, so what the module wants of Python
# has only to be there.
set -euo pipefail
. "$(dirname "$0")/env.sh"
interface=$(realpath "$(dirname "$0")/../src/reference/sz3.cpp")
at=$SWAE_DEPS/sz3-3.4.0
! cmp -s "$interface" "$at/sz3.cpp" || exit 0
mkdir -p "$SWAE_DEPS"
work=$(mktemp -d "$SWAE_DEPS/unpack.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
echo "== fetching SZ3 3.4.0 into $at (once; 9 MB)"
python3 -m pip download -q --no-deps --only-binary=:all: --python-version 3.11 --implementation cp --abi cp311 \
    --platform manylinux_2_28_x86_64 --require-hashes -r /dev/stdin \
    <<<'pysz==1.1.0 --hash=sha256:a42eed4adf1784f993d95c3cf96246a86272671da2a07a0370749d57d082eec6'
unzip -q -j ./*.whl 'pysz/sz.*.so'
mkdir sz3
mv sz.*.so sz3/libpysz.so
strip -g sz3/libpysz.so
nm -D --undefined-only sz3/libpysz.so | awk '$2 ~ /^_?Py/ { print "char " $2 "[8];" }' >python.c
cc -c -fPIC python.c
g++ -std=c++17 -O2 -fPIC -shared "$interface" python.o -o sz3/libsz3.so -L sz3 -l:libpysz.so -Wl,-rpath,'$ORIGIN' -Wl,-z,defs
cp "$interface" sz3/
rm -rf "$at" && mv sz3 "$at"
