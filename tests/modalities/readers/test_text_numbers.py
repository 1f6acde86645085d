"""Encodings and decimal marks are found out; what could be two things is refused."""

import pytest

from polysense.errors import PolysenseError
from polysense.modalities.readers.text_numbers import decimal_mark, is_number, text_encoding


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1", "cp1252"]
)
def test_encodings(encoding):
    mark = "\ufeff" if encoding == "utf-16-le" else ""
    data = (mark + "gyro (°/s)").encode(encoding)
    assert data.decode(text_encoding(data, "it")) == "gyro (°/s)"


def test_no_text():
    with pytest.raises(PolysenseError, match="it is not what its name says: no text"):
        text_encoding(b"a\0b", "it")


def test_numbers():
    assert all(
        map(is_number, ["1", "-1.5", "+1,5", ".5", "1e-3", "1,5E+4", " 2 ", "nan", "", '"1"'])
    )
    assert not any(map(is_number, ["a", "1.2.3", "1,2,3", "1:2", "-", "0x1"]))


@pytest.mark.parametrize(
    ("cells", "mark"),
    [(["1", "2"], "."), (["1.5", "a,b"], "."), (["1,5", "2"], ","), (["-0,125"], ","),
     (["1,500", "0,5"], ","), (["1,5e3"], ","), ([], ".")],
)  # fmt: skip
def test_decimal_marks(cells, mark):
    assert decimal_mark(cells, "it") == mark


@pytest.mark.parametrize(
    ("cells", "words"),
    [(["1.5", "2,5"], r"commas \(2,5\) and with decimal points \(1.5\)"),
     (["1,500", "12,345"], "comma in 1,500 could be")],
)  # fmt: skip
def test_what_could_be_two_things(cells, words):
    with pytest.raises(PolysenseError, match=words):
        decimal_mark(cells, "it")
