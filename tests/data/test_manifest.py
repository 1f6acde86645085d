"""A line names signals in its own order, alone, in lists or pairs, and says one thing of them."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from polysense.data.datasets import read_manifest
from polysense.data.manifest import parse_line
from polysense.errors import PolysenseError
from polysense.modalities import DepthModality, NormalModality
from polysense.modalities.stored import FileGroup, read_signal
from polysense.types import Text

SENSES = ["image", "audio", "depth", "normal", "imu"]
TALK = [{"from": "human", "value": "<image>\nWho?"}, {"from": "gpt", "value": "Me."}]


@pytest.fixture
def root(tmp_path):
    for name in ("a.png", "b.png", "c.wav", "d.png"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def parse(root, **values):
    return parse_line(json.dumps(values), root, SENSES, "m.jsonl, line 7")


def test_signals_keep_the_order_of_the_line(root):
    record = parse(root, audio="c.wav", image=["b.png", "a.png"], caption="A bell.")
    assert [m.modality for m in record.media] == ["audio", "image", "image"]
    assert [m.source for m in record.media] == [str(root / n) for n in ("c.wav", "b.png", "a.png")]
    assert (record.key, record.senses) == ("c.wav", "audio+image")


@pytest.mark.parametrize("sense", [DepthModality, NormalModality])
def test_a_pair_of_a_picture_and_its_map_is_one_signal(tmp_path, sense):
    Image.new("RGB", (8, 8), "red").save(tmp_path / "room.png")
    facing = np.broadcast_to(np.array([0, 0, 1], dtype=np.float32), (8, 8, 3))
    np.save(tmp_path / "map.npy", facing[..., 2] if sense is DepthModality else facing)
    line = {sense.name: {"image": "room.png", sense.name: "map.npy"}, "caption": "A room."}
    (tmp_path / "m.jsonl").write_text(json.dumps(line))
    (record,) = read_manifest(tmp_path / "m.jsonl", SENSES)
    reader = sense(size=8, pair=True)
    pair = reader.read((tmp_path / "room.png", tmp_path / "map.npy"))
    assert torch.equal(read_signal(reader, record.media[0].source), pair)
    assert record.key == "room.png+map.npy"


def test_a_number_may_stand_beside_a_file(root):
    (imu,) = parse(root, imu={"imu": "c.wav", "rate": 50}, caption="Walking.").media
    assert imu.source == FileGroup((("imu", str(root / "c.wav")), ("rate", 50)))


def test_a_question_needs_no_signal(root):
    record = parse(root, question="2 + 2?", answer="4", source="made")
    assert (record.media, record.caption, record.source) == ((), "", "made")
    assert [turn.parts for turn in record.messages] == [(Text("2 + 2?"),), (Text("4"),)]
    again = parse(root, question="2 + 2?", answer="4", source="made")
    assert record.key == again.key != parse(root, question="3 + 3?", answer="6").key


def test_conversations_keep_their_signals_in_reading_order(root):
    record = parse(root, id=12, model="", image="a.png", conversations=TALK)
    assert [m.source for m in record.media] == [str(root / "a.png")]
    assert record.messages[0].parts[0] == record.media[0]
    assert record.key == record.group == "a.png"
    said = [{"from": "human", "value": "Who?"}, {"from": "gpt", "value": "Me."}]
    assert parse(root, id=12, conversations=said).key == "12"


def test_documents_take_any_order(root):
    parts = [{"image": "a.png"}, "A cat.", {"audio": "c.wav"}, {"image": "b.png"}, "A dog."]
    record = parse(root, document=parts)
    assert record.is_document
    assert [m.modality for m in record.media] == ["image", "audio", "image"]
    assert record.messages[0].parts[1] == Text("A cat.")


def test_many_lines_about_one_file_are_one_group(root):
    line = json.dumps({"image": "a.png", "conversations": TALK})
    (root / "m.jsonl").write_text(f"{line}\n{line}\n")
    assert [r.key for r in read_manifest(root / "m.jsonl", SENSES)] == ["a.png", "a.png (2)"]


def test_llavas_list_and_lines_with_rare_line_ends_are_read(root):
    (root / "m.json").write_text(json.dumps([{"image": "a.png", "conversations": TALK}], indent=2))
    assert len(read_manifest(root / "m.json", SENSES)) == 1
    line = json.dumps({"image": "a.png", "caption": "A\u2028B."}, ensure_ascii=False)
    (root / "m.jsonl").write_text(line + "\r\n", encoding="utf-8")
    assert read_manifest(root / "m.jsonl", SENSES)[0].caption == "A\u2028B."
    (root / "m.json").write_text('[{"image": ')
    with pytest.raises(PolysenseError, match="not JSON"):
        read_manifest(root / "m.json", SENSES)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"caption": "A."}, "no signal; it needs one of image"),
        ({"image": "a.png"}, "no caption"),
        ({"image": [], "caption": "A."}, "no signal"),
        ({"image": "a.png", "caption": "A.", "document": ["x"]}, "both 'caption' and 'document'"),
        ({"question": "Who?"}, "needs its 'answer'"),
        ({"image": "a.png", "caption": "A.", "answer": "B."}, "needs its 'answer'"),
        ({"image": 3, "caption": "A."}, "file of 'image' must be named by text"),
        ({"depth": {"image": "a.png", "depth": None}, "caption": "A."}, "'depth' must be a file"),
        ({"depth": {}, "caption": "A."}, "must be named by text"),
        ({"depth": {"image": "a.png", "depth": "../x"}, "caption": "A."}, "outside"),
        ({"document": [{"image": "gone.png"}, "x"]}, "'gone.png' does not exist"),
        ({"document": [{"image": "/etc/passwd"}, "x"]}, "outside"),
        ({"image": "a.png", "caption": 3}, "'caption' must be text"),
        ({"image": "a.png", "messages": [{"role": "user"}]}, "needs the keys"),
        ({"captoin": "A."}, "unknown key 'captoin'. Known: image"),
    ],
)  # fmt: skip
def test_a_bad_line_says_where_and_what(root, values, words):
    with pytest.raises(PolysenseError, match=words) as got:
        parse(root, **values)
    assert str(got.value).startswith("m.jsonl, line 7: ")
