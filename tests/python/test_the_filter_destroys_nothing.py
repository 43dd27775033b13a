"""Whatever dataset the HDF5 filter is put on, its values come back within the bound, or to the bit, or there is an error.

Types, flags, neighbours in the pipeline and shapes of chunks, through h5py and through HDF5's tools.
"""

import functools
import itertools
import subprocess

import h5py
import numpy as np
import pytest
from h5py import h5d, h5p, h5s, h5t, h5z

FILTER = 397
BOUND = 1e-3
MANDATORY, OPTIONAL = 0, h5z.FLAG_OPTIONAL
SHAPE, CHUNK = (20, 18, 21), (8, 8, 8)


@functools.cache
def parameters(*how):
    said = subprocess.run(["swae", "hdf5-filter", *how], capture_output=True, text=True, check=True).stdout
    return tuple(int(n) for n in said.split("h5repack")[1].split("\n")[0].split(",")[3:])


def smooth(shape):
    axes = np.meshgrid(*[np.linspace(0, 3, n) for n in shape], indexing="ij")
    return 1000 + sum(np.sin((i + 1) * a) for i, a in enumerate(axes))


def other_exponent():
    """Floats of 8 bytes with another exponent and bias than those of IEEE."""
    kind = h5t.IEEE_F64LE.copy()
    kind.set_fields(63, 48, 15, 0, 48)
    kind.set_ebias(16383)
    return kind


def ieee_in_more_bytes():
    """IEEE binary32 in the low half of 8 bytes."""
    kind = h5t.IEEE_F32LE.copy()
    kind.set_size(8)
    return kind


def another_bias():
    kind = h5t.IEEE_F32LE.copy()
    kind.set_ebias(130)
    return kind


def vax():
    kind = h5t.IEEE_F64LE.copy()
    kind.set_order(h5t.ORDER_VAX)
    return kind


def of_numpy(dtype):
    return lambda: h5t.py_create(np.dtype(dtype), logical=True)


FLOATS = {
    "float32": lambda: h5t.IEEE_F32LE,
    "float64": lambda: h5t.IEEE_F64LE,
    "float32, big-endian": lambda: h5t.IEEE_F32BE,
    "float64, big-endian": lambda: h5t.IEEE_F64BE,
}
PAIR = np.dtype([("a", "f8"), ("b", "i4")])
OTHERS = {
    **{name: of_numpy(name) for name in ["i1", "u1", "i2", "<i4", ">i4", "u4", "i8", "u8", ">u8", "f2", "c8", "c16"]},
    "long double": of_numpy(np.longdouble),
    "compound": of_numpy(PAIR),
    "one float in a compound": of_numpy([("a", "f8")]),
    "bool": of_numpy("?"),
    "string": of_numpy("S8"),
    "opaque": of_numpy("V8"),
    "array of floats": lambda: h5t.array_create(h5t.IEEE_F64LE, (1,)),
    "enumeration": of_numpy(h5py.enum_dtype({"a": 0, "b": 1}, basetype="i4")),
    "other exponent": other_exponent,
    "IEEE in more bytes": ieee_in_more_bytes,
    "another bias": another_bias,
    "VAX order": vax,
}

DEFLATE = (h5z.FILTER_DEFLATE, (1,))
SHUFFLE = (h5z.FILTER_SHUFFLE, ())
FLETCHER = (h5z.FILTER_FLETCHER32, ())
SCALE_OFFSET = (h5z.FILTER_SCALEOFFSET, (h5z.SO_FLOAT_DSCALE, 3))
NBIT = (h5z.FILTER_NBIT, ())
SZIP = (h5z.FILTER_SZIP, (h5z.SZIP_NN_OPTION_MASK, 8))
# Filters before it, filters behind it, whether it may be among them.
NEIGHBOURS = {
    "alone": ([], [], True),
    "fletcher32 behind": ([], [FLETCHER], True),
    "shuffle and deflate behind": ([], [SHUFFLE, DEFLATE], True),
    "shuffle before": ([SHUFFLE], [], False),
    "deflate before": ([DEFLATE], [], False),
    "fletcher32 before": ([FLETCHER], [], False),
    "shuffle before, fletcher32 behind": ([SHUFFLE], [FLETCHER], False),
    "nbit before": ([NBIT], [], False),
    "twice": ([], [(FILTER, None)], False),
}


def pipeline(list_, flag, numbers, before, behind):
    for number, values in [*before, (FILTER, numbers), *behind]:
        ours = number == FILTER
        list_.set_filter(number, flag if ours else h5z.FLAG_OPTIONAL, numbers if ours else values)


def create(file, name, kind, shape, chunk, flag, numbers, before=(), behind=(), maxshape=None, prepare=lambda _: None):
    list_ = h5p.create(h5p.DATASET_CREATE)
    list_.set_chunk(chunk)
    prepare(list_)
    if numbers:
        pipeline(list_, flag, numbers, before, behind)
    return h5d.create(file.id, name.encode(), kind, h5s.create_simple(shape, maxshape or shape), list_)


def data_of(kind, shape):
    """The bytes of an array of the type: smooth floats, or random bytes that every type takes."""
    if kind.get_class() == h5t.FLOAT:
        values = smooth(shape)
        # Through HDF5's own conversion.
        raw = np.zeros(values.size * max(8, kind.get_size()), "u1")
        raw[: values.nbytes] = np.frombuffer(values.tobytes(), "u1")
        h5t.convert(h5t.NATIVE_DOUBLE, kind, values.size, raw)
        raw = raw[: values.size * kind.get_size()].reshape(-1, kind.get_size())
        # Padding, which nbit drops.
        raw[:, (kind.get_precision() + 7) // 8 :] = 0
        return raw.tobytes()
    random = np.random.default_rng(kind.get_size())
    return random.integers(0, 2, int(np.prod(shape)) * kind.get_size(), "u1").tobytes()


def write(dataset, kind, data):
    dataset.write(h5s.ALL, h5s.ALL, np.frombuffer(data, f"V{kind.get_size()}").copy(), kind)


def read(dataset):
    kind = dataset.get_type()
    back = np.zeros(int(np.prod(dataset.shape)), f"V{kind.get_size()}")
    dataset.read(h5s.ALL, h5s.ALL, back, kind)
    return back.tobytes()


def doubles(data, name):
    return np.frombuffer(data, {"float32": "<f4", "float64": "<f8"}.get(name.split(",")[0]) if "big" not in name
                         else {"float32": ">f4", "float64": ">f8"}[name.split(",")[0]]).astype("f8")


def check(dataset, data, name, applies):
    back = read(dataset)
    if applies:
        a, b = doubles(data, name), doubles(back, name)
        worst = np.abs(a - b).max()
        assert 0 < worst <= BOUND * 1.0001, (name, worst)
        assert dataset.get_storage_size() < len(data) / 2, name
    else:
        assert back == data, name


@pytest.mark.parametrize("flag", [MANDATORY, OPTIONAL], ids=["mandatory", "optional"])
@pytest.mark.parametrize("neighbours", NEIGHBOURS)
@pytest.mark.parametrize("name", [*FLOATS, *OTHERS])
def test_every_type_with_every_neighbour(tmp_path, name, neighbours, flag):
    kind = {**FLOATS, **OTHERS}[name]()
    before, behind, possible = NEIGHBOURS[neighbours]
    applies = possible and name in FLOATS
    data = data_of(kind, SHAPE)
    numbers = parameters("--abs", str(BOUND))
    with h5py.File(tmp_path / "a.h5", "w") as f:
        try:
            dataset = create(f, "x", kind, SHAPE, CHUNK, flag, numbers, before, behind)
        except (ValueError, OSError, RuntimeError) as e:
            assert not applies and flag == MANDATORY or neighbours == "nbit before", e
            return
        assert applies or flag == OPTIONAL
        write(dataset, kind, data)
    with h5py.File(tmp_path / "a.h5") as f:
        check(f["x"].id, data, name, applies)
    if not applies:
        # It was stored as it is, so a program without the plugin reads it too.
        said = tool("env", "-u", "HDF5_PLUGIN_PATH", "h5dump", "-d", "x", tmp_path / "a.h5")
        assert said.returncode == 0, said.stderr


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("scale", [SCALE_OFFSET, NBIT], ids=["scaleoffset", "nbit"])
def test_no_filter_that_loses_anything_may_stand_behind_it(tmp_path, name, scale):
    kind, data = FLOATS[name](), data_of(FLOATS[name](), SHAPE)
    numbers = parameters("--abs", str(BOUND))
    with h5py.File(tmp_path / "a.h5", "w") as f:
        with pytest.raises((ValueError, OSError, RuntimeError)):
            create(f, "x", kind, SHAPE, CHUNK, MANDATORY, numbers, [], [scale])
        dataset = create(f, "y", kind, SHAPE, CHUNK, OPTIONAL, numbers, [], [scale])
        write(dataset, kind, data)
    with h5py.File(tmp_path / "a.h5") as f:
        # What the other filter alone does to them, and no more.
        assert np.abs(doubles(read(f["y"].id), name) - doubles(data, name)).max() <= BOUND


@pytest.mark.parametrize("shape, chunk", [((1000,), (300,)), ((5,), (5,)), ((1,), (1,)), ((40, 50), (16, 50)), ((3, 9, 10, 11), (2, 8, 8, 8)), ((2,) * 12, (1,) * 11 + (2,)), ((1,) * 32, (1,) * 32)])
@pytest.mark.parametrize("flag", [MANDATORY, OPTIONAL], ids=["mandatory", "optional"])
@pytest.mark.parametrize("name", FLOATS)
def test_every_shape_of_chunks(tmp_path, name, flag, shape, chunk):
    kind, data = FLOATS[name](), data_of(FLOATS[name](), shape)
    with h5py.File(tmp_path / "a.h5", "w") as f:
        dataset = create(f, "x", kind, shape, chunk, flag, parameters("--abs", str(BOUND)))
        write(dataset, kind, data)
    with h5py.File(tmp_path / "a.h5") as f:
        worst = np.abs(doubles(read(f["x"].id), name) - doubles(data, name)).max()
        assert worst <= BOUND * 1.0001


@pytest.mark.parametrize("how", ["rel", "psnr"])
@pytest.mark.parametrize("fill", [None, 0.0, 1e20, -1.0, np.nan])
@pytest.mark.parametrize("name", FLOATS)
def test_the_padding_of_chunks_at_the_edge_costs_no_accuracy(tmp_path, name, fill, how):
    # One value in the direction of x is inside of the dataset's last chunks, seven are padding.
    shape, kind = (16, 16, 17), FLOATS[name]()
    data = data_of(kind, shape)

    def prepare(list_):
        if fill is not None:
            list_.set_fill_value(np.array(fill))

    with h5py.File(tmp_path / "a.h5", "w") as f:
        numbers = parameters("--rel", "1e-3") if how == "rel" else parameters("--psnr", "60")
        dataset = create(f, "x", kind, shape, CHUNK, MANDATORY, numbers, prepare=prepare)
        write(dataset, kind, data)
    with h5py.File(tmp_path / "a.h5") as f:
        truth, back = (doubles(d, name).reshape(shape)[:, :, 16:] for d in (data, read(f["x"].id)))
        for z, y in itertools.product([0, 8], [0, 8]):
            a, b = truth[z : z + 8, y : y + 8], back[z : z + 8, y : y + 8]
            # 60 dB are about the mean of the squares.
            error = np.abs(a - b).max() if how == "rel" else np.sqrt(np.mean((a - b) ** 2))
            assert error <= 1e-3 * np.ptp(a) * 1.0001, (z, y)


@pytest.mark.parametrize("flag", [MANDATORY, OPTIONAL], ids=["mandatory", "optional"])
@pytest.mark.parametrize("time", [h5d.ALLOC_TIME_EARLY, h5d.ALLOC_TIME_INCR, h5d.ALLOC_TIME_LATE])
def test_a_dataset_that_grows_or_is_allocated_early_keeps_what_it_has(tmp_path, flag, time):
    kind, data = h5t.IEEE_F64LE, smooth(SHAPE)
    with h5py.File(tmp_path / "a.h5", "w") as f:
        args = (kind, (0, *SHAPE[1:]), CHUNK, flag, parameters("--abs", str(BOUND)))
        create(f, "x", *args, maxshape=(h5s.UNLIMITED, *SHAPE[1:]), prepare=lambda p: (p.set_alloc_time(time), p.set_fill_value(np.array(7.0))))
        for end in range(8, SHAPE[0], 8):
            f["x"].resize(end, 0)
            f["x"][end - 8 : end] = data[end - 8 : end]
        f["x"].resize(SHAPE[0] + 8, 0)
        f["x"][16 : SHAPE[0]] = data[16:]
    with h5py.File(tmp_path / "a.h5") as f:
        assert np.abs(f["x"][: SHAPE[0]] - data).max() <= BOUND
        assert np.abs(f["x"][SHAPE[0] :] - 7.0).max() <= BOUND


def test_values_that_are_no_fixed_bytes_come_back(tmp_path):
    words = [("ab" * i) for i in range(200)]
    with h5py.File(tmp_path / "a.h5", "w") as f:
        numbers = parameters("--abs", str(BOUND))
        for name, dtype, values in [
            ("strings", h5py.string_dtype(), words),
            ("ragged", h5py.vlen_dtype("f8"), [np.arange(i, dtype="f8") for i in range(200)]),
            ("references", h5py.ref_dtype, [f.ref] * 200),
        ]:
            dataset = f.create_dataset(name, (200,), dtype, chunks=(50,), compression=FILTER, compression_opts=numbers)
            dataset[...] = np.array(values, dtype=object)
    with h5py.File(tmp_path / "a.h5") as f:
        assert [s.decode() for s in f["strings"][()]] == words
        assert all(np.array_equal(a, np.arange(i)) for i, a in enumerate(f["ragged"][()]))
        assert all(f[r] == f["/"] for r in f["references"][()])


def every_type(path):
    """A file with a dataset of every type; its bytes by the types' names."""
    all_ = {}
    with h5py.File(path, "w") as f:
        for name, make in {**FLOATS, **OTHERS}.items():
            kind = make()
            all_[name] = data_of(kind, SHAPE)
            write(create(f, name, kind, SHAPE, CHUNK, 0, None), kind, all_[name])
    return all_


def tool(*arguments):
    return subprocess.run([str(a) for a in arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("shuffle", ["", "before", "behind"])
def test_h5repack_with_the_flags_of_the_documents(tmp_path, shuffle):
    all_ = every_type(tmp_path / "a.h5")
    ours = ["-f", "UD=397,1,5," + ",".join(map(str, parameters("--abs", str(BOUND))))]
    other = {"": [], "before": ["-f", "SHUF"], "behind": []}[shuffle]
    behind = ["-f", "GZIP=1"] if shuffle == "behind" else []
    said = tool("h5repack", *other, *ours, *behind, tmp_path / "a.h5", tmp_path / "b.h5")
    assert said.returncode == 0, said.stderr
    with h5py.File(tmp_path / "b.h5") as f:
        for name, data in all_.items():
            back = read(f[name].id)
            if name in FLOATS and shuffle != "before":
                assert 0 < np.abs(doubles(data, name) - doubles(back, name)).max() <= BOUND * 1.0001, name
            else:
                assert back == data, name
    # Back to no filter, to another bound, with all as it is, and by h5copy.
    other = "UD=397,1,5," + ",".join(map(str, parameters("--abs", str(2 * BOUND))))
    for how in [["-f", "NONE"], ["-f", other], []]:
        said = tool("h5repack", *how, tmp_path / "b.h5", tmp_path / "c.h5")
        assert said.returncode == 0, said.stderr
        with h5py.File(tmp_path / "c.h5") as f:
            for name, data in all_.items():
                if name in FLOATS:
                    assert np.abs(doubles(data, name) - doubles(read(f[name].id), name)).max() <= 3 * BOUND, name
                else:
                    assert read(f[name].id) == data, name
    for name in all_:
        tool("h5copy", "-i", tmp_path / "b.h5", "-o", tmp_path / "d.h5", "-s", name, "-d", name)
    with h5py.File(tmp_path / "b.h5") as b, h5py.File(tmp_path / "d.h5") as d:
        assert all(read(b[name].id) == read(d[name].id) for name in all_)


def test_h5repack_with_a_mandatory_filter_keeps_every_bit(tmp_path):
    """It cannot make the dataset, and then makes it without the filter."""
    all_ = every_type(tmp_path / "a.h5")
    ours = "UD=397,0,5," + ",".join(map(str, parameters("--abs", str(BOUND))))
    said = tool("h5repack", "-v", "-f", ours, tmp_path / "a.h5", tmp_path / "b.h5")
    assert said.returncode == 0, said.stdout
    # HDF5 1.10 now and then takes what HDF5 2.0 wrote in VAX's order for the usual one.
    others = [name for name in OTHERS if name != "VAX order"]
    assert all(f"could not create dataset </{name}>" in said.stdout for name in others), said.stdout
    with h5py.File(tmp_path / "b.h5") as f:
        for name, data in all_.items():
            if name != "VAX order":
                check(f[name].id, data, name, name in FLOATS)


def test_a_list_of_properties_is_checked_anew_for_each_dataset(tmp_path):
    numbers = parameters("--abs", str(BOUND))
    kinds = {"float64": h5t.IEEE_F64LE, "integers again": h5t.STD_I64LE, "float32": h5t.IEEE_F32LE}
    with h5py.File(tmp_path / "a.h5", "w") as f:
        last = create(f, "integers", h5t.STD_I64LE, SHAPE, CHUNK, OPTIONAL, numbers)
        for name, kind in kinds.items():
            last = h5d.create(f.id, name.encode(), kind, h5s.create_simple(SHAPE), last.get_create_plist())
            write(last, kind, data_of(kind, SHAPE))
    with h5py.File(tmp_path / "a.h5") as f:
        for name, kind in kinds.items():
            check(f[name].id, data_of(kind, SHAPE), name, name in FLOATS)
