"""Manifests and the split, which depends on a record's key and nothing else."""

import json

import pytest

from polysense.data.datasets import Record, is_held_out, read_manifest, split_records
from polysense.data.prompts import samples_for
from polysense.errors import PolysenseError
from polysense.modalities import MODALITIES
from polysense.types import Media

READERS = {name: modality() for name, modality in MODALITIES.items()}
OWN = {modality.caption_prompt for modality in READERS.values()} | {
    "Provide a one-sentence caption for the provided audio and video."
}


def write(folder, lines):
    for line in lines:
        (folder / line["image"]).write_bytes(b"x")
    (folder / "m.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    return read_manifest(folder / "m.jsonl", ["image"])


def lines(count):
    return [
        {"image": f"{i}.png", "caption": f"Thing {i}.", "category": "a/b"} for i in range(count)
    ]


def test_a_records_split_does_not_change_when_others_come(tmp_path):
    first = split_records(write(tmp_path, lines(60)), 0.2)
    more = split_records(write(tmp_path, lines(120)[::-1]), 0.2)
    held = {record.key for record in first.held_out}
    assert held == {r.key for r in more.held_out} & {r.key for r in [*first.train, *first.held_out]}
    assert {r.key for r in more.held_out}.isdisjoint(r.key for r in more.train)


def test_the_share_is_about_what_was_asked():
    held = sum(is_held_out(f"animals/{i}.png", 0.12) for i in range(5000)) / 5000
    assert held == pytest.approx(0.12, abs=0.02)


def test_training_only_lines_are_never_held_out(tmp_path):
    marked = [{**line, "split": "train"} for line in lines(50)]
    with pytest.raises(PolysenseError, match="0 held out"):
        split_records(write(tmp_path, marked), 0.5)


def test_two_lines_with_one_key_are_refused(tmp_path):
    with pytest.raises(PolysenseError, match="unique"):
        write(tmp_path, [*lines(2), lines(1)[0]])


def test_without_drops_records_of_bad_signals(tmp_path):
    split = split_records(write(tmp_path, lines(40)), 0.3)
    bad = {split.train[0].media[0]: "broken", Media("image", "elsewhere"): "gone"}
    assert len(split.without(bad).train) == len(split.train) - 1
    assert split.without(bad).held_out == split.held_out


def test_tasks_make_conversations_and_name_the_known(tmp_path):
    records = write(tmp_path, lines(3))
    plain = samples_for("caption", records, READERS)
    assert [s.messages[1].parts[0].text for s in plain] == ["Thing 0.", "Thing 1.", "Thing 2."]
    asked = samples_for("instruction", records, READERS)
    assert any(s.messages[1].parts[0].text == "A, b." for s in asked)
    assert all(len(s.media) == 1 for s in asked)
    assert asked == samples_for("instruction", records, READERS)
    with pytest.raises(PolysenseError, match="did you mean 'caption'"):
        samples_for("captions", records, READERS)


def test_each_modality_is_asked_about_in_its_own_words():
    names = [("fmri",), ("imu",), ("depth",), ("image", "image"), ("audio", "video")]
    records = [
        Record(f"{held} {i}", tuple(Media(name, "a") for name in held), "Words.")
        for held in names
        for i in range(20)
    ]
    asked: dict[str, set[str]] = {}
    for sample in samples_for("instruction", records, READERS):
        said = sample.messages[0].parts[-1].text
        asked.setdefault(sample.modalities, set()).add(said)
    assert {modality: words & OWN for modality, words in asked.items()} == {
        "fmri": {"Describe the scene based on fMRI data."},
        "imu": {"Describe the motion."},
        "depth": {"Provide a one-sentence caption for the provided depth map."},
        "image": {"Provide a one-sentence caption for the provided image."},
        "audio+video": {"Provide a one-sentence caption for the provided audio and video."},
    }
    assert all(len(words) == 5 for words in asked.values())  # and the four that all share


def test_a_record_knows_its_modalities_and_where_it_is_from(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"x")
    (tmp_path / "a.png").write_bytes(b"x")
    line = {"image": "a.png", "audio": "a.wav", "caption": "A bell.", "source": " simulated "}
    (tmp_path / "m.jsonl").write_text(json.dumps(line))
    (record,) = read_manifest(tmp_path / "m.jsonl", ["image", "audio"])
    assert record.modalities == "audio+image"
    assert record.source == "simulated"
    assert (record.category, record.split) == ("", "")


def test_lines_of_modalities_that_the_run_lacks_are_left_out(tmp_path):
    for name in ("a.wav", "a.png"):
        (tmp_path / name).write_bytes(b"x")
    lines = [
        {"image": "a.png", "caption": "A bell."},
        {"audio": "a.wav", "caption": "A ring."},
        {"image": "a.png", "audio": "a.wav", "caption": "Both.", "key": "both"},
    ]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (record,) = read_manifest(tmp_path / "m.jsonl", ["audio"])
    assert record.caption == "A ring."
    assert len(read_manifest(tmp_path / "m.jsonl", ["audio", "image"])) == 3
    with pytest.raises(PolysenseError, match="no line of imu, fmri alone"):
        read_manifest(tmp_path / "m.jsonl", ["imu", "fmri"])
