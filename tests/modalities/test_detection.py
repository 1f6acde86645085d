"""Which modality reads a file: by its extension, by its content, or refused; never guessed."""

import tarfile
from dataclasses import dataclass

import nibabel
import numpy as np
import pytest
import soundfile
from fixtures.video_files import write_sound, write_video
from PIL import Image

from polysense.errors import PolysenseError
from polysense.modalities import (
    MODALITIES,
    DepthModality,
    FmriModality,
    ImageModality,
    NormalModality,
    build_modalities,
    with_settings,
)
from polysense.modalities.detection import detect, extensions_of, is_address
from polysense.modalities.sources.source_string import parse_source

RUN = build_modalities(
    {"image": {"size": 8}, "depth": {"size": 8}, "normal": {"size": 8}, "video": {"size": 8},
     "audio": {}, "point": {"points": 8, "groups": 2, "neighbours": 2},
     "imu": {"source_rate": 50.0}, "fmri": {"voxels": 20}},
    {},
)  # fmt: skip
IMU = "time_s,acc_x,acc_y,acc_z,gyro_x,gyro_y,gyro_z"


@dataclass(frozen=True)
class Heart(ImageModality):
    """A modality of a user's own."""

    name = "heart"
    extensions = ("ecg", "edf")
    shared_endings = ("txt",)


class Anything(Heart):
    """One that declares no extensions."""

    name = "anything"
    extensions = shared_endings = ()


def found(word, names=tuple(RUN), own=()):
    """The modality that a run of `names` (and of users' `own`) reads a file as."""
    modalities = {name: RUN[name] for name in names} | {kind.name: kind() for kind in own}
    name, _ = detect(str(word), parse_source(str(word)), modalities, MODALITIES)
    return name


def refusal(*arguments, **options):
    with pytest.raises(PolysenseError) as caught:
        found(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A file of every kind that several modalities could read, with the name of what it is."""
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(noise).save("photo.png")
    Image.fromarray(noise).save("photo.jpg")
    Image.fromarray(noise).save("photo.tif")
    Image.fromarray(noise[..., 0]).save("grey.png")
    Image.fromarray((noise[..., 0] * 20.0 + 500).astype(np.uint16)).save("bed.png")
    Image.fromarray(noise[..., 0] / np.float32(50) + 1).save("bed.tif")
    wall = np.tile(np.uint8([128, 128, 255]), (16, 16, 1))
    Image.fromarray(wall).save("wall.png")
    pages = [Image.new("L", (8, 8), level) for level in (0, 90, 180)]
    pages[0].save("still.gif")
    pages[0].save("moves.gif", save_all=True, append_images=pages[1:])
    bright = np.random.default_rng(1).integers(0, 256, (60, 60, 3), np.uint8)
    Image.fromarray(bright).save("bright.png")  # half of its pixels could be normals
    np.save("bed.npy", np.full((9, 9), 2.5))
    np.save("wall.npy", np.tile([0.0, 0, 1], (9, 9, 1)))
    np.save("brain.npy", np.arange(20.0))
    np.save("walk.npy", np.ones((200, 6)))
    rows = [",".join([f"{i / 100}", *"123456"]) for i in range(300)]
    (tmp_path / "walk.csv").write_text("\n".join([IMU, *rows]))
    (tmp_path / "walk.imu.csv").write_text("\n".join([IMU, *rows]))
    (tmp_path / "brain.csv").write_text(",".join(map(str, range(20))))
    (tmp_path / "named.csv").write_text("x,y,z,intensity\n" + "1,2,3,4\n2,3,5,4\n" * 9)
    (tmp_path / "chair.txt").write_text("0 0 0\n1 0 0\n0 1 0\n0 0 1\n" * 4)
    nibabel.Nifti1Image(np.zeros((2, 2, 2)), np.eye(4)).to_filename("brain.nii.gz")
    soundfile.write("dog.wav", np.full(900, 0.1), 16_000)
    write_sound(tmp_path / "song.mp4", "aac", np.full(9000, 0.1), 16_000)
    write_video(tmp_path / "film.mp4", [50] * 9, sound=1)
    write_video(tmp_path / "mute.mp4", [50] * 9)
    return tmp_path


@pytest.mark.parametrize(
    ("word", "modality"),
    [("photo.png", "image"), ("bright.png", "image"), ("named.csv", "point"),
     ("photo.jpg", "image"), ("photo.tif", "image"), ("bed.png", "depth"),
     ("bed.tif", "depth"), ("still.gif", "image"), ("moves.gif", "video"), ("bed.npy", "depth"),
     ("wall.npy", "normal"), ("brain.npy", "fmri"), ("walk.csv", "imu"), ("brain.csv", "fmri"),
     ("walk.imu.csv", "imu"), ("chair.txt", "point"), ("brain.nii.gz", "fmri"),
     ("dog.wav", "audio"), ("song.mp4", "audio"), ("film.mp4", "video"), ("mute.mp4", "video")],
)  # fmt: skip
def test_content_tells_what_an_extension_leaves_open(folder, word, modality):
    assert found(word) == modality


@pytest.mark.parametrize(
    ("word", "names", "words"),
    [
        ("grey.png", ("image", "depth", "normal"), "depth:grey.png or image:grey.png"),
        ("wall.png", ("image", "normal"), "normal:wall.png or image:wall.png"),
    ],
)
def test_what_content_cannot_tell_is_refused_with_the_words_that_can(folder, word, names, words):
    message = refusal(word, names)
    assert "can be read as" in message
    assert sorted(words.split(" or ")) == sorted(message.partition("which, ")[2].split(" or "))


def test_one_modality_of_the_run_that_reads_it_takes_it(folder):
    assert found("bed.png", ("depth",)) == "depth"
    assert found("bed.png", ("depth", "audio")) == "depth"
    assert found("grey.png", ("image", "audio")) == "image"
    assert found("film.mp4", ("audio", "image")) == "audio"
    assert found("moves.gif", ("image",)) == "image"
    (folder / "walk.csv").write_text("no motion at all")
    assert found("walk.csv", ("image", "imu")) == "imu"


def test_a_modality_that_the_run_lacks_is_named(folder):
    message = refusal("dog.wav", ("image",))
    assert "'dog.wav' is read as audio, and this run has image only" in message
    assert "image:dog.wav" in message
    message = refusal("walk.imu.csv", ("image", "depth", "fmri"))
    assert "names the modality 'imu', and this run has image, depth and fmri only" in message
    assert "is read as point or depth or normal or imu or fmri" in refusal("bed.npy", ("image",))


def test_an_extension_that_nobody_knows(folder):
    (folder / "photo.png").rename("photo.bin")
    (folder / "noise.bin").write_bytes(b"\1\2\3" * 99)
    assert found("photo.bin", ("image",)) == "image"
    assert found("noise.bin", ("image",)) == "image"  # and its reader says what is wrong
    assert found("photo.bin", ("audio", "image")) == "image"
    assert "read by none of audio, image: name the one" in refusal("noise.bin", ("audio", "image"))


def test_a_double_extension_names_the_modality(folder):
    (folder / "grey.png").rename("grey.depth.png")
    assert found("grey.depth.png") == "depth"
    (folder / "photo.png").rename("my.audio.png")
    assert found("my.audio.png", ("image", "audio")) == "image"  # no sound is a .png


def test_a_users_own_modality_claims_extensions(folder):
    for name in ("beat.ecg", "beat.txt", "beat.xyz", "beat.heart.csv", "beat.anything.csv"):
        (folder / name).write_text("1 2 3")
    assert found("beat.ecg", ("image",), [Heart]) == "heart"
    assert found("beat.txt", ("image",), [Heart]) == "heart"
    assert found("beat.xyz", (), [Anything]) == "anything"
    assert found("photo.png", ("image",), [Anything]) == "image"
    assert found("beat.xyz", ("image",), [Anything]) == "anything"
    assert found("beat.anything.csv", ("imu",), [Anything]) == "anything"
    assert "is read as point" in refusal("beat.xyz", ("image",), [Heart])
    assert found("beat.heart.csv", ("imu",), [Heart]) == "imu"  # it reads no tables


def test_files_in_archives_and_groups(folder):
    with tarfile.open("0.tar", "w") as tar:
        for name in ("bed.png", "photo.png", "grey.png"):
            tar.add(name)
    assert found("0.tar/bed.png") == "depth"
    assert found("0.tar/photo.png") == "image"
    assert "image:0.tar/grey.png" in refusal("0.tar/grey.png")
    assert found("imu=walk.npy,rate=50") == "imu"
    assert "has no part called image" in refusal("imu=walk.npy,rate=50", ("image",))
    pair = {"image": ImageModality(8), "depth": DepthModality(8, pair=True)}
    source = parse_source("image=photo.png,depth=bed.png")
    assert detect("image=photo.png,depth=bed.png", source, pair, MODALITIES) == ("depth", True)


def test_it_is_told_only_where_there_was_a_choice(folder):
    for names, tell in ((("image",), False), (("image", "audio"), True)):
        run = {name: RUN[name] for name in names}
        assert detect("photo.png", "photo.png", run, MODALITIES) == ("image", tell)


def test_extensions_and_addresses():
    assert extensions_of("a/b.c/Walk.IMU.csv") == ["imu.csv", "csv"]
    assert extensions_of("a.b/noise") == []
    assert all(map(is_address, ["http://a", "file:///a.png", "data:image/png,abc"]))
    assert not any(map(is_address, ["a.png", "audio:a.mp4", "see http://a", "http://a is", "c:/a"]))


def test_every_package_modality_says_what_it_reads():
    claims = [ending for kind in MODALITIES.values() for ending in kind.extensions]
    assert len(claims) == len(set(claims))  # those that no other one claims
    assert {kind.name for kind in (DepthModality, NormalModality, FmriModality)} <= set(MODALITIES)
    assert all(kind.extensions or kind.shared_endings for kind in MODALITIES.values())


def test_options_are_changed_for_other_files():
    changed = with_settings(RUN, ["fmri.mask=a.nii", "model.modalities.depth.unit=0.01"])
    assert (changed["fmri"].mask, changed["depth"].unit) == ("a.nii", 0.01)
    assert (RUN["fmri"].mask, changed["image"]) == (None, RUN["image"])
    for setting, words in (
        ("fmri.maks=1", "did you mean 'mask'"),
        ("heart.size=1", "this run has image, "),
        ("mask=a.nii", "write it as MODALITY.OPTION=VALUE"),
        ("fmri.mask", "write it as MODALITY.OPTION=VALUE"),
        ("fmri.voxels=9", "changes the signal that the model was made for"),
        ("depth.unit=far", "must be a number"),
    ):
        with pytest.raises(PolysenseError, match=words):
            with_settings(RUN, [setting])
