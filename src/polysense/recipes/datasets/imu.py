"""Motion: two seconds of a smartwatch on someone's wrist, accelerometer and gyroscope.

Seven exercises of the shoulder: seglearn's data (Burns et al., arXiv 1802.01489; 140 recordings of
ten people at 50 Hz, BSD licence); two of the people are held out. Four activities: BasicMotions, in
sktime (80 recordings of ten seconds of four students at 10 Hz); recordings are held out, as nothing
says whose they are.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from polysense.errors import PolysenseError
from polysense.recipes.datasets.manifest_lines import (
    Line,
    held_out_groups,
    placed_lines,
    split_name,
)
from polysense.recipes.package_registry import wheel

PROVENANCE = {"imu": "real: smartwatch recordings (seglearn's exercises, BasicMotions' activities)"}
SECONDS = 2.0
WINDOWS = 3  # of one recording
GRAVITY = 9.80665  # m/s^2
HEADER = "t,ax,ay,az,gx,gy,gz"

EXERCISES = {
    "PEN": "swinging an arm like a pendulum",
    "ABD": "raising an arm to the side",
    "FEL": "raising an arm to the front",
    "IR": "rotating an arm inwards",
    "ER": "rotating an arm outwards",
    "TRAP": "pulling the shoulder blades back",
    "ROW": "doing upright rows",
}

ACTIVITIES = {
    "standing": "standing still",
    "walking": "walking",
    "running": "running",
    "badminton": "playing badminton",
}


@dataclass(frozen=True)
class Recording:
    """Readings [T, 6] in m/s^2 and rad/s at `rate` Hz; `group` is held out together."""

    key: str
    group: str
    activity: str
    rate: float
    readings: np.ndarray


def motion_lines(root: Path) -> list[Line]:
    """Return a line for each window: CSV of seconds, m/s^2 and rad/s; the activity is the label."""

    def write(inside: Path) -> list[Line]:
        packages = root / "packages"
        watch = wheel("seglearn", packages) / "seglearn/data/watch_dataset.npy"
        basic = wheel("sktime", packages) / "sktime/datasets/data/BasicMotions"
        return write_windows([*watch_recordings(watch), *basic_recordings(basic)], inside)

    return placed_lines(root, "imu", "Cutting the motion recordings", write)


def write_windows(recordings: list[Recording], inside: Path) -> list[Line]:
    """Write WINDOWS windows of each recording, spread evenly over it."""
    held_out = held_out_groups((r.group, r.group.split("/")[0]) for r in recordings)
    lines = []
    for recording in recordings:
        length = round(SECONDS * recording.rate) + 1  # both ends
        last = len(recording.readings) - length
        for number, start in enumerate(np.linspace(0, last, WINDOWS).round().astype(int)):
            window = recording.readings[start : start + length]
            name = f"{recording.key}-{number}.csv"
            times = np.arange(len(window)) / recording.rate
            table = np.column_stack([times, window])
            np.savetxt(inside / name, table, "%.5g", ",", header=HEADER, comments="")
            lines.append(
                {
                    "imu": name,
                    "caption": f"Someone is {recording.activity}.",
                    "category": recording.activity,
                    "key": f"imu/{name}",
                    "split": split_name(recording.group in held_out),
                    "source": recording.group,
                }
            )
    return lines


def watch_recordings(path: Path) -> Iterator[Recording]:
    """Yield seglearn's recordings; its accelerations are in g."""
    data = load_arrays(path)
    units = np.array([GRAVITY] * 3 + [1.0] * 3)
    rows = zip(data["X"], data["y"], data["subject"], strict=True)
    for number, (readings, exercise, person) in enumerate(rows):
        activity = EXERCISES[data["y_labels"][int(exercise)]]
        group = f"seglearn/person {int(person)}"
        yield Recording(f"watch-{number:03d}", group, activity, 50.0, readings * units)


def basic_recordings(folder: Path) -> Iterator[Recording]:
    """Yield BasicMotions' recordings from its two files in sktime's text format.

    A line is six series of numbers and the class, separated by colons. Accelerations are in m/s^2,
    without gravity.
    """
    number = 0
    for path in sorted(folder.glob("*.ts")):
        for text in path.read_text(encoding="utf-8").splitlines():
            if not text or text[0] in "#@":
                continue
            *series, label = text.split(":")
            readings = np.array([one.split(",") for one in series], dtype=np.float64).T
            name = label.strip().lower()
            key = f"basic-{number:03d}"
            # Of each activity a share is held out: its name leads the group's.
            yield Recording(key, f"{name}/{key}", ACTIVITIES[name], 10.0, readings)
            number += 1


class ArraysOnly(pickle.Unpickler):
    """Unpickles NumPy's arrays and Python's own containers; any other name is refused.

    seglearn's file is a pickle, which may run any program when read: what this one needs is listed.
    """

    known = frozenset(
        (
            "numpy.ndarray",
            "numpy.dtype",
            "numpy.core.multiarray._reconstruct",
            "numpy.core.multiarray.scalar",
            "_codecs.encode",  # how Python 3 writes bytes for Python 2
        )
    )

    def find_class(self, module: str, name: str) -> Any:
        """Return the one of NumPy's names that is known, wherever this NumPy keeps it."""
        if f"{module}.{name}".replace("numpy._core", "numpy.core") not in self.known:
            raise PolysenseError(f"a pickled array file names {module}.{name}: refused")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def load_arrays(path: Path) -> dict[str, Any]:
    """Return the dictionary of arrays stored as one object in an npy file."""
    with path.open("rb") as file:
        if npy.read_magic(file) != (1, 0) or not npy.read_array_header_1_0(file)[2].hasobject:
            raise PolysenseError(f"{path} does not hold an object as npy version 1.0 does")
        return ArraysOnly(file).load().item()
