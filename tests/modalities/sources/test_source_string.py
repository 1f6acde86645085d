"""Words name files, files in archives, files that are one signal; and sources are written so."""

import tarfile

import pytest

from polysense.errors import PolysenseError
from polysense.modalities.sources.file_parts import FileGroup, FileSlice
from polysense.modalities.sources.source_string import format_source, parse_source, relative_source


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.npy", "a=b,c=d.png"):
        (tmp_path / name).write_bytes(b"12345")
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        tar.add("a.png", "deep/a.png")
    return tmp_path


def test_words_and_sources_are_one_another(folder):
    member = parse_source("0.tar/deep/a.png")
    assert isinstance(member, FileSlice)
    assert b"".join(member.chunks()) == b"12345"
    group = parse_source("image=a.png,depth=0.tar/deep/a.png")
    assert group == FileGroup((("image", "a.png"), ("depth", member)))
    assert parse_source("imu=b.npy,rate=50") == FileGroup((("imu", "b.npy"), ("rate", 50.0)))
    assert parse_source("a=b,c=d.png") == "a=b,c=d.png"
    for source in (member, group, "a.png"):
        assert parse_source(format_source(source)) == source


def test_words_are_made_relative_to_where_one_is(folder):
    whole = f"image={folder}/a.png,depth={folder}/0.tar/deep/a.png,rate=50"
    assert relative_source(whole) == "image=a.png,depth=0.tar/deep/a.png,rate=50"
    assert relative_source(f"{folder}/0.tar/deep/a.png") == "0.tar/deep/a.png"
    assert relative_source("/elsewhere/a.png") == "/elsewhere/a.png"
    assert relative_source("a.png") == "a.png"


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("c.png", "'c.png' does not exist"),
        ("0.tar/b.png", r"0\.tar' holds no 'b\.png'"),
        ("1.tar/b.png", "does not exist"),
        ("image=a.png,depth=c.npy", "'c.npy' does not exist"),
        ("word " * 200, "does not exist"),
        ("a\0b", "does not exist"),
    ],
)
def test_what_is_not_there_is_an_error(folder, word, words):
    with pytest.raises(PolysenseError, match=words):
        parse_source(word)
