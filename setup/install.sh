#!/usr/bin/env bash
# Puts what `make build` made where programs find it: install.sh PREFIX [DESTDIR]. DESTDIR stands before every path that is
# written, and in none of the files.
set -euo pipefail
cd "$(dirname "$0")/.."
. setup/env.sh
prefix=$(realpath -m "${1:?usage: install.sh PREFIX [DESTDIR]}")
to=${2:-}$prefix
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
private="${HDF5_DIR:+-L$HDF5_DIR/lib }-lhdf5 ${ADIOS2_DIR:+$(adios2-config --mpi --c-libs) }-lgcc_s -lutil -lrt -lpthread -lm -ldl"

mkdir -p "$to"/{bin,include,lib/cmake/swae,lib/pkgconfig,lib/swae/hdf5}
install -m 755 target/release/swae "$to/bin/"
install -m 644 include/swae.h include/swae.hpp include/swae.f90 "$to/include/"
install -m 755 target/release/libswae.so "$to/lib/libswae.so.$version"
ln -sf "libswae.so.$version" "$to/lib/libswae.so.0"
ln -sf libswae.so.0 "$to/lib/libswae.so"
install -m 644 target/release/libswae.a "$to/lib/"
# Plugins, each where its host is told to look: HDF5_PLUGIN_PATH, ADIOS2_PLUGIN_PATH.
install -m 755 target/release/libh5z_swae.so "$to/lib/swae/hdf5/"
if [ -n "${ADIOS2_DIR:-}" ]; then
    install -D -m 755 target/release/libswae_adios2.so "$to/lib/swae/adios2/libswae_adios2.so"
fi
fill() { sed -e "s|@VERSION@|$version|" -e "s|@PREFIX@|$prefix|" -e "s|@PRIVATE@|$private|" "$1" >"$2"; }
fill cmake/swae-config.cmake "$to/lib/cmake/swae/swae-config.cmake"
fill cmake/swae-config-version.cmake "$to/lib/cmake/swae/swae-config-version.cmake"
fill cmake/swae.pc "$to/lib/pkgconfig/swae.pc"
