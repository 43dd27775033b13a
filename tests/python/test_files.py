"""Files of a run, read as arrays: by step, by region, lazily."""

import numpy as np
import pytest

import swae


@pytest.mark.parametrize("ending", ["h5", "bp"])
def test_a_run_is_arrays_within_its_bound(data, ending):
    with swae.open(data / "raw.h5") as truth, swae.open(data / f"run.{ending}") as run:
        assert len(run) == 24 and run.steps == [0, 1, 2, 3, 4]
        assert run.times == pytest.approx([0.25 * s for s in run.steps])
        for name, variable in run.items():
            assert variable.shape == (5, 32, 32, 32) and variable.dtype == np.float64
            assert variable.encoding == "rel 1e-4" and variable.origin == (-15.5,) * 3
            for step in [*range(5), 1]:
                a, b = truth[name][step], variable[step]
                assert np.abs(a - b).max() <= 1e-4 * np.ptp(a) * (1 + 1e-12), (name, step)


def test_indices_are_those_of_numpy(data):
    with swae.open(data / "run.h5") as run:
        chi = run["chi"]
        whole = chi[:]
        assert whole.shape == chi.shape
        rng = np.random.default_rng(3)
        for _ in range(40):
            first = rng.integers(-32, 32, size=3)
            keys = [slice(int(f), None, int(rng.choice([-3, -1, 1, 2]))) for f in first]
            for axis in rng.choice(3, size=rng.integers(0, 3), replace=False):
                keys[axis] = int(first[axis])
            time = int(rng.integers(-5, 5))
            assert np.array_equal(chi[(time, *keys)], whole[(time, *keys)]), keys
        assert np.array_equal(chi[1:4, ..., 7], whole[1:4, ..., 7])
        assert np.array_equal(chi[..., 3], whole[..., 3])
        assert chi[2, 5:5].shape == (0, 32, 32) and chi[7:].shape == (0, 32, 32, 32)
        assert np.array_equal(np.stack(list(chi)), whole)
        assert np.array_equal(chi.step(3), whole[3])


def test_levels_of_a_hierarchy_are_fields(data):
    with swae.open(data / "boxes.h5") as run:
        fine = [name for name in run if name.endswith("@1")]
        assert fine
        values = run[fine[0]][0]
        assert run[fine[0]].partial and np.isnan(values).any() and np.isfinite(values).any()


def test_misuse_has_a_message(data):
    with pytest.raises(swae.Error, match="no such file"):
        swae.open(data / "none.h5")
    with pytest.raises(swae.Error, match="ending chooses the store"):
        swae.open(__file__)
    with swae.open(data / "run.h5") as run:
        with pytest.raises(KeyError, match="no field 'psi'; it has"):
            run["psi"]
        for key in [5, (0, 32), (0, 0, 0, 0, 0)]:
            with pytest.raises(IndexError):
                run["chi"][key]
        with pytest.raises(KeyError):
            run["chi"].step(99)
    with pytest.raises(swae.Error, match="is closed"):
        run["chi"]
