"""Room on the disk, by hand: what a run's checkpoints take, and what is said where it lacks."""

from types import SimpleNamespace

import pytest
from torch import nn

from polysense.config import Stage
from polysense.errors import PolysenseError
from polysense.training.run_folder import disk_room
from polysense.training.run_folder.disk_room import (
    SPARE,
    bytes_in,
    bytes_of_run,
    check_room,
    readable_size,
)


def test_room_is_for_the_bytes_and_a_spare(tmp_path, monkeypatch):
    free = SimpleNamespace(free=1000 + SPARE)
    monkeypatch.setattr(disk_room.shutil, "disk_usage", lambda _: free)
    check_room(tmp_path / "new/run", 1000)
    with pytest.raises(PolysenseError, match=r"needed \(for the run\): make room"):
        check_room(tmp_path / "new/run", 1001, "for the run")
    assert not (tmp_path / "new").exists()


def test_a_run_takes_its_checkpoints_one_more_while_it_writes_and_the_model():
    model = nn.ModuleDict({"connector": nn.Linear(10, 3), "llm": nn.Linear(4, 5)})
    stages = (Stage("a", ("connector",)), Stage("b", ("connector", "llm")))  # 33; 33 + 25
    checkpoints = 2 * 33 + 2 * 58 + 58
    # Each parameter with two moments; in the saved model alone and once; 4 bytes a number.
    assert bytes_of_run(model, stages, kept=2) == 4 * (3 * checkpoints + 58)


def test_bytes_are_those_of_all_files_below(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "one").write_bytes(b"123")
    (tmp_path / "a/b/two").write_bytes(b"12345")
    assert bytes_in(tmp_path) == 8
    assert bytes_in(tmp_path / "none") == 0


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (1_550_000, "1.6 MB"),
        (2.5e9, "2.5 GB"),
        (3e15, "3000.0 TB"),
    ],
)
def test_sizes_as_people_say_them(size, said):
    assert readable_size(size) == said
