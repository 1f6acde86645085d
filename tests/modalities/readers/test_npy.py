"""Arrays are refused by their headers, before anything is made of them."""

import io
import zipfile

import numpy as np
import pytest

from polysense.errors import PolysenseError
from polysense.modalities.readers.npy import is_array_file, load_arrays
from polysense.modalities.sources.file_checks import one_line_errors


def saved(save=np.save, **arrays):
    buffer = io.BytesIO()
    if save is np.save:
        np.save(buffer, arrays["only"], allow_pickle=True)
    else:
        save(buffer, **arrays)
    return buffer.getvalue()


def announced(shape, dtype="<f4"):
    """An .npy header that promises `shape` and holds nothing."""
    buffer = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue()


def zipped(data):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("depth.npy", data)
    return buffer.getvalue()


def test_arrays_are_found_by_name_or_alone():
    first, second = np.arange(3.0), np.arange(4.0)
    for data, keys in (
        (saved(only=first), ["a"]),
        (saved(np.savez, thing=first), ["a"]),
        (saved(np.savez_compressed, a=first, b=second, c=second), ["a", "b"]),
    ):
        assert is_array_file(data)
        found = load_arrays(data, ("a", "b"), "f", 10, "limit")
        assert list(found) == keys
        assert found["a"].tolist() == [0, 1, 2]
    with pytest.raises(PolysenseError, match="holds the arrays x, y; it needs one called 'a'"):
        load_arrays(saved(np.savez, x=first, y=first), ("a",), "f", 10, "limit")


@pytest.mark.parametrize("wrap", [bytes, zipped])
def test_arrays_are_refused_by_their_headers(wrap):
    for data, words in (
        (announced((10**6, 10**6)), "1,000,000,000,000 values; the limit is 99, from limit"),
        (announced((2,), "|V1000000000"), "not numbers"),
        (announced((2,), "|O"), "not numbers"),
        (saved(only=np.array([{}], dtype=object)), "not numbers"),
        (announced((9,)), "damaged or cut short"),
        (announced((9,)).replace(b")", b"("), "damaged or cut short"),
        (b"\x93NUMPY\x01\x00", "damaged or cut short"),
    ):
        with pytest.raises(PolysenseError, match=words), one_line_errors("f"):
            load_arrays(wrap(data), ("depth",), "f", 99, "limit")
