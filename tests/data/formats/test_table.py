"""Rows of csv, tsv and parquet are lines; bytes in them are laid out beside the table, once."""

import pandas as pd
import pytest

from polysense.data.datasets import read_manifest
from polysense.data.formats.line import modality_of_path
from polysense.errors import PolysenseError

MODALITIES = ["image", "audio"]


@pytest.fixture
def root(tmp_path):
    for name in ("a.png", "b.png", "c.wav"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


@pytest.mark.parametrize(("name", "separator"), [("t.csv", ","), ("t.csv", ";"), ("t.tsv", "\t")])
def test_named_columns_in_any_order(root, name, separator):
    rows = [
        ["caption", "split", "audio", "image"],
        ["A.", "test", "", "a.png"],
        ["B.", "", "c.wav", ""],
    ]
    text = "".join(separator.join(row) + "\r\n" for row in rows)
    (root / name).write_text("\ufeff" + text, encoding="utf-8")
    records = read_manifest(root / name, MODALITIES)
    assert [(r.key, r.modalities, r.caption, r.split) for r in records] == [
        ("a.png", "image", "A.", "held_out"), ("c.wav", "audio", "B.", ""),
    ]  # fmt: skip


def test_columns_that_are_not_read_are_named_once(root, capsys):
    text = "image,question,answer,width\na.png,Who?,Me.,40\nb.png,Who?,You.,50\n"
    (root / "t.csv").write_text(text)
    for _ in range(2):
        record, _ = read_manifest(root / "t.csv", MODALITIES)
        assert record.messages[1].parts[0].text == "Me."
    assert capsys.readouterr().err.count("t.csv: the column 'width' is not read") == 1


def test_parquet_holds_paths_bytes_and_messages(root):
    turns = [{"role": "user", "content": "<image>Who?"}, {"role": "assistant", "content": "Me."}]
    rows = [
        {"image": {"bytes": b"one", "path": "x.jpg"}, "text": "A."},
        {"image": {"bytes": None, "path": "a.png"}, "text": "B."},
        {"image": {"bytes": b"one", "path": "y.jpg"}, "text": "C."},
        {"image": {"bytes": b"two", "path": None}, "messages": turns},
    ]
    pd.DataFrame(rows).to_parquet(root / "t.parquet")
    first, path, again, talk = read_manifest(root / "t.parquet", MODALITIES)
    assert first.media == again.media
    assert first.group == again.group != talk.group
    with open(first.media[0].source, "rb") as file:  # noqa: PTH123
        assert file.read() == b"one"
    assert path.key == "a.png"
    assert talk.media[0].source.endswith(".jpg")
    files = sorted((root / "t.parquet.files").iterdir())
    assert len(files) == 2
    times = [file.stat().st_mtime_ns for file in files]
    read_manifest(root / "t.parquet", MODALITIES)
    assert [file.stat().st_mtime_ns for file in files] == times


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image,caption\na.png,A,b\n", "row 2: not 2 cells"),
        ("image,caption\na.png\n", "row 2: not 2 cells"),
        ("image,image\na.png,b.png\n", "have one name"),
        ("image,text,caption\na.png,A.,B.\n", "two columns are its 'caption'"),
        ("image,file,text\na.png,b.png,B.\n", "two columns are its 'image'"),
        ("image,label\na.png,3\n", "row 2: no caption"),
        ("image,caption\n", "is empty"),
        ('image,caption\na.png,"A\n', "no table in UTF-8"),
    ],
)
def test_what_is_wrong_is_named(root, text, words):
    (root / "t.csv").write_text(text)
    with pytest.raises(PolysenseError, match=words):
        read_manifest(root / "t.csv", MODALITIES)


def test_a_damaged_table_is_one_line(root):
    (root / "t.parquet").write_bytes(b"PAR1 no")
    for name in ("t.parquet", "gone.parquet", "gone.csv"):
        with pytest.raises(PolysenseError, match="cannot be read"):
            read_manifest(root / name, MODALITIES)


def test_a_files_ending_or_name_says_its_modality():
    assert modality_of_path("sub/walk.imu.csv", MODALITIES, "row 2") == "imu"
    assert modality_of_path("A.PNG", MODALITIES, "row 2") == "image"
    with pytest.raises(PolysenseError, match=r"row 2: no modality here reads 'a\.raw'"):
        modality_of_path("a.raw", MODALITIES, "row 2")
