"""Pairs: both halves of one side of the split, every combination as frequent, neither enough."""

from collections import Counter

from polysense.recipes.datasets import audio_video as pairs


def sample(modality, label, number, split):
    name = f"{modality}-{label}-{number}"
    return {modality: f"{name}.x", "caption": f"A chair {label}.", "category": label, "key": name,
            "split": split}  # fmt: skip


def test_labels_need_both_modalities(monkeypatch):
    monkeypatch.setattr(pairs, "PAIRS", {"train": 24, "held_out": 8})
    sides = [("train", n) for n in range(3)] + [("held_out", n) for n in range(3, 5)]
    videos = [sample("video", m, n, side) for m in ("rolling", "jumping") for side, n in sides]
    sounds = [sample("audio", s, n, side) for s in ("French", "Greek", "bird") for side, n in sides]
    lines = pairs.pair_lines(videos, sounds)
    assert lines == pairs.pair_lines(videos, sounds)
    assert lines[0]["caption"] == "A chair jumping while someone speaks French."
    for split, times in (("train", 6), ("held_out", 2)):
        counts = Counter(line["category"] for line in lines if line["split"] == split)
        assert set(counts.values()) == {times}
        assert len(counts) == 4  # the bird does not speak
    side = {
        line["video" if "video" in line else "audio"]: line["split"] for line in videos + sounds
    }
    for line in lines:
        assert side[line["video"]] == side[line["audio"]] == line["split"]
    assert len({line["key"] for line in lines}) == len(lines)
    assert len({line["video"] for line in lines}) > 6  # drawn, not always the first
