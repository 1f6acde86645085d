"""A file is the old one or the new one, never half of one, and nothing is left beside it."""

import pytest

from polysense.writing import replacing, write_text


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
