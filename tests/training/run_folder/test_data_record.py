"""Data that changed since a run began are told, and what changed; files left alone are not read."""

import json
import os
from dataclasses import replace

import pytest
from fixtures.tiny_model import save_pictures

from polysense import atomic_write
from polysense.data.datasets import read_manifest, split_records
from polysense.data.records import Record
from polysense.errors import PolysenseError
from polysense.modalities.sources.file_parts import FileGroup
from polysense.training.run_folder.data_record import (
    DataRecord,
    check_data,
    files_digest,
    read_data_record,
    record_data,
    text_digest,
    write_data_record,
)
from polysense.types import Media, Message, Text


@pytest.fixture
def data(tmp_path):
    manifest = save_pictures(tmp_path / "pictures", 12)

    def split():
        return split_records(read_manifest(manifest, ["image"]), 0.25)

    return manifest, split


def changed(manifest, change):
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    manifest.write_text("".join(json.dumps(line) + "\n" for line in change(lines)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: lines[:-1], r"1 gone \('11.png'\)"),
        (lambda lines: [*lines, {**lines[0], "key": "n"}], r"1 new \('n'\)"),
        (lambda lines: [{**line, "caption": "Else."} for line in lines], "12 with another text"),
        (lambda lines: lines[::-1], "in another order"),
        (
            lambda lines: [{**lines[0], "image": "01.png", "key": "00.png"}, *lines[1:]],
            r"1 with other files \('00.png'\)",
        ),
    ],
)
def test_data_that_changed_are_told_and_what(data, tmp_path, change, said):
    manifest, split = data
    write_data_record(tmp_path, record_data(split()))
    before = read_data_record(tmp_path)
    check_data(tmp_path, record_data(split(), before), before)
    changed(manifest, change)
    with pytest.raises(PolysenseError, match=said):
        check_data(tmp_path, record_data(split(), before), before)


RED = Media("image", "red.png")
TURN = Message("user", (RED, Text("What?")))
RECORD = Record("k", (RED,), "A caption.", category="things", messages=(TURN,))


@pytest.mark.parametrize(
    "other",
    [
        replace(RECORD, caption="Else."),
        replace(RECORD, category="animals"),
        replace(RECORD, messages=(replace(TURN, role="assistant"),)),
        replace(RECORD, messages=(Message("user", (RED, Text("Why?"))),)),
        replace(RECORD, messages=(Message("user", (Text("What?"), RED)),)),
        replace(RECORD, media=(Media("depth", "red.png"),)),
        replace(RECORD, media=(RED, RED)),
    ],
    ids=["caption", "category", "who speaks", "words", "places", "modality", "number"],
)
def test_all_that_a_record_says_is_in_the_digest_of_its_text(other):
    assert text_digest(other) != text_digest(RECORD)
    assert text_digest(replace(RECORD, key="other", where="line 4")) == text_digest(RECORD)


def test_numbers_of_a_source_count_and_files_that_cannot_be_read_are_alike(tmp_path):
    def digest(*parts):
        group = FileGroup(tuple((f"part {n}", part) for n, part in enumerate(parts)))
        return files_digest(Record("k", (Media("image", group),)), {}, {})

    assert digest("a.png", 1.5) != digest("a.png", 2.5)
    assert digest(str(tmp_path / "gone")) == digest(str(tmp_path / "gone too"))


def test_a_record_on_the_other_side_is_told(tmp_path):
    before, now = (DataRecord({"a": [side, "t", "f"]}) for side in ("train", "held out"))
    with pytest.raises(PolysenseError, match=r"1 on the other side of the split \('a'\)\. A run"):
        check_data(tmp_path, now, before)


def test_what_is_remembered_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    write_data_record(tmp_path, DataRecord({"a": ["train", "t", "f"]}))
    monkeypatch.setattr(atomic_write, "flush", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_data_record(tmp_path, DataRecord({}))
    assert read_data_record(tmp_path) == DataRecord({"a": ["train", "t", "f"]})


def test_a_file_with_other_bytes_is_seen_and_one_that_was_copied_is_not(data, tmp_path):
    manifest, split = data
    before = record_data(split())
    picture = manifest.parent / "03.png"
    picture.write_bytes(picture.read_bytes())
    os.utime(picture, (1, 1))
    check_data(tmp_path, record_data(split(), before), before)
    content = bytearray(picture.read_bytes())
    content[-20] ^= 1
    picture.write_bytes(content)
    with pytest.raises(PolysenseError, match=r"1 with other files \('03.png'\)"):
        check_data(tmp_path, record_data(split(), before), before)


def test_a_file_that_grew_within_the_clocks_tick_is_seen(data, tmp_path):
    manifest, split = data
    before = record_data(split())
    picture = manifest.parent / "03.png"
    moment = picture.stat().st_mtime_ns
    picture.write_bytes(picture.read_bytes() + b"more")
    os.utime(picture, ns=(moment, moment))
    with pytest.raises(PolysenseError, match=r"1 with other files \('03.png'\)"):
        check_data(tmp_path, record_data(split(), before), before)


def test_files_that_nobody_touched_are_not_read_again(data, monkeypatch):
    _, split = data
    before = record_data(split())
    monkeypatch.setattr(
        "polysense.training.run_folder.data_record.content_digest",
        lambda _: pytest.fail("read again"),
    )
    assert record_data(split(), before) == before
