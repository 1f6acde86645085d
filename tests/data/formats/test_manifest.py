"""A line names signals in its own order, alone, in lists or pairs, and says one thing of them."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from polysense.data.datasets import read_manifest
from polysense.data.formats.manifest import parse_line
from polysense.errors import PolysenseError
from polysense.modalities import DepthModality, NormalModality
from polysense.modalities.read_signal import read_signal
from polysense.modalities.sources.file_parts import FileGroup
from polysense.types import Text

MODALITIES = ["image", "audio", "depth", "normal", "imu"]
TALK = [{"from": "human", "value": "<image>\nWho?"}, {"from": "gpt", "value": "Me."}]


@pytest.fixture
def root(tmp_path):
    for name in ("a.png", "b.png", "c.wav", "d.png"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def parse(root, **values):
    return parse_line(json.dumps(values), root, MODALITIES, "m.jsonl, line 7")


def test_signals_keep_the_order_of_the_line(root):
    record = parse(root, audio="c.wav", image=["b.png", "a.png"], caption="A bell.")
    assert [m.modality for m in record.media] == ["audio", "image", "image"]
    assert [m.source for m in record.media] == [str(root / n) for n in ("c.wav", "b.png", "a.png")]
    assert (record.key, record.modalities) == ("c.wav", "audio+image")


@pytest.mark.parametrize("modality", [DepthModality, NormalModality])
def test_a_pair_of_a_picture_and_its_map_is_one_signal(tmp_path, modality):
    Image.new("RGB", (8, 8), "red").save(tmp_path / "room.png")
    facing = np.broadcast_to(np.array([0, 0, 1], dtype=np.float32), (8, 8, 3))
    np.save(tmp_path / "map.npy", facing[..., 2] if modality is DepthModality else facing)
    line = {modality.name: {"image": "room.png", modality.name: "map.npy"}, "caption": "A room."}
    (tmp_path / "m.jsonl").write_text(json.dumps(line))
    (record,) = read_manifest(tmp_path / "m.jsonl", MODALITIES)
    reader = modality(size=8, pair=True)
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
    assert [r.key for r in read_manifest(root / "m.jsonl", MODALITIES)] == ["a.png", "a.png (2)"]


def test_llavas_list_and_lines_with_rare_line_ends_are_read(root):
    (root / "m.json").write_text(json.dumps([{"image": "a.png", "conversations": TALK}], indent=2))
    assert len(read_manifest(root / "m.json", MODALITIES)) == 1
    line = json.dumps({"image": "a.png", "caption": "A\u2028B."}, ensure_ascii=False)
    (root / "m.jsonl").write_text(line + "\r\n", encoding="utf-8")
    assert read_manifest(root / "m.jsonl", MODALITIES)[0].caption == "A\u2028B."
    (root / "m.json").write_text('[{"image": ')
    with pytest.raises(PolysenseError, match="not JSON"):
        read_manifest(root / "m.json", MODALITIES)


def test_a_file_that_is_no_data_says_what_is(root):
    (root / "notes.yaml").write_text("image: a.png\n")
    for name in ("notes.yaml", "gone.jsonl"):
        with pytest.raises(PolysenseError, match=r"Data are a manifest \(\.jsonl.*a table \(\.csv"):
            read_manifest(root / name, MODALITIES)


@pytest.mark.parametrize("name", ["m.jsonl", "m.json", "list.jsonl"])
def test_a_byte_order_mark_is_no_text(root, name):
    line = json.dumps({"image": "a.png", "caption": "A red square."})
    text = line + "\r\n" if name == "m.jsonl" else f"[{line}]"
    (root / name).write_text("\ufeff" + text, encoding="utf-8")
    assert [record.caption for record in read_manifest(root / name, MODALITIES)] == [
        "A red square."
    ]


def test_what_is_no_utf8_says_so(root):
    (root / "m.jsonl").write_text('{"image": "a.png", "caption": "A."}', encoding="utf-16")
    with pytest.raises(PolysenseError, match="is UTF-16: save it as UTF-8"):
        read_manifest(root / "m.jsonl", MODALITIES)
    (root / "m.jsonl").write_bytes(b'{}\n{"caption": "caf\xe9"}')
    with pytest.raises(PolysenseError, match="line 2 is no UTF-8"):
        read_manifest(root / "m.jsonl", MODALITIES)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"caption": "A.", "caption": "B."}', "line 7: the key 'caption' stands twice"),
        ('{"image": ', "line 7: not JSON"),
        ("[" * 100_000, "line 7: not"),
    ],
    ids=["twice", "cut", "deep"],
)
def test_a_line_is_one_json_object(root, text, words):
    with pytest.raises(PolysenseError, match=words):
        parse_line(text, root, MODALITIES, "m.jsonl, line 7")


def test_other_trainers_lists_are_the_modalities_files(root):
    turns = [
        {"role": "user", "content": "Compare <image> with <image>."},
        {"role": "assistant", "content": "Alike."},
    ]
    images = ["a.png", {"path": "b.png", "bytes": None}]
    record = parse(root, images=images, messages=turns, system="Look.")
    assert [media.source for media in record.media] == [str(root / n) for n in ("a.png", "b.png")]
    system, asked, said = record.messages
    assert (system.role, system.parts, said.parts) == (
        "system", (Text("Look."),), (Text("Alike."),)
    )  # fmt: skip
    a, b = record.media
    assert asked.parts == (Text("Compare "), a, Text(" with "), b, Text("."))
    line = json.dumps({"videos": ["c.wav"], "caption": "A."})
    assert parse_line(line, root, MODALITIES, "m.jsonl, line 7") is None  # this run has no video
    assert parse(root, image="a.png", caption="A.").where == "m.jsonl, line 7"


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
        ({"image": "a\0.png", "caption": "A."}, "no name of a file"),
        ({"image": "a" * 5000, "caption": "A."}, "no name of a file"),
        ({"imu": {"imu": "c.wav", "rate": float("nan")}, "caption": "A."}, "'rate' must be a file"),
        ({"imu": {"imu": "c.wav", "rate": True}, "caption": "A."}, "'rate' must be a file"),
        ({"image": "a.png", "caption": "A.", "split": "tset"}, "'split' is 'tset', and only"),
        ({"image": "a.png", "caption": "<image>\nA cat."}, "the caption says <image>"),
        ({"image": "a.png", "images": ["b.png"], "caption": "A."}, "both 'image' and 'images'"),
        ({"image": "a.png", "caption": "A.", "system": "Look."}, "'system' message beside a capt"),
        ({"document": "A.", "system": "Look."}, "'system' message beside a document"),
        ({"captoin": "A."}, "unknown key 'captoin'. Known: image"),
    ],
)  # fmt: skip
def test_a_bad_line_says_where_and_what(root, values, words):
    with pytest.raises(PolysenseError, match=words) as got:
        parse(root, **values)
    assert str(got.value).startswith("m.jsonl, line 7: ")
