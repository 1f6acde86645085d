"""A range of bytes is read as its own file would be, by every modality; errors name the archive."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from polysense.errors import PolysenseError
from polysense.modalities import DepthModality, ImageModality, ImuModality, Modality, PointModality
from polysense.modalities.read_signal import read_signal
from polysense.modalities.sources.file_parts import FileGroup, FileSlice, content_digest


def sliced(path, name=None, before=b"others' bytes"):
    """Put a file's bytes between others in an archive beside it; return where they lie."""
    data = path.read_bytes()
    archive = path.with_suffix(".tar")
    archive.write_bytes(before + data + b"more of them")
    return FileSlice(str(archive), name or path.name, len(before), len(data))


@dataclass(frozen=True)
class Lines(Modality):
    """A user's own modality, which knows of paths only."""

    name = "lines"

    def read(self, source):
        try:
            return torch.from_numpy(np.loadtxt(source, dtype=np.float32))
        except ValueError as error:
            raise PolysenseError(f"{source!r} is no list of numbers") from error

    def tokenizer(self, width):
        return nn.Linear(3, width)

    def example(self):
        return torch.zeros(3)


def files(folder):
    """One real file of several modalities: (modality, path)."""
    Image.effect_noise((20, 14), 80).convert("RGB").save(folder / "a.png")
    np.savetxt(folder / "b.txt", [1.5, 2, 3])
    np.savetxt(folder / "c.xyz", np.random.default_rng(0).normal(size=(40, 3)))
    table = np.c_[np.arange(40) / 50, np.random.default_rng(1).normal(size=(40, 6))]
    names = "time_s,acc_x,acc_y,acc_z,gyro_x,gyro_y,gyro_z"
    np.savetxt(folder / "d.imu.csv", table, delimiter=",", header=names, comments="")
    return [
        (ImageModality(size=16), folder / "a.png"),
        (Lines(), folder / "b.txt"),
        (PointModality(points=16, groups=4, neighbours=4), folder / "c.xyz"),
        (ImuModality(samples=30, rate=50.0), folder / "d.imu.csv"),
    ]


def test_every_modality_reads_a_range_of_bytes_as_its_file(tmp_path):
    for modality, path in files(tmp_path):
        assert torch.equal(read_signal(modality, sliced(path)), read_signal(modality, str(path)))
        assert content_digest(sliced(path)).digest() == content_digest(str(path)).digest()


def test_several_files_are_one_signal(tmp_path):
    picture, depth = tmp_path / "p.png", tmp_path / "d.npy"
    Image.new("RGB", (8, 8), (200, 0, 0)).save(picture)
    np.save(depth, np.full((8, 8), 2.5, dtype=np.float32))
    modality = DepthModality(size=8, pair=True)
    plain = FileGroup((("image", str(picture)), ("depth", str(depth))))
    packed = FileGroup((("image", sliced(picture)), ("depth", sliced(depth))))
    assert read_signal(modality, plain).shape == (2, 3, 8, 8)
    assert torch.equal(read_signal(modality, plain), read_signal(modality, packed))
    assert len({plain, FileGroup(plain.parts), packed}) == 2
    assert dict(plain) == {"image": str(picture), "depth": str(depth)}
    before = content_digest(plain).digest()
    assert before == content_digest(packed).digest()
    np.save(depth, np.full((8, 8), 3.5, dtype=np.float32))
    assert content_digest(plain).digest() != before


def test_a_number_beside_a_file_is_part_of_the_signal(tmp_path):
    np.save(tmp_path / "walk.npy", np.random.default_rng(2).normal(size=(60, 6)))
    modality = ImuModality(samples=30, rate=50.0)
    slow, fast = (
        FileGroup((("imu", str(tmp_path / "walk.npy")), ("rate", rate))) for rate in (50, 100)
    )
    assert not torch.equal(read_signal(modality, slow), read_signal(modality, fast))
    assert content_digest(slow).digest() != content_digest(fast).digest()


def test_errors_name_the_archive_and_the_limit_comes_first(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no picture at all")
    bad = sliced(tmp_path / "bad.png", "animals/bad.png")
    with pytest.raises(PolysenseError, match=r"bad\.tar/animals/bad\.png' is not a picture") as got:
        read_signal(ImageModality(), bad)
    assert "polysense-" not in str(got.value)
    with pytest.raises(PolysenseError, match=r"17 bytes; the limit is image\.max_bytes=9"):
        read_signal(ImageModality(max_bytes=9), bad)
    with pytest.raises(PolysenseError, match="is empty"):
        read_signal(ImageModality(), FileSlice(bad.archive, "none.png", 0, 0))
    with pytest.raises(PolysenseError, match=r"lacks 88 bytes: its archive was cut short"):
        read_signal(ImageModality(), FileSlice(bad.archive, "x.png", 0, 130))
    Path(bad.archive).unlink()
    for read in (lambda: read_signal(ImageModality(), bad), lambda: content_digest(bad)):
        with pytest.raises(PolysenseError, match="cannot be read"):
            read()


def test_sources_become_text_that_says_what_they_are(tmp_path):
    group = FileGroup((("imu", "walk.npy"), ("rate", 50)))
    assert str(group) == "imu=walk.npy,rate=50"
    assert str(FileSlice("a/0.tar", "b/cat.png", 512, 9)) == "a/0.tar/b/cat.png"
    assert FileSlice("0.tar", "b.c/brain.nii.gz", 0, 1).ending == "nii.gz"
    assert json.loads(json.dumps(dict(group))) == {"imu": "walk.npy", "rate": 50}
