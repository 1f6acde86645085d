"""Folders of files with texts, and imagefolder's tables, are read as the manifests they mean."""

import json

import pytest

from polysense.data.datasets import read_manifest
from polysense.data.formats.folder import takes
from polysense.errors import PolysenseError

MODALITIES = ["image", "audio", "imu"]


def fill(folder, **texts):
    for name, text in texts.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def test_texts_beside_files_are_their_captions(tmp_path):
    fill(tmp_path, cat_png="x", cat_txt="\ufeffA cat.\n", sub__cat_wav="x", sub__cat_txt="A purr.")
    fill(tmp_path, walk_imu_csv="x", walk_txt="Walking.", _DS="hidden")
    read = {
        record.key: (record.modalities, record.caption)
        for record in read_manifest(tmp_path, MODALITIES)
    }
    assert read == {
        "cat.png": ("image", "A cat."),
        "sub/cat.wav": ("audio", "A purr."),
        "walk.imu.csv": ("imu", "Walking."),
    }
    assert [record.key for record in read_manifest(tmp_path, ["audio"])] == ["sub/cat.wav"]


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_imagefolders_tables_name_files_and_texts(tmp_path, form):
    fill(tmp_path, a_png="x", b_wav="x")
    rows = [{"file_name": "a.png", "text": "A; B, C."}, {"file_name": "b.wav", "text": "Bell."}]
    text = "\n".join(map(json.dumps, rows))
    if form == "csv":
        text = 'file_name,text\na.png,"A; B, C."\nb.wav,Bell.\n'
    (tmp_path / f"metadata.{form}").write_text(text)
    records = read_manifest(tmp_path, MODALITIES)
    assert [(r.key, r.modalities, r.caption) for r in records] == [
        ("a.png", "image", "A; B, C."), ("b.wav", "audio", "Bell."),
    ]  # fmt: skip
    assert records[1].where.endswith("metadata.csv, row 3" if form == "csv" else "line 2")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a_png": "x"}, "no texts: put a caption beside each file"),
        ({"a_png": "x", "a_txt": "A.", "b_png": "x"}, r"1 in folder .* lack a caption.*'b\.png'"),
        ({"a_png": "x", "a_txt": "A.", "b_txt": "B."}, r"lack a file of its name.*'b\.txt'"),
        ({"a_raw": "x", "a_txt": "A."}, r"no modality here reads 'a\.raw'.*a\.image\.raw"),
        ({"a_png": "x", "a_txt": " "}, "no caption"),
        ({"metadata_csv": "file_name,text\n", "metadata_jsonl": ""}, "has both"),
        ({"metadata_jsonl": "[1]"}, "must be a JSON object"),
        ({"metadata_csv": "file_name,text\ngone.png,A.\n"}, r"row 2: file 'gone\.png' does not"),
        ({"a_png": "x", "metadata_csv": "file_name,txet\na.png,A.\n"}, "row 2: no caption"),
        ({"a_png": "x", "a_txt": "A.", "metadata_csv": "image\n"}, "is empty"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named(tmp_path, files, words):
    with pytest.raises(PolysenseError, match=words):
        read_manifest(fill(tmp_path, **files), MODALITIES)


def test_a_folder_of_shards_is_none(tmp_path):
    assert takes(tmp_path)
    (tmp_path / "0.tar").touch()
    assert not takes(tmp_path)
