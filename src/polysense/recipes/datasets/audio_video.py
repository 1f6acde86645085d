"""Videos with sound: what moves, and what is said meanwhile, drawn independently of each other.

The label is the motion and the language together. The video alone says nothing of the language and
the sound nothing of the motion, so only a model that attends to both can name it.
"""

from __future__ import annotations

import itertools

from polysense.recipes.datasets.audio import LANGUAGES
from polysense.recipes.datasets.manifest_lines import Line, generator

PAIRS = {"train": 360, "held_out": 72}


def pair_lines(videos: list[Line], sounds: list[Line]) -> list[Line]:
    """Return lines that hold a video and a spoken sound each, of files that are there already.

    Both are of the same side of the split; motions and languages are equally frequent together.
    """
    lines = []
    for split, count in PAIRS.items():
        moving = by_label(videos, split)
        spoken = {
            label: group
            for label, group in by_label(sounds, split).items()
            if label in LANGUAGES.values()
        }
        combinations = itertools.cycle(itertools.product(sorted(moving), sorted(spoken)))
        for number, (motion, language) in enumerate(itertools.islice(combinations, count)):
            random = generator(f"pair {split} {number}")
            video, sound = (
                group[int(random.integers(len(group)))]
                for group in (moving[motion], spoken[language])
            )
            lines.append(
                {
                    "video": video["video"],
                    "audio": sound["audio"],
                    "caption": f"{video['caption'][:-1]} while someone speaks {language}.",
                    "category": f"{motion}, {language}",
                    "key": f"pair/{split}-{number:03d}",
                    "split": split,
                    "source": f"{video['key']} with {sound['key']}",
                }
            )
    return lines


def by_label(lines: list[Line], split: str) -> dict[str, list[Line]]:
    """Group the lines of one side of the split by their labels."""
    groups: dict[str, list[Line]] = {}
    for line in lines:
        if line["split"] == split:
            groups.setdefault(line["category"], []).append(line)
    return groups
