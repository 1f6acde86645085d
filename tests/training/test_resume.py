"""A run killed with -9 at a random step and given again ends with the unbroken run's weights.

The runs go through polysense.training.loop, polysense.training.checkpoint,
polysense.training.objectives and polysense.data.loading.batches.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from fixtures.tiny_model import tiny_config
from safetensors.torch import load_file

from polysense.errors import PolysenseError
from polysense.training.run import train

SCRIPT = """
import sys, torch
sys.path[:0] = [{tests!r}]
from pathlib import Path
from fixtures.tiny_model import tiny_config
from polysense.training.run import train
torch.set_num_threads(1)
train(tiny_config(Path({parts!r})), Path({run!r}))
"""


def start(parts: Path, run: Path) -> subprocess.Popen:
    code = SCRIPT.format(tests=str(Path(__file__).parents[1]), parts=str(parts), run=str(run))
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)


def steps_done(run: Path) -> int:
    return sum(len(log.read_text().splitlines()) for log in run.glob("stages/*/log.jsonl"))


def test_killed_and_resumed_run_equals_the_unbroken_one(tmp_path):
    parts = tmp_path / "parts"
    tiny_config(parts)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert start(parts, whole).wait(timeout=200) == 0
    total = steps_done(whole)
    kill_at = random.SystemRandom().randrange(2, total - 1)
    process = start(parts, broken)
    while steps_done(broken) < kill_at and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert start(parts, broken).wait(timeout=200) == 0
    expected, found = (load_file(run / "model.safetensors") for run in (whole, broken))
    assert expected.keys() == found.keys()
    different = [name for name in expected if not torch.equal(expected[name], found[name])]
    assert not different, f"killed after {kill_at} of {total} log lines"
    logs = [(run / "stages/alignment/log.jsonl").read_text() for run in (whole, broken)]
    assert all(0 <= json.loads(line).get("data_wait", 0) <= 1 for line in logs[0].splitlines())
    assert '"data_wait"' in logs[0]
    losses = [[line.split('"rate"')[0] for line in log.splitlines()] for log in logs]
    assert losses[0] == losses[1]


def test_termination_saves_a_checkpoint_and_a_second_call_goes_on(tmp_path):
    tiny_config(tmp_path / "parts")
    run = tmp_path / "run"
    process = start(tmp_path / "parts", run)
    while steps_done(run) < 2 and process.poll() is None:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(timeout=100) != 0
    assert list(run.glob("stages/*/step-*/state.json"))
    assert not (run / "model.safetensors").exists()
    assert start(tmp_path / "parts", run).wait(timeout=200) == 0
    assert (run / "model.safetensors").exists()


def test_a_run_folder_of_another_config_is_refused_and_left_alone(tmp_path):
    config = tiny_config(tmp_path / "parts", steps_scale=0.2)
    train(config, tmp_path / "run")
    before = (tmp_path / "run/run.json").read_bytes()
    with pytest.raises(PolysenseError, match="another config"):
        train(tiny_config(tmp_path / "parts", steps_scale=0.4), tmp_path / "run")
    assert (tmp_path / "run/run.json").read_bytes() == before
