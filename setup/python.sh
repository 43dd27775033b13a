#!/usr/bin/env bash
# The Python programs that read our files in the tests, in an environment of their own under $SWAE_DEPS.
set -euo pipefail
. "$(dirname "$0")/env.sh"
wanted="maturin==1.16.0 pytest==9.2.0 numpy==2.4.6 h5py==3.16.0 vtk==9.7.2 adios2==2.12.1.1001"
at=$SWAE_DEPS/python
[ "$(cat "$at/wanted" 2>/dev/null)" != "$wanted" ] || exit 0
echo "== fetching Python packages into $at (once; 0.2 GB)"
rm -rf "$at"
python3 -m venv "$at"
# shellcheck disable=SC2086 # words
"$at/bin/pip" install -q --only-binary=:all: $wanted
# An ADIOS2 whose operator plugins have the older interface, laid out as an installation.
"$at/bin/pip" install -q --only-binary=:all: --no-deps --target "$at/adios2-2.11" adios2==2.11.0.1014
mkdir "$at/adios2-2.11/prefix"
ln -s ../adios2/include "$at/adios2-2.11/prefix/include"
ln -s ../adios2 "$at/adios2-2.11/prefix/lib"
echo "$wanted" >"$at/wanted"
