"""What the modalities' files share: manifest lines, kept beside the signals, and what is held out.

A modality's signals come in groups: the views of a mesh, the windows of a recording, the repeats of
a picture. A group is never split, or a held-out score would measure memory. Which of them are held
out, and every random draw, follows from names by SHA-256: the same on every machine.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from polysense.data.datasets import TEXT_KEYS
from polysense.recipes.package_registry import converted

Line = dict[str, str]
HELD_OUT = 0.15  # share of a class's groups
LINES = "lines.jsonl"


def digest(name: str) -> int:
    """Return 64 bits that depend on `name` alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def generator(name: str) -> np.random.Generator:
    """Return the random generator of the sample called `name`."""
    return np.random.default_rng(digest(name))


def held_out_groups(groups: Iterable[tuple[str, str]]) -> set[str]:
    """Return the groups to hold out, of pairs (group, class).

    Of each class HELD_OUT of its groups, chosen by hash, and at least one where it has two: a class
    of one group is only trained on.
    """
    classes: defaultdict[str, set[str]] = defaultdict(set)
    for group, category in groups:
        classes[category].add(group)
    chosen: set[str] = set()
    for members in classes.values():
        count = max(1, round(HELD_OUT * len(members))) if len(members) > 1 else 0
        chosen.update(sorted(members, key=digest)[:count])
    return chosen


def split_name(held_out: bool) -> str:
    """Return what a manifest's "split" says."""
    return "held_out" if held_out else "train"


def with_article(noun: str) -> str:
    """chair -> "a chair", insect -> "an insect"."""
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"


def sentence(words: str) -> str:
    """a red chair -> "A red chair."; what has capitals inside keeps them."""
    return words[0].upper() + words[1:] + "."


def placed_lines(
    root: Path, name: str, what: str, write: Callable[[Path], list[Line]]
) -> list[Line]:
    """Return the lines of the signals in root/name, written there by `write` if they are not.

    `write` gets an empty folder that becomes root/name once it returns; its lines name files
    relative to that folder, the lines returned here relative to `root`.
    """

    def convert(inside: Path) -> None:
        text = "".join(json.dumps(line) + "\n" for line in write(inside))
        (inside / LINES).write_text(text, encoding="utf-8")

    folder = converted(root / name, what, convert)
    text = (folder / LINES).read_text(encoding="utf-8")
    return [
        {key: value if key in TEXT_KEYS else f"{name}/{value}" for key, value in line.items()}
        for line in map(json.loads, text.splitlines())
    ]
