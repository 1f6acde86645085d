"""One image under several names and formats is found by its content, and grouped."""

import pytest
from PIL import Image

from polysense.data.duplicates.exact import grouped_by_content
from polysense.data.records import Record
from polysense.modalities import ImageModality
from polysense.types import Media

MODALITIES = {"image": ImageModality(size=8)}


@pytest.fixture
def files(tmp_path):
    for name, colour in {"a.png": "red", "b.bmp": "red", "c.png": "blue", "e.png": "lime"}.items():
        Image.new("RGB", (8, 8), colour).save(tmp_path / name)
    for name in ("bad.png", "bad2.png"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def record(folder, key, *names, group=""):
    return Record(key, tuple(Media("image", str(folder / n)) for n in names), "A.", group=group)


def groups(records):
    grouped = grouped_by_content(records, MODALITIES)
    assert [one.media for one in grouped] == [one.media for one in records]
    return [one.group for one in grouped]


def test_equal_content_is_of_one_group_under_any_name_and_format(files):
    names = [["a.png"], ["c.png", "e.png"], ["b.bmp"], ["e.png"], ["bad.png"], ["bad2.png"]]
    records = [record(files, f"{i}", *own) for i, own in enumerate(names)]
    assert groups(records) == ["", "", "0", "1", "", ""]


def test_a_record_that_shares_with_two_joins_them(files):
    records = [record(files, n, n) for n in ("a.png", "e.png")]
    assert groups([*records, record(files, "bridge", "b.bmp", "e.png")]) == ["", "a.png", "a.png"]


def test_members_of_a_duplicates_group_come_with_it(files):
    records = [
        record(files, "one", "a.png"),
        record(files, "two", "b.bmp", group="walk"),
        record(files, "three", "c.png", group="walk"),
    ]
    assert groups(records) == ["", "one", "one"]


def test_the_first_ones_group_is_kept_and_every_record_is_counted(files):
    records = [record(files, "one", "a.png", group="walk"), record(files, "two", "b.bmp")]
    counted = []
    grouped = grouped_by_content(records, MODALITIES, lambda: counted.append(1))
    assert [one.group for one in grouped] == ["walk", "walk"]
    assert len(counted) == 2
