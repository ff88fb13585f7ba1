"""The table of file formats, and what opening an image imports."""

import os
import subprocess
import sys

import pytest

from asem.volume.formats.detect import FILE_FORMATS, PNG, TIFF
from asem.volume.png_planes import PNG_SUFFIXES
from asem.volume.tiff_sources import TIFF_SUFFIXES

LIBRARIES = ("h5py", "mrcfile", "nibabel", "scipy")


@pytest.mark.parametrize("file_format", FILE_FORMATS, ids=lambda one: one.name)
def test_the_table_names_the_modules(file_format):
    module = file_format.load()
    assert file_format.name == module.NAME
    assert callable(module.open_path)


def test_suffixes_of_planes():
    assert (TIFF.suffixes, PNG.suffixes) == (TIFF_SUFFIXES, PNG_SUFFIXES)


def test_opening_ome_zarr_imports_no_library_of_another_format(cell):
    code = (
        "import sys; from asem.volume.sources import open_volume; "
        f"open_volume({str(cell / 'cell.zarr/raw')!r}); "
        f"print(sorted(set({LIBRARIES!r}) & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=True
    )
    assert done.stdout == "[]\n"
