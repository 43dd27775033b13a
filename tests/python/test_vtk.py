"""VTK itself, as in ParaView and VisIt, reads what the tool writes: every value, every place, every time."""

import xml.etree.ElementTree as xml

import numpy as np
import pytest
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkIOXML import vtkXMLImageDataReader, vtkXMLMultiBlockDataReader, vtkXMLPImageDataReader

import swae


def read(reader, path):
    reader.SetFileName(str(path))
    reader.Update()
    assert reader.GetErrorCode() == 0
    return reader.GetOutput()


def values(image, name):
    """An array [z, y, x]."""
    return vtk_to_numpy(image.GetPointData().GetArray(name)).reshape(image.GetDimensions()[::-1])


def steps_of(path):
    return [(float(d.get("timestep")), d.get("file")) for d in xml.parse(path).getroot().iter("DataSet")]


@pytest.mark.parametrize("kind", ["vti", "pvti"])
def test_images_whole_and_in_pieces(data, kind):
    reader = vtkXMLImageDataReader() if kind == "vti" else vtkXMLPImageDataReader()
    with swae.open(data / "run.h5") as run:
        image = read(reader, data / f"images.00000003.{kind}")
        assert image.GetOrigin() == (-15.5,) * 3 and image.GetSpacing() == (1.0,) * 3
        for name in ["chi", "alpha"]:
            assert np.array_equal(values(image, name), run[name].step(3))


def test_origin_and_spacing_keep_every_bit(data):
    image = read(vtkXMLImageDataReader(), data / "tenths.00000000.vti")
    assert image.GetSpacing() == (0.1, 0.2, 0.3) and image.GetOrigin() == (1 / 3, -1e-17, 1e300)


def test_large_grids_come_in_several_pieces(data):
    image = read(vtkXMLPImageDataReader(), data / "tall.pvti")
    z, y, x = np.mgrid[0:150, 0:4, 0:5]
    assert np.array_equal(values(image, "tall"), x + 10.0 * y + 100.0 * z)
    pieces = xml.parse(data / "tall.pvti").getroot().iter("Piece")
    assert [p.get("Extent") for p in pieces] == ["0 4 0 3 0 64", "0 4 0 3 64 128", "0 4 0 3 128 149"]


def test_a_series_has_the_times_of_the_run(data):
    with swae.open(data / "run.h5") as run:
        found = steps_of(data / "series.pvd")
        assert [time for time, _ in found] == run.times
        for index, (_, file) in enumerate(found):
            image = read(vtkXMLImageDataReader(), data / file)
            assert np.array_equal(values(image, "K"), run["K"][index])


def test_levels_are_blocks_of_boxes_in_their_places(data):
    with swae.open(data / "boxes.h5") as run:
        found = steps_of(data / "levels.pvd")
        assert [time for time, _ in found] == run.times and all(file.endswith(".vtm") for _, file in found)
        for index, (_, file) in enumerate(found):
            blocks = read(vtkXMLMultiBlockDataReader(), data / file)
            assert blocks.GetNumberOfBlocks() == 2
            for level in range(2):
                block = blocks.GetBlock(level)
                boxes = [block.GetBlock(i) for i in range(block.GetNumberOfBlocks())]
                for name in {n.split("@")[0] for n in run}:
                    stored = name if level == 0 else f"{name}@1"
                    if stored not in run or run.steps[index] not in run[stored].steps:
                        continue
                    variable = run[stored]
                    whole = np.full(variable.shape[1:], np.nan)
                    for box in boxes:
                        if box.GetPointData().GetArray(name) is None:
                            continue
                        x0, x1, y0, y1, z0, z1 = box.GetExtent()
                        part = values(box, name)
                        whole[z0 : z1 + 1, y0 : y1 + 1, x0 : x1 + 1] = part
                        assert box.GetSpacing() == variable.spacing[::-1]
                    assert np.array_equal(whole, variable.step(run.steps[index]), equal_nan=True), (name, level)
