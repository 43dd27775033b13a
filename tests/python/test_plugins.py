"""Published packages read and write through the plugins; they find them by environment variables alone."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import adios2
import h5py
import numpy as np
import pytest

import swae


def test_h5py_writes_and_reads_through_the_filter(tmp_path, wave):
    said = subprocess.run(["swae", "hdf5-filter", "--abs", "1e-4"], capture_output=True, text=True, check=True).stdout
    options = tuple(map(int, re.search(r"compression_opts=\(([^)]*)\)", said)[1].split(",")))
    many = np.stack([wave * (1 + 0.01 * t) for t in range(6)])
    with h5py.File(tmp_path / "a.h5", "w") as f:
        for name, values in {"wave": wave, "single": wave.astype("f4"), "big": wave.astype(">f8"), "many": many}.items():
            f.create_dataset(name, data=values, chunks=values.shape, compression=397, compression_opts=options)
        f.create_dataset("line", data=wave.ravel(), chunks=(1000,), compression=397, compression_opts=options)
    with h5py.File(tmp_path / "a.h5") as f:
        for name, truth in {"wave": wave, "single": wave, "big": wave, "many": many, "line": wave.ravel()}.items():
            assert np.abs(f[name][()] - truth).max() <= 1.01e-4, name
            assert f[name].id.get_storage_size() < truth.nbytes / 5, name
    # The reader of swae needs no plugin.
    with swae.open(tmp_path / "a.h5") as f:
        assert np.abs(f["wave"][0] - wave).max() <= 1e-4


def test_the_example_says_what_the_tool_prints_and_runs(tmp_path):
    source = Path(__file__).parents[2] / "examples/python/compress_with_h5py.py"
    said = subprocess.run(["swae", "hdf5-filter", "--abs", "1e-4"], capture_output=True, text=True, check=True).stdout
    assert re.search(r"compression_opts=(\([^)]*\))", said)[1] in source.read_text()
    run = subprocess.run([sys.executable, source, tmp_path / "a.h5"], capture_output=True, text=True, check=True)
    before, after = map(int, re.search(r"(\d+) bytes became (\d+)", run.stdout).groups())
    assert after < before / 50


def test_misuse_is_an_exception_of_h5py(tmp_path, wave):
    with h5py.File(tmp_path / "a.h5", "w") as f:
        for options, reason in [((1, 3), "2 parameters of 5"), ((2, 3, 0, 0, 0), "a newer plugin"), ((1, 9, 0, 0, 0), "mode 9")]:
            with pytest.raises(ValueError, match=reason):
                f.create_dataset("x", data=wave, chunks=wave.shape, compression=397, compression_opts=options)


def test_h5py_reads_what_a_simulation_wrote_as_datasets(data):
    with swae.open(data / "raw.h5") as truth, h5py.File(data / "datasets.h5") as f:
        groups = sorted(f["steps"])
        assert len(groups) == 5
        for index, group in enumerate(groups):
            assert f["steps"][group].attrs["time"] == pytest.approx(0.25 * index)
            for name, dataset in f["steps"][group].items():
                a = truth[name][index]
                assert np.abs(dataset[()] - a).max() <= 1e-4 * np.ptp(a) * (1 + 1e-12), name
                assert tuple(dataset.attrs["spacing_xyz"]) == (1, 1, 1)


# Its reader of arrays does not know the name of complex64.
DTYPES = ["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "c16"]


@pytest.mark.parametrize("shape", [(7,), (1000,), (40, 50), (20, 30, 40), (3, 9, 10, 11)])
def test_adios2_programs_say_it_in_code_for_arrays_of_any_rank_and_type(tmp_path, shape):
    rng = np.random.default_rng(len(shape))
    arrays = {dtype: (100 * rng.random(shape)).astype(dtype) for dtype in DTYPES}
    words = {"PluginName": "swae", "PluginLibrary": "swae_adios2", "mode": "abs", "bound": "1e-2"}
    with adios2.Stream(str(tmp_path / "a.bp"), "w") as out:
        for _ in out.steps(2):
            for name, a in arrays.items():
                out.write(name, a, list(shape), [0] * len(shape), list(shape), operations=[("plugin", words)])
    with adios2.FileReader(str(tmp_path / "a.bp")) as f:
        for name, a in arrays.items():
            b = f.read(name, step_selection=[1, 1]).reshape(shape)
            if name in ("f4", "f8"):
                assert np.abs(a - b).max() <= 1e-2, name
            else:
                assert np.array_equal(a, b), name


# A writer that catches nothing: arguments are the parameters and where to write.
WRITER = """
import adios2, json, numpy as np, sys
words = {"PluginName": "swae", "PluginLibrary": "swae_adios2", **json.loads(sys.argv[1])}
a = np.random.default_rng(0).normal(size=(20, 30, 40)).cumsum(2)
arrays = {"f8": a, "f4": a.astype("f4"), "i8": a.view("i8"), "c16": a + 1j, "many": a.reshape((1,) * 29 + a.shape),
          "nothing": a[:0], "line": a.ravel()}
with adios2.Stream(sys.argv[2], "w") as out:
    for step, _ in enumerate(out.steps(2)):
        if step == 0:
            out.write("scalar", np.array(3.5), operations=[("plugin", words)])
            out.write("text", "hello", operations=[("plugin", words)])
        for name, b in arrays.items():
            out.write(name, b, list(b.shape), [0] * b.ndim, list(b.shape), operations=[("plugin", words)])
with adios2.FileReader(sys.argv[2]) as f:
    assert f.read("scalar", step_selection=[0, 1]) == 3.5 and f.read("text", step_selection=[0, 1]) == "hello"
    for name, b in arrays.items():
        if b.size:
            c = f.read(name, step_selection=[1, 1]).reshape(b.shape)
            worst = np.abs(b - c).max() if b.dtype.kind == "f" else 0 if np.array_equal(b, c) else np.nan
            assert worst <= float(sys.argv[3]), (name, worst)
"""
GOOD = {"mode": "abs", "bound": "1e-3"}
WRONG = [{"mode": "best"}, {"mode": "abs"}, {**GOOD, "bound": "-1"}, {**GOOD, "bound": "nan"}, {**GOOD, "bound": "x"},
         {**GOOD, "bond": "1"}, {"mode": "latent", "model": "gr-17"}, {**GOOD, "layout": "spiral"}, {**GOOD, "threads": "all"},
         {**GOOD, "keyframe_interval": "2"}, {**GOOD, "model": "nowhere.safetensors"}, {"mode": "psnr", "bound": "-60"}]


@pytest.mark.parametrize("version", ["2.12", "2.11"])
def test_no_parameter_and_no_array_ends_an_adios2_program(tmp_path, version):
    old = {"PYTHONPATH": os.environ["SWAE_TEST_ADIOS2_V1"], "ADIOS2_PLUGIN_PATH": os.environ["SWAE_TEST_OPERATOR_V1"]}
    env = {**os.environ, **(old if version == "2.11" else {})}
    for number, words in enumerate([GOOD, *WRONG]):
        arguments = [json.dumps(words), str(tmp_path / f"{number}.bp"), "0" if number else "1e-3"]
        said = subprocess.run([sys.executable, "-c", WRITER, *arguments], capture_output=True, text=True, env=env, check=False)
        assert said.returncode == 0, (words, said.stderr)
        assert ("stored as they are" in said.stdout) == (number > 0), (words, said.stdout)


def test_adios2_up_to_2_11_loads_the_operator_of_interface_1(tmp_path):
    program = """
import adios2, numpy as np, sys
assert adios2.__version__.startswith("2.11"), adios2.__version__
a = np.random.default_rng(0).normal(size=(20, 30, 40)).cumsum(2)
words = {"PluginName": "swae", "PluginLibrary": "swae_adios2", "mode": "abs", "bound": "1e-3"}
with adios2.Stream("v1.bp", "w") as out:
    out.write("a", a, [20, 30, 40], [0, 0, 0], [20, 30, 40], operations=[("plugin", words)])
with adios2.FileReader("v1.bp") as f:
    assert 0 < np.abs(a - f.read("a")).max() <= 1e-3
"""
    old = {"PYTHONPATH": os.environ["SWAE_TEST_ADIOS2_V1"], "ADIOS2_PLUGIN_PATH": os.environ["SWAE_TEST_OPERATOR_V1"]}
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path, env={**os.environ, **old})
    assert sum(f.stat().st_size for f in (tmp_path / "v1.bp").iterdir()) < 20 * 30 * 40 * 8 / 3


def test_adios2_reads_what_a_program_wrote_through_the_operator(data):
    with adios2.FileReader(str(data / "heat.bp")) as f:
        for step in range(3):
            values = f.read("temperature", step_selection=[step, 1])
            z, y, x = np.mgrid[0:64, 0:64, 0:64]
            width = 40 + 10 * step
            r2 = (x - 20) ** 2 + (y - 30) ** 2 + (z - 40) ** 2
            truth = (40 / width) ** 1.5 * np.exp(-r2 / (2 * width))
            assert np.abs(values - truth).max() <= 1e-4
