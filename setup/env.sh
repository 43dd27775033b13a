# Sourced by every recipe: where the dependencies are. What the machine has wins over what we built.
export SWAE_DEPS=${SWAE_DEPS:-$HOME/.cache/swae}

if [ -z "${ADIOS2_DIR:-}" ]; then
    if command -v adios2-config >/dev/null 2>&1; then
        ADIOS2_DIR=$(adios2-config --prefix)
    elif [ -d "$SWAE_DEPS/adios2-2.12.1" ]; then
        ADIOS2_DIR=$SWAE_DEPS/adios2-2.12.1
    fi
fi
if [ -n "${ADIOS2_DIR:-}" ]; then
    export ADIOS2_DIR
    export PATH=$ADIOS2_DIR/bin:$PATH
    export LD_LIBRARY_PATH=$ADIOS2_DIR/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
fi

if [ -z "${LIBTORCH:-}" ] && [ -d "$SWAE_DEPS/libtorch-2.11.0" ]; then
    LIBTORCH=$SWAE_DEPS/libtorch-2.11.0
fi
if [ -n "${LIBTORCH:-}" ]; then
    export LIBTORCH
    export LD_LIBRARY_PATH=$LIBTORCH/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
fi

if [ -z "${HDF5_DIR:-}" ]; then
    for prefix in /usr/lib/*-linux-gnu/hdf5/openmpi; do
        [ ! -d "$prefix" ] || export HDF5_DIR=$prefix
    done
fi

# Open MPI refuses root and more ranks than cores unless told otherwise; other MPIs ignore these.
if [ "$(id -u)" = 0 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
export OMPI_MCA_rmaps_base_oversubscribe=1

# What cargo is told to build: ADIOS2 where there is one.
SWAE_FEATURES=
if [ -n "${ADIOS2_DIR:-}" ]; then
    SWAE_FEATURES="--features swae-capi/adios2,swae-tool/adios2,swae-adios2-plugin/adios2"
fi
export SWAE_FEATURES
