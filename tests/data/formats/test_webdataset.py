"""Shards of the webdataset convention: samples by name, modalities by ending, sources by bytes."""

import io
import json
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from polysense.data.datasets import read_manifest
from polysense.data.formats.webdataset import shard_paths
from polysense.errors import PolysenseError
from polysense.modalities import DepthModality, ImageModality
from polysense.modalities.read_signal import read_signal
from polysense.modalities.sources.file_parts import FileSlice
from polysense.types import Text

MODALITIES = ["image", "audio", "depth", "imu"]


def picture(colour):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, "PNG")
    return buffer.getvalue()


def array(values):
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(values, dtype=np.float32))
    return buffer.getvalue()


def pack(path, files):
    """Write a shard of {name: bytes, text, or what JSON holds}."""
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, value in files.items():
            text = value if isinstance(value, str) else json.dumps(value, default=repr)
            data = value if isinstance(value, bytes) else text.encode()
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return path


def records(path, files, modalities=MODALITIES):
    return read_manifest(pack(path, files), modalities)


def test_a_picture_and_its_caption(tmp_path):
    files = {"./a/cat.png": picture("red"), "./a/cat.txt": "A cat.\n", "./a/.DS_Store": "x"}
    (record,) = records(tmp_path / "00.tar", {**files, "__meta__.json": "{}", "README": "hello"})
    assert (record.key, record.caption) == ("00/a/cat", "A cat.")
    source = record.media[0].source
    assert isinstance(source, FileSlice)
    expected = ImageModality(size=8).read(picture("red"))
    assert torch.equal(read_signal(ImageModality(size=8), source), expected)


def test_samples_need_not_lie_together_and_keep_their_order(tmp_path):
    names = ["b", "a", "c"]
    files = {f"{name}.png": picture("red") for name in names}
    files |= {f"{name}.txt": f"A {name}." for name in reversed(names)}
    found = records(tmp_path / "0.tar", files)
    assert [(r.key, r.caption) for r in found] == [(f"0/{n}", f"A {n}.") for n in names]


def test_any_modality_by_its_ending(tmp_path):
    files = {"x.ogg": b"sound", "x.depth.npy": array([[1]]), "x.imu.csv": "1,2", "x.txt": "All."}
    (record,) = records(tmp_path / "0.tar", files)
    assert [m.modality for m in record.media] == ["audio", "depth", "imu"]


def test_samples_of_modalities_that_the_run_lacks_are_left_out(tmp_path):
    files = {"a.png": picture("red"), "a.txt": "A.", "b.ogg": b"sound", "b.txt": "B."}
    files |= {"c.png": picture("red"), "c.depth.png": picture("red"), "c.txt": "C."}
    files |= {"d.png": picture("red"), "d.json": {"depth": "png", "caption": "D."}}
    (record,) = records(tmp_path / "0.tar", files, ["image"])
    assert record.caption == "A."
    assert len(records(tmp_path / "0.tar", files)) == 4
    with pytest.raises(PolysenseError, match="no sample of imu, fmri alone"):
        records(tmp_path / "0.tar", files, ["imu", "fmri"])


def test_json_is_a_manifests_line_that_names_files_by_their_endings(tmp_path):
    talk = [{"from": "human", "value": "<image>\nand\n<image>?"}, {"from": "gpt", "value": "No."}]
    two = {"0.png": picture("red"), "1.png": picture("blue")}
    pair = {"image": "0.png", "depth": "depth.npy"}
    files = {
        **{f"a.{ending}": data for ending, data in two.items()},
        "a.json": {"image": ["1.png", "0.png"], "conversations": talk, "sha256": "..."},
        **{f"b.{ending}": data for ending, data in two.items()},
        "b.json": {"document": ["Red: ", {"image": "0.png"}, " blue: ", {"image": "1.png"}]},
        "c.0.png": picture("red"),
        "c.depth.npy": array(np.full((8, 8), 2)),
        "c.json": {"depth": pair, "caption": "A room.", "category": "rooms"},
        "d.json": {"question": "2 + 2?", "answer": "4"},
        "e.png": picture("red"),
        "e.json": {"question": "Which colour?", "answer": "Red."},
    }
    a, b, c, d, e = records(tmp_path / "0.tar", files)
    assert [m.source.name for m in a.media] == ["a.1.png", "a.0.png"]
    assert b.is_document
    assert b.messages[0].parts[1].source.name == "b.0.png"
    assert read_signal(DepthModality(size=8, pair=True), c.media[0].source).shape == (2, 3, 8, 8)
    assert c.category == "rooms"
    assert d.media == ()
    assert e.messages[0].parts == (e.media[0], Text("Which colour?"))


def test_metadata_of_others_is_left_out_and_txt_is_the_caption(tmp_path):
    metadata = {"caption": None, "key": "000000017", "url": "https://a.org/b.jpg", "width": 8}
    files = {"000000017.jpg": b"x", "000000017.txt": "A cat.", "000000017.json": metadata}
    (record,) = records(tmp_path / "0.tar", files)
    assert (record.key, record.caption) == ("000000017", "A cat.")


def test_folders_ranges_and_patterns_name_shards(tmp_path):
    for number in (8, 9, 10):
        pack(tmp_path / f"s/{number:03d}.tar", {"a.png": picture("red"), "a.txt": "A."})
    every = [tmp_path / f"s/{number}.tar" for number in ("008", "009", "010")]
    for pattern in ("s", "s/{008..010}.tar", "s/*.tar"):
        assert shard_paths(str(tmp_path / pattern)) == every
    keys = [record.key for record in read_manifest(tmp_path / "s/{008..009}.tar", MODALITIES)]
    assert keys == ["008/a", "009/a"]
    with pytest.raises(PolysenseError, match=r"011\.tar' of .* does not exist"):
        shard_paths(str(tmp_path / "s/{008..012}.tar"))
    for pattern in ("t/*.tar", "t.tar"):
        with pytest.raises(PolysenseError, match=r"no \.tar archive"):
            read_manifest(tmp_path / pattern, MODALITIES)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.png": b"x"}, r"sample 'a' has no text: put a caption"),
        ({"a.png": b"x", "a.json": {"captoin": "A."}}, "no text"),
        ({"a.png": b"x", "a.txt": " "}, "no caption"),
        ({"a.txt": "A."}, "no signal"),
        ({"a.raw": b"x", "a.txt": "A."}, r"reads files ending in 'raw'.*jpg.*write .*image\.raw"),
        ({"a.cls": "3", "a.txt": "A."}, "ending in 'cls'"),
        ({"a.png": b"x", "a.json": "{"}, "not JSON"),
        ({"a.png": b"x", "a.json": "[1]"}, "must be an object"),
        ({"a.png": b"x", "a.txt": b"\xff\xfe"}, "no UTF-8"),
        ({"a.png": b"x", "a.txt": "A" * 2_000_000}, "2,000,000 bytes; a text has"),
        ({"a.png": b"x", "a.json": {"image": "jpg", "caption": "A."}}, r"no file a\.jpg"),
        ({"a.0.png": b"x", "a.1.png": b"x", "a.json": {"image": "0.png", "caption": "A."}},
         r"does not say where '1\.png' stands"),
        ({"a.png": b"x", "a.json": {"document": [{"image": "../b.png"}, "x"]}}, "no file"),
        ({"README": "nothing"}, "hold no sample"),
    ],
)  # fmt: skip
def test_a_bad_sample_is_named_with_what_is_wrong(tmp_path, files, words):
    with pytest.raises(PolysenseError, match=words) as got:
        records(tmp_path / "07.tar", files)
    assert "07.tar" in str(got.value)
    assert "\n" not in str(got.value)


def test_one_key_in_two_shards_is_refused(tmp_path):
    for name in ("0", "1"):
        files = {"a.png": picture("red"), "a.json": {"key": "one", "caption": "A."}}
        pack(tmp_path / f"{name}.tar", files)
    with pytest.raises(PolysenseError, match="the key 'one'"):
        read_manifest(tmp_path, MODALITIES)
