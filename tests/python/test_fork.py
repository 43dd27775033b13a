"""Programs that fork: multiprocessing's start method "fork", with all cores in parent and children."""

import multiprocessing
import signal

import numpy as np
import pytest
import swae

SIDE = 160


def field(seed: int) -> np.ndarray:
    z, y, x = np.mgrid[0:SIDE, 0:SIDE, 0:SIDE].astype(np.float32)
    return np.sin(0.05 * x + seed) * np.cos(0.03 * y) + 0.01 * z


def there_and_back(seed: int) -> float:
    signal.alarm(200)
    array = field(seed)
    error = np.abs(swae.decompress(swae.compress(array, abs=1e-3)) - array).max()
    signal.alarm(0)
    return float(error)


def test_forked_workers_compress_after_their_parent_has():
    assert there_and_back(0) <= 1e-3
    with multiprocessing.get_context("fork").Pool(2) as pool:
        errors = pool.map_async(there_and_back, range(4)).get(timeout=500)
    assert max(errors) <= 1e-3
    assert there_and_back(1) <= 1e-3


#: What the workers inherit: an open variable cannot be sent to them.
inherited: list[swae.Variable] = []


def read(step: int) -> np.ndarray:
    signal.alarm(200)
    return inherited[0][step]


@pytest.mark.parametrize("name", ["run.h5", "run.bp"])
def test_forked_workers_read_the_file_that_their_parent_has_open(data, name):
    chi = swae.open(data / name)["chi"]
    first, last = chi[0], chi[-1]
    inherited[:] = [chi]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = pool.map_async(read, [-1, 0, -1]).get(timeout=500)
    for array, expected in zip(found, [last, first, last]):
        assert np.array_equal(array, expected)
    assert np.array_equal(chi[0], first)
