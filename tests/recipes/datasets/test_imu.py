"""Motion: both sources become windows in SI units; a pickle that names anything else is refused."""

import pickle
import subprocess

import numpy as np
import pandas as pd
import pytest

from polysense.errors import PolysenseError
from polysense.recipes.datasets import imu as motion


def save_watch(path, recordings=20):
    """Write a file like seglearn's: recordings of ten people, at rest on edge (1 g along y)."""
    path.parent.mkdir(parents=True)
    readings = [np.tile([0.0, 1.0, 0, 0.5, 0, 0], (200 + n, 1)) for n in range(recordings)]
    data = {
        "X": readings,
        "y": np.arange(recordings) % 7,
        "subject": np.arange(recordings) % 10 + 1,
        "y_labels": list(motion.EXERCISES),
    }
    np.save(path, np.array(data, dtype=object), allow_pickle=True)


def save_basic(folder):
    """Write files like BasicMotions': 100 readings at 10 Hz, counted up along the first axis."""
    folder.mkdir(parents=True)
    for part in ("TRAIN", "TEST"):
        lines = ["#about", "@problemName BasicMotions", "@data"]
        for label in ("Standing", "Running", "Walking", "Badminton"):
            for _ in range(3):
                series = [",".join(str(n if axis == 0 else 0.25) for n in range(100))
                          for axis in range(6)]  # fmt: skip
                lines.append(":".join([*series, label]))
        (folder / f"BasicMotions_{part}.ts").write_text("\n".join(lines))


@pytest.fixture
def lines(tmp_path):
    save_watch(tmp_path / "packages/seglearn/seglearn/data/watch_dataset.npy")
    save_basic(tmp_path / "packages/sktime/sktime/datasets/data/BasicMotions")
    return motion.motion_lines(tmp_path)


def test_windows_are_two_seconds_in_si_units(lines, tmp_path):
    assert len(lines) == (20 + 24) * motion.WINDOWS
    watch = pd.read_csv(tmp_path / next(x["imu"] for x in lines if "watch" in x["imu"]))
    assert list(watch.columns) == ["t", "ax", "ay", "az", "gx", "gy", "gz"]
    assert watch["t"].iloc[[0, -1]].tolist() == [0, 2]
    assert len(watch) == 101
    assert watch["ay"].mean() == pytest.approx(9.80665, abs=1e-3)
    assert watch["gx"].mean() == 0.5
    basic = [pd.read_csv(tmp_path / f"imu/basic-000-{n}.csv") for n in range(3)]
    assert [table["ax"].iloc[0] for table in basic] == [0, 40, 79]
    assert [table["ax"].iloc[-1] for table in basic] == [20, 60, 99]


def test_people_and_recordings_are_held_out_whole(lines):
    sides = {}
    for line in lines:
        sides.setdefault(line["source"], set()).add(line["split"])
    assert all(len(side) == 1 for side in sides.values())
    out = [group for group, side in sides.items() if side == {"held_out"}]
    assert sum(group.startswith("seglearn/") for group in out) == 2
    assert sorted(group.split("/")[0] for group in out if "basic" in group) == sorted(
        motion.ACTIVITIES
    )
    assert {line["caption"] for line in lines} >= {"Someone is walking.", "Someone is running."}


def test_a_pickle_that_runs_something_is_refused(tmp_path):
    class Attack:
        def __reduce__(self):
            return subprocess.check_output, (["touch", str(tmp_path / "ran")],)

    path = tmp_path / "bad.npy"
    np.save(path, np.array({"X": Attack()}, dtype=object), allow_pickle=True)
    with pytest.raises(PolysenseError, match=r"names subprocess\.check_output: refused"):
        motion.load_arrays(path)
    assert not (tmp_path / "ran").exists()
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(PolysenseError, match="does not hold an object"):
        motion.load_arrays(path)


def test_older_names_of_numpy_are_known(tmp_path):
    """seglearn's file was written by NumPy 1, which kept its functions in numpy.core."""
    path = tmp_path / "old.npy"
    np.save(path, np.array({"X": np.arange(3.0)}, dtype=object), allow_pickle=True)
    content = path.read_bytes()
    header = content[: content.index(b"\n") + 1]
    old = pickle.dumps(np.array({"X": np.arange(3.0)}, dtype=object), protocol=2)
    path.write_bytes(header + old.replace(b"numpy._core.", b"numpy.core."))
    assert motion.load_arrays(path)["X"].tolist() == [0, 1, 2]
