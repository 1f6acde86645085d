"""Files are measured before they are opened; what never ends is not read."""

import os
import zipfile
from pathlib import Path

import av
import pytest
from nibabel.filebasedimages import ImageFileError
from PIL import Image

from polysense.errors import PolysenseError
from polysense.modalities.sources.file_checks import (
    one_line_errors,
    open_source,
    regular_file,
    source_name,
)


def read(source, max_bytes=100):
    with open_source(source, source_name("sound", source), "audio.max_bytes", max_bytes) as file:
        return file.read()


def test_a_path_a_string_and_bytes_are_the_same(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert read(tmp_path / "a") == read(str(tmp_path / "a")) == read(b"abc") == b"abc"


def test_the_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a").write_bytes(b"abc")
    assert read("~/a") == b"abc"


def test_limits_name_the_source_and_the_option(tmp_path):
    (tmp_path / "a").write_bytes(bytes(101))
    with pytest.raises(PolysenseError, match=r"^sound '.*a' has 101 bytes.*audio\.max_bytes=100$"):
        read(tmp_path / "a")
    with pytest.raises(PolysenseError, match="the sound in memory is empty"):
        read(b"")


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, words in (("pipe", "device or pipe"), (".", "directory")):
        with pytest.raises(PolysenseError, match=words):
            read(tmp_path / name)
    with pytest.raises(PolysenseError, match="device or pipe"):
        read("/dev/zero")


def test_what_parsers_raise_becomes_one_line():
    for error in (KeyError("a"), IndexError("b"), ValueError("c\nd"), zipfile.BadZipFile("e")):
        words = "'f' is damaged or cut short: "
        with pytest.raises(PolysenseError, match=words) as caught, one_line_errors("'f'"):
            raise error
        assert "\n" not in str(caught.value)
    words = "cannot be read: No such file"
    with pytest.raises(PolysenseError, match=words), one_line_errors("'f'"):
        Path("/nowhere/at/all").read_bytes()


def test_errors_are_one_line_with_a_reason():
    for error, words in ((FileNotFoundError(2, "No such file"), "cannot be read: No such file"),
                         (ValueError("a\nb"), "cut short: a b"), (RuntimeError(), "RuntimeError"),
                         (Image.DecompressionBombError("too large"), "cut short: too large$"),
                         (av.error.PatchWelcomeError(7, "Not yet"), "FFmpeg does not decode"),
                         (av.error.InvalidDataError(7, "Bad"), "cut short: Bad$"),
                         (MemoryError(), "more memory than there is"),
                         (ImageFileError("no header"), "cut short: no header$"),
                         (PolysenseError("as it was"), "^as it was$")):  # fmt: skip
        with pytest.raises(PolysenseError, match=words), one_line_errors("a.mp4"):
            raise error


def test_a_reader_may_give_a_verdict_of_its_own():
    words = "^a is no table: column 3$"
    with pytest.raises(PolysenseError, match=words), one_line_errors("a", "no table"):
        raise ValueError("column 3")


def test_a_regular_file_is_measured(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert regular_file(str(tmp_path / "a"), "f", "imu.max_bytes", 3) == tmp_path / "a"
    for name, words in (
        ("a", r"has 3 bytes; the limit is imu\.max_bytes=2$"),
        ("b", "cannot be read: No such file"),
        ("a/b", "cannot be read: Not a directory"),
        (".", "is a directory: name a file"),
    ):
        with pytest.raises(PolysenseError, match=words):
            regular_file(tmp_path / name, "f", "imu.max_bytes", 2)
