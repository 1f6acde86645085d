"""One picture under several names and formats is found by its content, and grouped."""

import pytest
from PIL import Image

from polysense.data.duplicates.exact import duplicates, grouped_by_content, on_both_sides
from polysense.data.records import Record, Split
from polysense.modalities import ImageModality
from polysense.types import Media

MODALITIES = {"image": ImageModality(size=8)}


@pytest.fixture
def records(tmp_path):
    for name, colour in {"a.png": "red", "b.bmp": "red", "c.png": "blue", "e.png": "lime"}.items():
        Image.new("RGB", (8, 8), colour).save(tmp_path / name)
    (tmp_path / "bad.png").write_bytes(b"x")
    (tmp_path / "bad2.png").write_bytes(b"x")
    files = [["a.png"], ["c.png", "e.png"], ["b.bmp"], ["e.png"], ["bad.png"], ["bad2.png"]]
    return [
        Record(names[0] + str(i), tuple(Media("image", str(tmp_path / n)) for n in names), "A.")
        for i, names in enumerate(files)
    ]


def test_equal_content_is_found_under_any_name(records):
    red, both, again, lime, *_ = records
    assert duplicates(records, MODALITIES) == [[red, again], [both, lime]]


def test_a_record_that_shares_with_two_joins_them(records):
    red, _, again, lime, *_ = records
    bridge = Record("bridge", (*again.media, *lime.media), "A.")
    assert duplicates([red, lime, bridge], MODALITIES) == [[red, lime, bridge]]


def test_duplicates_share_the_first_ones_group(records):
    grouped = grouped_by_content(records, MODALITIES)
    assert [r.group for r in grouped] == [
        records[0].key, records[1].key, records[0].key, records[1].key, "", "",
    ]  # fmt: skip
    assert [record.media for record in grouped] == [record.media for record in records]


def test_only_what_is_on_both_sides_is_told(records):
    red, both, again, lime, *_ = records
    assert on_both_sides(Split([red, both], [again]), MODALITIES) == [[red, again]]
    assert on_both_sides(Split([red, again], [both, lime]), MODALITIES) == []
