"""A cell belongs to the name above it, however a spreadsheet writes its rows."""

import numpy as np
import pytest

from polysense.errors import PolysenseError
from polysense.modalities.readers.text_tables import read_table


def read(text, separators=",;\t"):
    return read_table(text.encode(), separators, "it")


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1.5,2\n3,4\n",
        "a,b\n1.5,2,\n3,4,\n",
        "a,b,\n1.5,2\n3,4\n",
        "a,b,,\n1.5,2,,\n3,4,,\n,,,\n\n",
        "a;b\n1,5;2\n3;4\n",
        "a\tb\n1,5\t2\n3\t4\n",
        'a,b\n"1,5","2"\n"3","4"\n',
        "sep=;\na;b\n1,5;2\n3;4\n",
        "\ufeff# by hand\r\n\r\na, b\r\n1.5, 2\r\n3, 4\r\n",
    ],
)
def test_the_same_table(text):
    table = read(text)
    assert list(table.columns) == ["a", "b"]
    assert table.to_numpy().tolist() == [[1.5, 2], [3, 4]]


@pytest.mark.parametrize("text", ["1.5,2\n3,4\n", "1,5;2\n3;4\n", "1.5,2,\n3,4,\n,,\n"])
def test_without_names(text):
    table = read(text)
    assert list(table.columns) == [0, 1]
    assert table.to_numpy().tolist() == [[1.5, 2], [3, 4]]


def test_empty_rows_and_cells_within_a_table_stay():
    table = read(",,\na,b,c\n1,,3\n,,\n4,5,6\n,,\n")
    assert np.isnan(read("a,b\n,\n1,2\n,\n3,4\n").to_numpy()).any(axis=1).tolist() == [0, 1, 0]
    assert table.shape[1] == 3
    assert read("a,,c\n1,,3\n").columns.tolist() == ["a", "unnamed 2", "c"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2,3\n", "names 2 columns, and its row 1 has 3 cells: .* columns: a, b"),
        ("a,b\n1,2\n3,4,5\n", "its row 2 has 3 cells"),
        ("a,b\n" + "1,2,\n" * 300 + "3,4,5\n", "its row 301 has more cells"),
        ("a,b,c\n1,2\n3,4\n", "names 3 columns, and its rows have 2 cells"),
        ("a,b,a\n1,2,3\n", "two columns called 'a'"),
        ("# nothing\n\n", "no lines but empty ones"),
        ("a;b\n1,5;2.5\n", "decimal commas"),
    ],
)
def test_what_is_refused(text, words):
    with pytest.raises(PolysenseError, match=words) as caught:
        read(text)
    assert "damaged" not in str(caught.value)
