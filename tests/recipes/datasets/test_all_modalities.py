"""All modalities in one manifest that training reads: made from small stand-ins of the packages."""

import json

import pytest
from PIL import Image

from polysense.data.datasets import read_manifest
from polysense.recipes.datasets import all_modalities as onellm_data
from polysense.recipes.datasets import audio as sounds
from polysense.recipes.datasets import depth_normal as views
from polysense.recipes.datasets import fmri as brain
from polysense.recipes.datasets import image as pictures
from polysense.recipes.datasets import imu as motion
from polysense.recipes.datasets import point as clouds
from polysense.recipes.datasets import video as videos
from polysense.recipes.datasets.image import STAMPS

MODALITIES = ("image", "video", "audio", "point", "depth", "normal", "imu", "fmri")


def written(root, name, lines):
    """Make a modality's folder as placed_lines leaves it, with one empty file a line."""
    folder = root / name
    folder.mkdir()
    text = ""
    for number, line in enumerate(lines):
        (folder / f"{number}.bin").touch()
        line = {name: f"{number}.bin", "key": f"{name}/{number}", "split": "train", **line}
        text += json.dumps(line) + "\n"
    (folder / "lines.jsonl").write_text(text)


@pytest.fixture
def root(tmp_path):
    """A data folder in which every modality is there already; any fetching would fail here."""
    stamp = tmp_path / "packages/tuxpaint-stamps-default" / STAMPS / "animals/birds/hen.png"
    stamp.parent.mkdir(parents=True)
    Image.new("RGB", (8, 8), "red").save(stamp)
    stamp.with_suffix(".txt").write_text("A hen.\n")
    for name in MODALITIES[1:]:
        label = {"video": "rolling", "audio": "French"}.get(name, f"a {name}")
        line = {"caption": f"It is {label}.", "category": label}
        both = [line, {**line, "split": "held_out"}]
        written(tmp_path, name, both)
    return tmp_path


def test_one_manifest_holds_every_modality_and_is_read_back(root):
    records = read_manifest(onellm_data.prepare(root), MODALITIES)
    assert {media.modality for record in records for media in record.media} == set(MODALITIES)
    both = [record for record in records if len(record.media) == 2]
    assert {tuple(media.modality for media in record.media) for record in both} == {
        ("video", "audio")
    }
    assert {record.split for record in both} == {"train", "held_out"}
    assert {record.category for record in both} == {"rolling, French"}
    for record in records:
        for media in record.media:
            assert onellm_data.PROVENANCE[media.modality] in record.source


def test_labels_are_listed_by_modality(root):
    text = onellm_data.prepare(root).read_text()
    labels = onellm_data.labels([json.loads(line) for line in text.splitlines()])
    assert labels[("fmri",)] == ["a fmri"]
    assert labels[("image",)] == ["animals/birds"]
    assert labels[("video", "audio")] == ["rolling, French"]


def test_what_is_real_and_what_is_not_is_said_of_every_modality():
    assert set(onellm_data.PROVENANCE) == set(MODALITIES)
    kinds = {modality: text.split(":")[0] for modality, text in onellm_data.PROVENANCE.items()}
    assert kinds["fmri"] == "simulated"
    assert {kinds[modality] for modality in ("video", "depth", "normal")} == {"rendered"}
    for module in (brain, clouds, motion, pictures, sounds, videos, views):
        assert module.__doc__
        assert module.PROVENANCE.items() <= onellm_data.PROVENANCE.items()
