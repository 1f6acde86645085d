"""Checkpoints survive what disks and kills do to them: each harm falls back to what is whole."""

import os
import shutil
import zlib
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from polysense import atomic_write
from polysense.errors import PolysenseError
from polysense.training import checkpoint
from polysense.training.checkpoint import all_checkpoints, load_newest, save_checkpoint
from polysense.training.run_folder import disk_room

NOTES = {"config": "abc"}


def trained(steps):
    """A tiny layer and its optimizer after so many steps."""
    torch.manual_seed(0)
    layer = nn.Linear(3, 2)
    trainable = dict(layer.named_parameters())
    optimizer = torch.optim.AdamW(trainable.values(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        layer(torch.ones(4, 3)).square().sum().backward()
        optimizer.step()
    return trainable, optimizer


def saved(folder, *steps):
    for step in steps:
        save_checkpoint(folder, step, *trained(step), NOTES)
    return folder


def loaded(folder, notes=NOTES):
    trainable, optimizer = trained(0)
    step, damaged = load_newest(folder, trainable, optimizer, notes)
    return step, {path.name: reason for path, reason in damaged.items()}, trainable, optimizer


def same(step, trainable, optimizer):
    expected, other = trained(step)
    for name, value in expected.items():
        assert torch.equal(trainable[name], value)
        for moment, tensor in other.state[value].items():
            assert torch.equal(optimizer.state[trainable[name]][moment], tensor)


def test_what_is_saved_is_loaded_and_the_newest_two_stay(tmp_path):
    (tmp_path / "step-notes").mkdir()  # a user's own
    assert loaded(saved(tmp_path, 1, 2, 3))[:2] == (3, {})
    assert [path.name for path in all_checkpoints(tmp_path)] == ["step-000002", "step-000003"]
    same(3, *loaded(tmp_path)[2:])


def test_steps_beyond_a_million_are_the_newest(tmp_path):
    for step in (999_999, 1_000_000, 10_000_000):
        save_checkpoint(tmp_path, step, *trained(1), NOTES)
    assert loaded(tmp_path)[0] == 10_000_000
    assert [path.name for path in all_checkpoints(tmp_path)] == ["step-1000000", "step-10000000"]


def cut(path):
    path.write_bytes(path.read_bytes()[:-9])


def empty(path):
    path.write_bytes(b"")


def flip(path, place=-12):
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def garbage(path):
    path.write_bytes(b"\xff\xfe[]")


def a_list(path):
    path.write_text("[1, 2]")


@pytest.mark.parametrize("name", ["weights.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("harm", [cut, empty, flip, Path.unlink, garbage, a_list])
def test_a_damaged_newest_one_falls_back_to_the_older(tmp_path, name, harm):
    saved(tmp_path, 4, 6)
    harm(tmp_path / "step-000006" / name)
    step, damaged, trainable, optimizer = loaded(tmp_path)
    assert step == 4
    assert list(damaged) == ["step-000006"]
    same(4, trainable, optimizer)


def test_every_byte_of_the_state_counts(tmp_path):
    saved(tmp_path, 2)
    path = tmp_path / "step-000002/state.json"
    whole = path.read_bytes()
    for place in range(len(whole) - 2):  # the last brace and line end aside: JSON cut there fails
        if chr(whole[place]).isalnum():
            flip(path, place)
            assert loaded(tmp_path)[0] == 0, whole[:place]
            path.write_bytes(whole)


def test_where_all_are_damaged_the_stage_begins_anew(tmp_path):
    saved(tmp_path, 4, 6)
    for folder in all_checkpoints(tmp_path):
        flip(folder / "weights.safetensors")
    step, damaged, trainable, optimizer = loaded(tmp_path)
    assert (step, sorted(damaged)) == (0, ["step-000004", "step-000006"])
    same(0, trainable, optimizer)


def test_another_config_is_no_damage(tmp_path):
    with pytest.raises(PolysenseError, match="another config") as error:
        loaded(saved(tmp_path, 1), {"config": "other"})
    assert "delete" not in str(error.value)


def test_what_a_killed_save_left_is_removed(tmp_path):
    (tmp_path / ".step-000009.writing-1").mkdir(parents=True)
    (tmp_path / ".step-000009.writing-1/weights.safetensors").write_bytes(b"half")
    saved(tmp_path, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000003"]


def test_a_full_disk_is_one_line_and_leaves_the_older_ones(tmp_path, monkeypatch):
    saved(tmp_path, 1, 2)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(PolysenseError, match=r"the disk is full.*step-000001, step-000002"):
        saved(tmp_path, 3)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step-000001", "step-000002"]
    assert loaded(tmp_path)[:2] == (2, {})


def test_room_is_checked_before_a_byte_is_written(tmp_path, monkeypatch):
    saved(tmp_path, 1)
    monkeypatch.setattr(disk_room.shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    monkeypatch.setattr(checkpoint, "save_file", lambda *_: pytest.fail("written"))
    with pytest.raises(PolysenseError, match=r"10 bytes free and 16\.8 MB are needed"):
        saved(tmp_path, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000001"]


def test_parameters_of_another_stage_are_refused(tmp_path):
    saved(tmp_path, 1)
    trainable, optimizer = trained(0)
    with pytest.raises(PolysenseError, match="holds other parameters than this stage trains"):
        load_newest(tmp_path, {"weight": trainable["weight"]}, optimizer, NOTES)


def test_a_checksum_is_of_the_whole_file(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(content := bytes(range(50)))
    monkeypatch.setattr(checkpoint, "CHUNK", 7)
    assert checkpoint.file_checksum(tmp_path / "file") == f"{zlib.crc32(content):08x}"


def test_room_is_for_weights_and_moments(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(checkpoint, "check_room", lambda folder, num_bytes: asked.append(num_bytes))
    saved(tmp_path, 1)
    assert asked == [4 * (3 * (6 + 2) + 2)]  # and each parameter's own count of steps


def test_a_killed_save_leaves_the_older_one_at_every_moment(tmp_path, monkeypatch):
    """The process dies at the n-th call that touches the disk, for every n."""
    saved(tmp_path / "before", 1, 2)
    calls = [(checkpoint, "save_file"), (checkpoint, "write_state"), (atomic_write, "flush")]

    class Killed(BaseException):
        pass

    for moment in range(1, 30):
        folder = tmp_path / str(moment)
        shutil.copytree(tmp_path / "before", folder)
        left = [moment]
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "rmtree", dying(left, shutil.rmtree, Killed))
            patch.setattr(Path, "replace", dying(left, Path.replace, Killed))
            for module, name in calls:
                patch.setattr(module, name, dying(left, getattr(module, name), Killed))
            try:
                saved(folder, 3)
            except Killed:
                finished = False
            else:
                finished = True
        step, damaged, trainable, optimizer = loaded(folder)
        assert step in (2, 3)
        assert not damaged
        same(step, trainable, optimizer)
        if finished:
            break
    assert finished
    assert moment > 7


def dying(left, act, error):
    """`act`, of which the call that brings `left` to 0 and all after it raise instead."""

    def call(*arguments, **options):
        left[0] -= 1
        if left[0] <= 0:
            raise error
        return act(*arguments, **options)

    return call


def test_files_and_folder_reach_the_disk_before_and_after_the_renaming(tmp_path, monkeypatch):
    """Written, flushed, renamed, and the renaming flushed: in this order."""
    events = []
    flush, replace = atomic_write.flush, Path.replace

    def flushed(path):
        events.append(path.name)
        flush(path)

    def renamed(path, target):
        events.append("renamed")
        assert ".writing-" in path.name
        return replace(path, target)

    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(handle))
    monkeypatch.setattr(atomic_write, "flush", flushed)
    monkeypatch.setattr(Path, "replace", renamed)
    saved(tmp_path / "stage", 1)
    files = ["optimizer.safetensors", "state.json", "weights.safetensors"]
    assert sorted(events[:3]) == files
    assert events[3].startswith(".step-000001")
    assert events[4:] == ["renamed", "stage"]
    assert len(synced) == 5
