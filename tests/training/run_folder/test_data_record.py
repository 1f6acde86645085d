"""Data that changed since a run began are told, and what changed; files left alone are not read."""

import json
import os

import pytest
from fixtures.tiny_model import save_pictures

from polysense.data.datasets import read_manifest, split_records
from polysense.errors import PolysenseError
from polysense.training.run_folder.data_record import (
    check_data,
    read_data_record,
    record_data,
    write_data_record,
)


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
