"""h5py compresses a dataset with swae's filter, and reads it back: compress_with_h5py.py [FILE]

Needs HDF5_PLUGIN_PATH=PREFIX/lib/swae/hdf5; the numbers below are what `swae hdf5-filter --abs 1e-4` prints.
"""

import sys

import h5py
import numpy as np

SWAE = dict(compression=397, compression_opts=(1, 2, 3944497965, 1058682594, 0))  # every value within 1e-4

path = sys.argv[1] if len(sys.argv) > 1 else "waves.h5"
z, y, x = np.mgrid[0:64, 0:64, 0:64] / 64
waves = np.sin(9 * x + 2 * z) * np.cos(7 * y)

with h5py.File(path, "w") as file:
    file.create_dataset("waves", data=waves, chunks=(32, 64, 64), **SWAE)

with h5py.File(path) as file:
    stored = file["waves"].id.get_storage_size()
    error = np.abs(file["waves"][()] - waves).max()

print(f"{waves.nbytes} bytes became {stored}, largest error {error:.1e}")
assert error <= 1e-4
