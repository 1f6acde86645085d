"""A file is the old one or the new one, never half of one, and nothing is left beside it."""

import pytest

from polysense.writing import new_folder, replacing, write_text


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
