#!/usr/bin/env bash
# Installs what comes from the distribution. `packages.sh demo` is the little that the demo needs,
# `packages.sh all` what every test needs. What a machine has already (a module's MPI and HDF5, say)
# is left alone; without root the missing packages are printed and the script stops.
set -euo pipefail
want=${1:?usage: packages.sh demo|all}

has() { command -v "$1" >/dev/null 2>&1; }
missing=()
need() { dpkg -s "$1" >/dev/null 2>&1 || missing+=("$1"); }

has g++ || need g++
has cmake || need cmake
has pkg-config || need pkg-config
has mpicxx || { need libopenmpi-dev; need openmpi-bin; }
[ -n "${HDF5_DIR:-}" ] || need libhdf5-openmpi-dev
need libclang-dev # bindgen reads mpi.h with it
if [ "$want" = all ]; then
    has h5dump || need hdf5-tools
    has gfortran || need gfortran
    has unzip || need unzip
    has slurmctld || [ -x /usr/sbin/slurmctld ] || need slurm-wlm # the tests run jobs
    has munged || [ -x /usr/sbin/munged ] || need munge
    python3 -c 'import ensurepip' 2>/dev/null || need python3-venv
    python3 -m pip --version >/dev/null 2>&1 || need python3-pip
fi

[ ${#missing[@]} -gt 0 ] || exit 0
if ! has apt-get || [ "$(id -u)" != 0 ]; then
    echo "swae: these packages are missing, and only root can install them:" >&2
    echo "    apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
fi
echo "== installing ${missing[*]} (about a minute)"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
