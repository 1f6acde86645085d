"""The index finds every file of an archive, is kept, never stale; damage is never passed over."""

import gzip
import io
import json
import os
import tarfile

import pytest

from polysense.errors import PolysenseError
from polysense.modalities.sources import tar_index as archives
from polysense.modalities.sources.tar_index import read_members

FILES = {"a.txt": b"A cat.", "deep/b.bin": bytes(range(256)) * 9, "deep/empty.txt": b""}


def pack(path, files=FILES, form=tarfile.PAX_FORMAT):
    with tarfile.open(path, "w", format=form) as tar:
        for name, data in files.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return path


def content(members):
    return {name: b"".join(member.chunks()) for name, member in members.items()}


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_members_hold_what_was_packed(tmp_path, form):
    assert content(read_members(pack(tmp_path / "0.tar", form=form))) == FILES


def test_long_and_foreign_names_are_kept(tmp_path):
    files = {f"{'x' * 150}/{'y' * 90}.txt": b"1", "käse.txt": b"2"}
    assert content(read_members(pack(tmp_path / "0.tar", files))) == files


def test_the_index_is_kept_and_used(tmp_path, monkeypatch):
    archive = pack(tmp_path / "0.tar")
    first = read_members(archive)
    archives.indexed.cache_clear()
    monkeypatch.setattr(archives, "walk", lambda *_: pytest.fail("walked again"))
    assert read_members(archive) == first
    assert [path.name for path in tmp_path.iterdir() if path != archive] == ["0.tar.index.json"]


def test_a_changed_archive_is_walked_anew(tmp_path):
    archive = pack(tmp_path / "0.tar")
    read_members(archive)
    other = {name: data[::-1] for name, data in reversed(FILES.items())}
    pack(archive, other)  # of the same size
    os.utime(archive, ns=(1, 1))
    assert content(read_members(archive)) == other


@pytest.mark.parametrize(
    "kept",
    [
        "{", "[]", '{"version": 0}',
        lambda stamp: {"version": 1, "archive": stamp, "members": [["a.txt", 0, 10**9]]},
        lambda stamp: {"version": 1, "archive": stamp, "members": [["a.txt", -5, 5]]},
        lambda stamp: {"version": 1, "archive": stamp, "members": [["a.txt"]]},
    ],
)  # fmt: skip
def test_a_damaged_index_is_not_believed(tmp_path, kept):
    archive = pack(tmp_path / "0.tar")
    state = archive.stat()
    text = kept if isinstance(kept, str) else json.dumps(kept([state.st_size, state.st_mtime_ns]))
    (tmp_path / "0.tar.index.json").write_text(text)
    assert content(read_members(archive)) == FILES


def test_where_nothing_may_be_written_there_is_no_index(tmp_path, monkeypatch):
    archive = pack(tmp_path / "0.tar")

    def refuse(*_, **__):
        raise PermissionError(13, "read-only")

    monkeypatch.setattr(archives.Path, "write_text", refuse)
    assert content(read_members(archive)) == FILES
    assert list(tmp_path.iterdir()) == [archive]


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.9])
def test_an_archive_cut_anywhere_is_refused(tmp_path, share):
    archive = pack(tmp_path / "0.tar", {f"{i}.txt": b"some text" * 200 for i in range(20)})
    data = archive.read_bytes().rstrip(b"\0")
    for cut in (int(len(data) * share), int(len(data) * share) // 512 * 512):
        archive.write_bytes(data[:cut])
        with pytest.raises(PolysenseError, match=r"0\.tar' is (damaged|cut short)"):
            read_members(archive)
    assert not (tmp_path / "0.tar.index.json").exists()


def test_other_broken_archives_are_refused_in_one_line(tmp_path):
    archive = pack(tmp_path / "0.tar")
    whole = archive.read_bytes()
    cases = {
        "compressed \\(gzip\\)": gzip.compress(whole),
        "damaged or no tar": b"I am text. " * 100,
        "damaged": whole[:512] + b"garbage!" * 300,
        "goes on after its end": whole + whole,
    }
    for words, data in cases.items():
        archive.write_bytes(data)
        with pytest.raises(PolysenseError, match=words) as got:
            read_members(archive)
        assert "\n" not in str(got.value)
    with pytest.raises(PolysenseError, match="No such file"):
        read_members(tmp_path / "none.tar")


def test_links_and_doubles_are_refused(tmp_path):
    with tarfile.open(tmp_path / "l.tar", "w") as tar:
        link = tarfile.TarInfo("passwords.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(PolysenseError, match=r"passwords\.txt' is a link"):
        read_members(tmp_path / "l.tar")
    with tarfile.open(tmp_path / "d.tar", "w") as tar:
        for _ in range(2):
            tar.addfile(tarfile.TarInfo("a.txt"), io.BytesIO())
    with pytest.raises(PolysenseError, match=r"'a\.txt' twice"):
        read_members(tmp_path / "d.tar")
