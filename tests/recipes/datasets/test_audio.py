"""Sounds: captions from the stamps, one loudness and rate, copies and silence left out."""

import numpy as np
import pytest
import soundfile

from polysense.recipes.datasets import audio as sounds
from polysense.recipes.datasets.image import STAMPS


def record(path, pitch, seconds=1.0, loudness=0.3, rate=44_100):
    """Write a tone as Ogg Vorbis."""
    path.parent.mkdir(parents=True, exist_ok=True)
    times = np.arange(round(seconds * rate)) / rate
    soundfile.write(path, loudness * np.sin(2 * np.pi * pitch * times), rate)


@pytest.fixture
def root(tmp_path):
    """Two stamps with sounds of their own, one of them silent, and captions in two languages."""
    stamps = tmp_path / "packages/tuxpaint-stamps-default" / STAMPS
    record(stamps / "animals/birds/hen.ogg", 300, seconds=4.5)
    (stamps / "animals/birds/hen.txt").write_text("A brown hen.\nfr.utf8=Une poule.\n")
    record(stamps / "household/lamp.ogg", 300, loudness=0)
    (stamps / "household/lamp.txt").write_text("A lamp.\n")
    for number in range(4):
        record(stamps / f"animals/a{number}_desc_fr.ogg", 200 + 350 * number, loudness=0.02)
        record(
            stamps / f"animals/a{number}_desc_es.ogg",
            1700 + 400 * number,
            loudness=0.9,
            rate=22_050,
        )
    content = (stamps / "animals/a0_desc_fr.ogg").read_bytes()
    (stamps / "animals/copy_desc_fr.ogg").write_bytes(content)
    record(stamps / "animals/long_desc_fr.ogg", 200, seconds=6)
    return tmp_path


def test_effects_are_named_by_their_stamp_and_cut(root):
    effects = [line for line in sounds.sound_lines(root) if "speaking" not in line["caption"]]
    assert [line["caption"] for line in effects] == ["The sound of a brown hen."] * 2
    assert {line["category"] for line in effects} == {"bird"}
    lengths = [soundfile.info(root / line["audio"]).duration for line in effects]
    assert lengths == pytest.approx([2, 2], abs=0.01)  # the last half second is too short


def test_speech_is_labelled_evened_and_taken_once(root):
    spoken = [line for line in sounds.sound_lines(root) if "speaking" in line["caption"]]
    assert sorted(line["category"] for line in spoken) == ["French"] * 4 + ["Spanish"] * 4
    assert {line["caption"] for line in spoken} == {
        "Someone speaking French.",
        "Someone speaking Spanish.",
    }
    for line in spoken:
        samples, rate = soundfile.read(root / line["audio"])
        assert rate == sounds.RATE
        assert np.sqrt(np.mean(samples**2)) == pytest.approx(sounds.LOUDNESS, rel=0.02)


def test_a_stamp_is_held_out_in_every_language(root):
    sides = {}
    for line in sounds.sound_lines(root):
        sides.setdefault(line["source"], set()).add(line["split"])
    assert all(len(side) == 1 for side in sides.values())
    assert {"held_out"} in sides.values()


def test_at_most_so_many_of_a_language(root, monkeypatch):
    monkeypatch.setattr(sounds, "SPOKEN", 2)
    spoken = [line for line in sounds.sound_lines(root) if line["category"] == "French"]
    assert len(spoken) == 2


def test_a_recording_saved_again_is_on_the_side_of_its_original(tmp_path):
    """Stamps a and b share a French recording, b and c a Spanish one: all three are one group."""
    tones = {"a": (400, 900), "b": (400, 1500), "c": (2200, 1500)}
    tones |= {f"other{n}": (2700 + 300 * n, 3900 + 300 * n) for n in range(4)}
    lines = []
    for stamp, pitches in tones.items():
        for number, pitch in enumerate(pitches):
            name = f"{stamp}-{number}.flac"
            record(tmp_path / name, pitch, loudness=0.2 + 0.1 * len(lines) / 14, rate=16_000)
            lines.append({"audio": name, "source": stamp, "category": f"{number}"})
    for chosen in ("a", "b", "c", "other1"):  # whichever of the group is held out first
        renamed = [
            {**line, "source": "0 first" if line["source"] == chosen else line["source"]}
            for line in lines
        ]
        split = sounds.split_lines(renamed, tmp_path, lambda line: "")
        names = {"a", "b", "c"} - {chosen} | ({"0 first"} if chosen in "abc" else set())
        assert len({line["split"] for line in split if line["source"] in names}) == 1
        assert {line["split"] for line in split} == {"train", "held_out"}
