"""Sounds: recordings that come with Tux Paint's stamps, of animals and things, and of people.

Speech: the stamps' captions, read aloud in many languages; of six languages up to 100 each. Every
language has one voice or a few, and its own microphone, so what is learnt is partly the voice;
what gives it away most cheaply, loudness and sampling rate, is made equal. A stamp is held out in
all languages at once. Effects: about a hundred stamps have a sound of their own, cut into pieces of
two seconds. Recordings stored twice are taken once, silent ones not at all.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

from polysense.data.duplicates.groups import groups_joined
from polysense.data.duplicates.near import SOUNDS, groups_alike, sound_vector
from polysense.recipes.datasets.image import first_line, stamps_folder
from polysense.recipes.datasets.manifest_lines import (
    Line,
    digest,
    held_out_groups,
    placed_lines,
    split_name,
)

PROVENANCE = {"audio": "real: recorded speech and sound effects of Tux Paint's stamps"}
RATE = 16_000  # Hz
LOUDNESS = 0.08  # root mean square of every file, full scale being 1
SILENCE = 0.002  # files below this root mean square hold nothing
PIECE = 2.0  # seconds of an effect
PIECES = 4  # at most, of one recording
SPOKEN = 100  # recordings of a language
SPOKEN_SECONDS = (0.6, 4.0)

LANGUAGES = {
    "fr": "French",
    "es": "Spanish",
    "ru": "Russian",
    "ro": "Romanian",
    "bg": "Bulgarian",
    "el": "Greek",
}

# Folders of stamps, and what sounds there.
KINDS = {
    "animals/birds": "bird",
    "animals/mammals": "mammal",
    "animals/marsupials": "mammal",
    "animals/insects": "insect",
    "hobbies/music": "musical instrument",
    "household": "household object",
}


def sound_lines(root: Path) -> list[Line]:
    """Return a line for each sound: FLAC, mono, 16 kHz; the language or kind is the label."""

    def write(inside: Path) -> list[Line]:
        stamps = stamps_folder(root)
        return [*write_speech(stamps, inside), *write_effects(stamps, inside)]

    return placed_lines(root, "audio", "Preparing the sounds", write)


def write_speech(stamps: Path, inside: Path) -> list[Line]:
    """Write the first SPOKEN recordings of each language, in the order of their hashes."""
    lines = []
    for code, language in LANGUAGES.items():
        suffix, written, seen = f"_desc_{code}.ogg", 0, set()
        for path in sorted(stamps.rglob(f"*{suffix}"), key=lambda p: digest(key_of(p, stamps))):
            length = soundfile.info(path).duration
            if not SPOKEN_SECONDS[0] <= length <= SPOKEN_SECONDS[1] or is_copy(path, seen):
                continue
            if written == SPOKEN:
                break
            written += 1
            name = f"{language.lower()}-{written:03d}.flac"
            soundfile.write(inside / name, even(*read_mono(path)), RATE)
            stamp = key_of(path, stamps).removesuffix(suffix)
            caption = f"Someone speaking {language}."
            lines.append(line(name, caption, language, key_of(path, stamps), stamp))
    return split_lines(lines, inside, lambda line: "")


def write_effects(stamps: Path, inside: Path) -> list[Line]:
    """Write the pieces of all sound effects whose stamp's caption names a thing."""
    lines, seen = [], set()
    for path in sorted(stamps.rglob("*.ogg")):
        text, key = path.with_suffix(".txt"), key_of(path, stamps)
        kind = next((name for folder, name in KINDS.items() if key.startswith(f"{folder}/")), "")
        thing = first_line(text) if text.is_file() else ""
        sound, rate = read_mono(path) if kind and is_short_name(thing) else (np.zeros(0), RATE)
        if not is_loud(sound) or is_copy(path, seen):
            continue
        caption = f"The sound of {thing[0].lower()}{thing[1:]}"
        step = round(PIECE * rate)
        for number, start in enumerate(range(0, len(sound), step)[:PIECES]):
            piece = sound[start : start + step]
            if is_loud(piece) and (number == 0 or len(piece) > step / 4):
                name = f"{key.removesuffix('.ogg').replace('/', '-')}-{number}.flac"
                soundfile.write(inside / name, even(piece, rate), RATE)
                lines.append(line(name, caption, kind, f"{key}#{number}", key))
    return split_lines(lines, inside, lambda line: line["category"])


def split_lines(lines: list[Line], inside: Path, class_of: Callable[[Line], str]) -> list[Line]:
    """Hold groups of every class out; stamps that share a recording, saved again, are one group."""
    vectors = [sound_vector(*soundfile.read(inside / line["audio"])) for line in lines]
    alike = groups_alike(vectors, SOUNDS)
    names = list(dict.fromkeys(line["source"] for line in lines))
    stamps = [names.index(line["source"]) for line in lines]
    joined = groups_joined(
        [(stamp, stamps[first]) for stamp, first in zip(stamps, alike, strict=True)], len(names)
    )
    groups = [names[joined[stamp]] for stamp in stamps]
    pairs = list(zip(groups, lines, strict=True))
    held_out = held_out_groups((group, class_of(line)) for group, line in pairs)
    return [{**line, "split": split_name(group in held_out)} for group, line in pairs]


def line(name: str, caption: str, category: str, key: str, group: str) -> Line:
    """Return a sound's line, whose source is the group that is held out together."""
    return {
        "audio": name,
        "caption": caption,
        "category": category,
        "key": f"audio/{key}",
        "source": group,
    }


def key_of(path: Path, stamps: Path) -> str:
    """Return a recording's path among the stamps."""
    return path.relative_to(stamps).as_posix()


def is_short_name(caption: str) -> bool:
    """Whether a stamp's caption is a thing in a few words, as "A brown hen."."""
    return caption.startswith(("A ", "An ", "The ")) and len(caption.split()) <= 6


def is_copy(path: Path, seen: set[str]) -> bool:
    """Whether a file of this content was `multimodal_inputs`, where it is noted."""
    content = hashlib.sha256(path.read_bytes()).hexdigest()
    if content in seen:
        return True
    seen.add(content)
    return False


def is_loud(sound: np.ndarray) -> bool:
    """Whether there is anything to hear in samples [n]."""
    return len(sound) > 0 and float(np.sqrt(np.mean(sound**2))) > SILENCE


def read_mono(path: Path) -> tuple[np.ndarray, int]:
    """Return a recording's samples, channels averaged, float64 [n], and its rate in Hz."""
    sound, rate = soundfile.read(path, always_2d=True)
    return sound.mean(axis=1), rate


def even(sound: np.ndarray, rate: int) -> np.ndarray:
    """Bring samples [n] to RATE and to LOUDNESS; peaks that would exceed full scale are cut."""
    common = math.gcd(rate, RATE)
    sound = resample_poly(sound, RATE // common, rate // common)
    return (sound * LOUDNESS / np.sqrt(np.mean(sound**2))).clip(-1, 1)
