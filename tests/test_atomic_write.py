"""A file is the old one or the new one, never half of one, and nothing is left beside it."""

import errno
import os
import shutil
from pathlib import Path

import pytest
from safetensors import SafetensorError

from polysense.atomic_write import (
    new_folder,
    remove_unfinished,
    replacing,
    replacing_folder,
    write_text,
)
from polysense.errors import PolysenseError


def test_text_takes_the_place_of_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    for text in ("short\n", "longer – with a dash\n", ""):
        write_text(path, text)
        assert path.read_bytes() == text.encode("utf-8")
        assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with replacing(path) as scratch:
        scratch.write_bytes(b"half")
        assert path.read_bytes() == b"old"
        assert scratch.parent == path.parent  # a rename between disks would not be atomic
    assert path.read_bytes() == b"half"


def test_a_failure_leaves_everything_as_it_was(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as scratch:  # noqa: PT012
        scratch.write_bytes(b"half")
        raise KeyboardInterrupt
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "half \ud800")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_writes_nothing_or_has_no_place_fails(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a.bin"):
        pass
    with pytest.raises(FileNotFoundError):
        write_text(tmp_path / "nowhere" / "a.txt", "text")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_there_whole_or_not_at_all(tmp_path):
    def broken_off():
        with new_folder(tmp_path / "a/b") as inside:
            (inside / "half").write_text("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        broken_off()
    assert not list((tmp_path / "a").iterdir())
    with new_folder(tmp_path / "a/b") as inside:
        (inside / "file").write_text("whole")
        assert not (tmp_path / "a/b").exists()
    assert (tmp_path / "a/b/file").read_text() == "whole"


def test_of_two_processes_that_make_a_folder_the_first_ones_stays(tmp_path):
    with new_folder(tmp_path / "made") as slower:
        (slower / "file").write_text("second")
        with new_folder(tmp_path / "made") as faster:
            (faster / "file").write_text("first")
    assert (tmp_path / "made/file").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def fill(folder, **files):
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_folder_takes_the_place_of_what_was_there(tmp_path):
    place = tmp_path / "step-1"
    for files in ({"a": "1"}, {"b": "2", "c": "3"}, {}):
        with replacing_folder(place) as scratch:
            assert scratch.is_dir()
            assert scratch.parent == tmp_path
            fill(scratch, **files)
        assert contents(place) == files
        assert list(tmp_path.iterdir()) == [place]


def test_the_old_folder_stands_until_the_new_one_is_whole(tmp_path):
    place = tmp_path / "step-1"
    fill(place, a="old")
    with pytest.raises(KeyboardInterrupt), replacing_folder(place) as scratch:  # noqa: PT012
        fill(scratch, a="half")
        assert contents(place) == {"a": "old"}
        raise KeyboardInterrupt
    assert contents(place) == {"a": "old"}
    assert list(tmp_path.iterdir()) == [place]


def test_a_folder_is_put_back_where_the_new_one_cannot_be_renamed(tmp_path, monkeypatch):
    place = tmp_path / "step-1"
    fill(place, a="old")
    rename = Path.replace

    def refuse(self, target):
        if self.name.endswith(str(os.getpid())):
            raise OSError(errno.ENOSPC, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(PolysenseError, match="full"), replacing_folder(place) as scratch:
        fill(scratch, a="new")
    assert contents(place) == {"a": "old"}
    assert list(tmp_path.iterdir()) == [place]


def test_what_is_renamed_is_on_the_disk_before_and_the_rename_after(tmp_path, monkeypatch):
    events = []
    rename, sync = Path.replace, os.fsync

    def note_rename(self, target):
        events.append(("rename", Path(target).name))
        return rename(self, target)

    def note_sync(handle):
        events.append(("sync", Path(f"/proc/self/fd/{handle}").readlink().name))
        sync(handle)

    monkeypatch.setattr(Path, "replace", note_rename)
    monkeypatch.setattr(os, "fsync", note_sync)
    write_text(tmp_path / "a", "text")
    scratch = f".a.writing-{os.getpid()}"
    assert events == [("sync", scratch), ("rename", "a"), ("sync", tmp_path.name)]
    events.clear()
    with replacing_folder(tmp_path / "b") as folder:
        fill(folder, one="1", two="2")
    assert sorted(events[:3]) == [("sync", f".b.writing-{os.getpid()}"), ("sync", "one"),
                                  ("sync", "two")]  # fmt: skip
    assert events[3:] == [("rename", "b"), ("sync", tmp_path.name)]


@pytest.mark.parametrize(
    "full",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        SafetensorError("Error while serializing: I/O error: No space (os error 28)"),
        shutil.Error([("a", "b", "[Errno 28] No space left on device: 'b'")]),
    ],
)
def test_a_disk_that_is_full_is_one_line_and_the_old_stays(tmp_path, full):
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    wanted = r"a\.txt' cannot be written: the disk is full; what .* unchanged"
    with pytest.raises(PolysenseError, match=wanted), replacing(path) as scratch:  # noqa: PT012
        scratch.write_bytes(b"half")
        raise full
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_elsewhere_that_may_not_be_read_is_not_called_unwritable(tmp_path):
    other = PermissionError(errno.EACCES, "Permission denied", "/elsewhere/weights")
    with pytest.raises(PermissionError), replacing(tmp_path / "a"):
        raise other


@pytest.mark.parametrize("kind", [replacing, replacing_folder])
def test_a_place_below_a_file_is_one_line(tmp_path, kind):
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" / "a"
    with pytest.raises(PolysenseError, match="parents is a file"), kind(place) as scratch:
        scratch.write_text("text")


def test_an_error_of_another_kind_stays_as_it_is(tmp_path):
    with pytest.raises(SafetensorError, match="not the disk"), replacing(tmp_path / "a"):
        raise SafetensorError("not the disk")


def test_what_a_killed_process_left_is_removed_and_what_it_put_aside_comes_back(tmp_path):
    (tmp_path / "keep").write_text("")
    (tmp_path / ".a.txt.writing-1").write_text("half")
    fill(tmp_path / ".step-1.writing-2", a="half")
    fill(tmp_path / ".step-2.writing-old", a="whole")
    fill(tmp_path / "step-3", a="new")
    fill(tmp_path / ".step-3.writing-old", a="old")
    remove_unfinished(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"keep", "step-2", "step-3"}
    assert contents(tmp_path / "step-2") == {"a": "whole"}
    assert contents(tmp_path / "step-3") == {"a": "new"}
