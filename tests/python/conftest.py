"""Files that tests/python_reads_what_was_written.rs has written with the library."""

import os
from pathlib import Path

# First: the published wheel brings its own ADIOS2, which does not fit behind the one that swae was
# built with.
import adios2  # noqa: F401
import pytest


@pytest.fixture(scope="session")
def data() -> Path:
    return Path(os.environ["SWAE_TEST_DATA"])


@pytest.fixture
def wave():
    import numpy as np

    z, y, x = np.mgrid[0:20, 0:30, 0:40]
    return np.sin(0.1 * x) * np.cos(0.07 * y) + 0.01 * z
