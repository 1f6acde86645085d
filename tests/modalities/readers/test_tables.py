"""Arrays and tables are read by suffix; what is too large, damaged or no numbers is refused."""

import os
import zipfile

import numpy as np
import pandas as pd
import pytest

from polysense.errors import PolysenseError
from polysense.modalities.readers.tables import Limits, read_numbers

LIMITS = Limits("imu", max_bytes=100_000, max_values=1000)
VALUES = np.arange(12.0).reshape(4, 3)


def test_every_format_gives_the_same_numbers(tmp_path):
    table = pd.DataFrame(VALUES, columns=["a", "b", "c"])
    np.save(tmp_path / "a.npy", VALUES)
    np.savez(tmp_path / "a.npz", VALUES)
    np.savez_compressed(tmp_path / "two.npz", imu=VALUES, other=1)
    table.to_csv(tmp_path / "a.csv", index=False)
    table.to_csv(tmp_path / "semicolon.csv", index=False, sep=";")
    table.to_csv(tmp_path / "a.tsv", index=False, sep="\t")
    table.to_parquet(tmp_path / "a.parquet")
    (tmp_path / "bare.csv").write_text("0,1,2\n3,4,5\n6,7,8\n9,10,11\n")
    (tmp_path / "notes.csv").write_text("# from a logger\na, b, c\n0,1,2\n3,4,5\n6,7,8\n9,10,11\n")
    for path in sorted(tmp_path.iterdir()):
        assert np.array_equal(np.asarray(read_numbers(path, "it", LIMITS)), VALUES), path


def test_a_line_of_names_and_a_line_of_numbers_are_told_apart(tmp_path):
    (tmp_path / "named.csv").write_text("\ufeffa,b\n1,2\n")
    (tmp_path / "bare.csv").write_text("1,2\n3,nan\n")
    assert list(read_numbers(tmp_path / "named.csv", "it", LIMITS).columns) == ["a", "b"]
    assert list(read_numbers(tmp_path / "bare.csv", "it", LIMITS).columns) == [0, 1]


def refused(path, words, limits=LIMITS):
    with pytest.raises(PolysenseError, match=words) as caught:
        read_numbers(path, f"file {path.name!r}", limits)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"file {path.name!r}")


def test_files_that_are_none(tmp_path):
    refused(tmp_path / "gone.npy", "cannot be read: No such file")
    refused(tmp_path, "is a directory")
    (tmp_path / "empty.csv").touch()
    refused(tmp_path / "empty.csv", "empty")
    (tmp_path / "blank.csv").write_text("\n\n")
    refused(tmp_path / "blank.csv", "holds no lines but empty ones")
    os.mkfifo(tmp_path / "pipe.csv")
    refused(tmp_path / "pipe.csv", "device or pipe")
    (tmp_path / "a.docx").write_text("1")
    refused(tmp_path / "a.docx", "no file of numbers: use .npy")


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".parquet"])
def test_damaged_files(suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"\xff\xfe\x00garbage\x93" * 20)
    refused(path, "damaged or not what its name says")


def test_what_is_no_text_is_not_called_damaged(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\x00\x01garbage" * 20)
    refused(tmp_path / "a.csv", "no text in UTF-8 or UTF-16 with a byte order mark")


def test_a_cut_file(tmp_path):
    np.save(tmp_path / "a.npy", VALUES)
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-8])
    refused(tmp_path / "a.npy", "damaged")


def test_pickles_are_never_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "a.npz", np.array([{}], dtype=object))
    for name in ("a.npy", "a.npz"):
        refused(tmp_path / name, "allow_pickle=False|Python objects")


def test_text_and_complex_numbers_are_none(tmp_path):
    np.save(tmp_path / "text.npy", np.array(["a"]))
    np.save(tmp_path / "complex.npy", np.array([1j]))
    refused(tmp_path / "text.npy", "must hold numbers")
    refused(tmp_path / "complex.npy", "must hold numbers")


def test_limits_come_before_decoding(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "bomb.npz", np.zeros(10_000_000, dtype=np.float64))
    np.save(tmp_path / "long.npy", np.zeros(1001))
    pd.DataFrame({"a": np.zeros(1001)}).to_parquet(tmp_path / "long.parquet")
    pd.DataFrame({"a": ["x" * 20_000]}).to_parquet(tmp_path / "text.parquet")
    (tmp_path / "large.csv").write_bytes(b"1\n" * 60_000)
    for reader in ("read_csv", "read_parquet"):
        monkeypatch.setattr(pd, reader, lambda *_, **__: pytest.fail("decoded"))
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("decoded"))
    refused(tmp_path / "bomb.npz", r"10,000,016 numbers; the limit is imu.max_values=1,000")
    refused(tmp_path / "long.npy", "1,001 numbers")
    refused(tmp_path / "long.parquet", "1,001 numbers")
    refused(tmp_path / "text.parquet", "numbers; the limit")
    refused(tmp_path / "large.csv", "120,000 bytes; the limit is imu.max_bytes=100,000")


def test_an_archive_of_several_arrays_needs_a_name(tmp_path):
    np.savez(tmp_path / "two.npz", left=VALUES, right=VALUES)
    refused(tmp_path / "two.npz", r"2 arrays \(left, right\).* 'imu'")
