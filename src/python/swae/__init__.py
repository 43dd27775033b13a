"""Reads fields that swae has compressed as NumPy arrays, and compresses arrays.

    >>> import swae
    >>> with swae.open("run.h5") as run:
    ...     chi = run["chi"]
    ...     last = chi[-1]                  # [z, y, x]
    ...     plane = chi[0, 32]              # decodes only the tiles of this plane
    >>> payload = swae.compress(array, rel=1e-4)
    >>> again = swae.decompress(payload)

Axes are [z, y, x], as in the file: x is fastest. Nothing is decoded before it is indexed.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ._swae import CorruptError, Error, Reader, VersionError, __version__
from . import _swae

__all__ = [
    "CorruptError",
    "Error",
    "File",
    "Variable",
    "VersionError",
    "compress",
    "decompress",
    "open",
]


#: The NaN that masked points hold in a stream, by the type of the values: no computation makes it.
_MASKED = {"float32": np.uint32(0x7FD5_3A4D), "float64": np.uint64(0x7FFC_5357_4145_4D41)}


def _filled(array: np.ma.MaskedArray) -> np.ndarray:
    """The data of a masked array, with that NaN at masked points."""
    data = np.array(array.data, order="C")
    if data.dtype.name in _MASKED:
        mask = _MASKED[data.dtype.name]
        data.view(mask.dtype)[np.ma.getmaskarray(array)] = mask
    return data


class Variable:
    """A field over its steps: an array [step, z, y, x] that is decoded where it is indexed."""

    def __init__(
        self, reader: Reader, name: str, steps: list[tuple[int, int, float]], info: dict[str, Any]
    ) -> None:
        self._reader = reader
        self._steps = steps
        self._info = info
        #: Name of the field; with ``@level`` behind it above level 0.
        self.name: str = name

    @property
    def steps(self) -> list[int]:
        """Numbers that the simulation gave the steps."""
        return [number for _, number, _ in self._steps]

    @property
    def times(self) -> list[float]:
        """Times that the simulation gave the steps."""
        return [time for _, _, time in self._steps]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Steps, and points along z, y, x."""
        return (len(self._steps), *self._info["shape"])

    @property
    def dtype(self) -> np.dtype:
        """float32 or float64."""
        return np.dtype(self._info["dtype"])

    @property
    def origin(self) -> tuple[float, float, float]:
        """Coordinates z, y, x of the first point."""
        return self._info["origin"]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance between points along z, y, x."""
        return self._info["spacing"]

    @property
    def encoding(self) -> str:
        """The compression in its first step: ``rel 1e-4``, ``latent gr-16 f16``, ``raw``."""
        return self._info["encoding"]

    @property
    def partial(self) -> bool:
        """Whether boxes need not cover the grid; values outside of all boxes are NaN."""
        return self._info["partial"]

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))

    def step(self, number: int) -> np.ndarray:
        """The field [z, y, x] of the step that the simulation gave this number."""
        if number not in self.steps:
            raise KeyError(f"{self.name} has no step {number}")
        return self[self.steps.index(number)]

    def __getitem__(self, key: Any) -> np.ndarray:
        """``v[i]`` is the i-th step, ``v[i, z, y, x]`` a part of it; all take integers and slices."""
        keys = key if isinstance(key, tuple) else (key,)
        if Ellipsis in keys:
            at = keys.index(Ellipsis)
            keys = keys[:at] + (slice(None),) * (5 - len(keys)) + keys[at + 1 :]
        if len(keys) > 4:
            raise IndexError(f"{len(keys)} indices for the four axes of {self.name}")
        time, rest = keys[0], keys[1:] + (slice(None),) * (4 - len(keys))
        if isinstance(time, slice):
            steps = [self._read(i, rest) for i in range(*time.indices(len(self)))]
            return np.stack(steps) if steps else np.empty((0, *self._read(0, rest).shape), self.dtype)
        i = operator.index(time)
        if not -len(self) <= i < len(self):
            raise IndexError(f"{self.name} has {len(self)} steps")
        return self._read(i % len(self), rest)

    def _read(self, i: int, keys: tuple[Any, ...]) -> np.ndarray:
        region: list[tuple[int, int]] = []
        inside: list[int | slice] = []
        for axis, (key, n) in enumerate(zip(keys, self._info["shape"])):
            if isinstance(key, slice):
                chosen = range(*key.indices(n))
                if not chosen:
                    region.append((0, 0))
                    inside.append(slice(None))
                    continue
                first, end = min(chosen[0], chosen[-1]), max(chosen[0], chosen[-1]) + 1
                stop = chosen[-1] - first + (1 if chosen.step > 0 else -1)
                region.append((first, end))
                inside.append(slice(chosen[0] - first, stop if stop >= 0 else None, chosen.step))
            else:
                at = operator.index(key)
                if not -n <= at < n:
                    raise IndexError(f"index {at} along {'zyx'[axis]} of {self.name}, which has {n} points")
                region.append((at % n, at % n + 1))
                inside.append(0)
        whole = all(part == (0, n) for part, n in zip(region, self._info["shape"]))
        found = self._reader.read(self._steps[i][0], self.name, None if whole else region)
        return found[tuple(inside)]

    def __repr__(self) -> str:
        steps, *points = self.shape
        return f"<swae.Variable {self.name}: {steps} steps of {points} {self.dtype}, {self.encoding}>"


class File(Mapping[str, Variable]):
    """The fields of a file, by name."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        reader = Reader(os.fspath(path))
        self._path = os.fspath(path)
        self._steps = reader.steps()
        self._variables: dict[str, Variable] | None = {}
        found: dict[str, tuple[list[tuple[int, int, float]], dict[str, Any]]] = {}
        for index, (number, time) in enumerate(self._steps):
            for info in reader.fields(index):
                found.setdefault(info["name"], ([], info))[0].append((index, number, time))
        for name, (steps, info) in sorted(found.items()):
            self._variables[name] = Variable(reader, name, steps, info)

    @property
    def steps(self) -> list[int]:
        """Numbers of all steps."""
        return [number for number, _ in self._steps]

    @property
    def times(self) -> list[float]:
        """Times of all steps."""
        return [time for _, time in self._steps]

    def _open(self) -> dict[str, Variable]:
        if self._variables is None:
            raise Error(f"{self._path} is closed")
        return self._variables

    def __getitem__(self, name: str) -> Variable:
        variables = self._open()
        if name not in variables:
            raise KeyError(f"{self._path} has no field '{name}'; it has {', '.join(variables)}")
        return variables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._open())

    def __len__(self) -> int:
        return len(self._open())

    def close(self) -> None:
        """Releases the file; it is closed when its last variable is deleted."""
        self._variables = None

    def __enter__(self) -> File:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<swae.File {self._path}: {len(self._steps)} steps>"


def open(path: str | os.PathLike[str]) -> File:  # noqa: A001 (as in io, gzip and h5py)
    """Opens .h5, .bp, .swae, .npy or .vti.

    Raises CorruptError for a damaged file, VersionError for one that a later library has written, and
    another Error where there is none or its extension is another.
    """
    return File(path)


def compress(
    array: np.ndarray,
    *,
    abs: float | None = None,  # noqa: A002 (the name of the bound)
    rel: float | None = None,
    pwrel: float | None = None,
    psnr: float | None = None,
    latent: bool = False,
    model: str | None = None,
    latents: str | None = None,
    layout: str = "grid",
    fill: float | None = None,
    effort: str = "normal",
    threads: int = 0,
) -> bytes:
    """Compresses an array of float32 or float64, of any rank.

    At most one of these says what is stored: ``abs``, the largest error; ``rel``, the largest error
    relative to the array's value range; ``pwrel``, relative to each value; ``psnr``, the least peak
    signal-to-noise ratio in dB; ``latent``, latents of a model at a fixed rate, without a bound.
    Without any it is ``rel=1e-4``.
    ``model`` names a built-in model or a model file, ``latents`` says how latents are stored (f16, f32
    or u8). With ``layout="series"`` the first axis is time. ``effort`` says how long to look for a
    small payload within a bound: fast, normal or best. ``threads`` 0 means all cores.

    Points that hold ``fill`` are missing: they come back to the bit, and take no part in ranges and
    bounds. Without it, NaN are missing. Of a masked array (``numpy.ma``) the masked points are
    missing: ``decompress`` gives the mask back, but not the data under it.
    """
    if isinstance(array, np.ma.MaskedArray):
        if fill is not None:
            raise TypeError("the masked points of a masked array are missing; compress takes no fill then")
        array = _filled(array)
    given = {"abs": abs, "rel": rel, "pwrel": pwrel, "psnr": psnr, "latent": True if latent else None}
    chosen = [(mode, value) for mode, value in given.items() if value is not None]
    if len(chosen) > 1:
        raise TypeError("compress takes at most one of abs, rel, pwrel, psnr, latent")
    mode, value = chosen[0] if chosen else (None, None)
    bound = None if latent or value is None else repr(float(value))
    settings = {"mode": mode, "bound": bound, "model": model, "latents": latents, "layout": layout, "effort": effort}
    settings["fill"] = None if fill is None else repr(float(fill))
    said = [(key, value) for key, value in settings.items() if value is not None]
    return bytes(_swae.compress(np.asarray(array, order="C"), said, threads))


def decompress(payload: bytes, *, threads: int = 0) -> np.ndarray:
    """Decompresses an array, within its bound.

    Raises CorruptError for damaged or other bytes, VersionError for those of a later library. An
    array that was compressed as a masked one comes back as one (``numpy.ma``), unless nothing in it
    was masked.
    """
    array = _swae.decompress(bytes(payload), threads)
    mask = _MASKED.get(array.dtype.name)
    masked = None if mask is None else array.view(mask.dtype) == mask
    return array if masked is None or not masked.any() else np.ma.MaskedArray(array, masked)
