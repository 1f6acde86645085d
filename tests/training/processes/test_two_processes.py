"""Two processes, of which one never draws an IMU recording and the other never an image.

They do as one does. Peers hang here (a process without a modality has no gradients for it) or feed
dummy media. Samples are dealt in turn, so with two modalities and two processes each gets one of
them in every step. A SIGTERM to torchrun, as a cluster sends it, ends both after the same step.
"""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
from fixtures.tiny_model import two_modalities_config
from safetensors.torch import load_file

from polysense.config import RunConfig
from polysense.data.datasets import read_manifest
from polysense.training.run import train

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]

SCRIPT = """
import sys, torch
sys.path[:0] = [{tests!r}]
from pathlib import Path
from dataclasses import replace
from fixtures.tiny_model import two_modalities_config
from polysense.training import loop
from polysense.training.validation import ValidationLosses
from polysense.training.run import train
torch.set_num_threads(1)
seen, take = set(), loop.TrainingData.batch
def watched(self, picks):
    seen.update(self.samples[pick.index].modalities for pick in picks)
    return take(self, picks)
loop.TrainingData.batch = watched
loop.validation_losses = lambda *_: ValidationLosses(0.0, 0.0)
config = two_modalities_config(Path({parts!r}))
train(replace(config, stages=config.stages[1:]), Path({run!r}))
import os
Path({run!r}, "saw-" + os.environ["RANK"]).write_text(" ".join(sorted(seen)))
"""


def apart(folder: Path) -> Path:
    """Drop the samples that have both modalities: each process is to see one only."""
    manifest = Path(two_modalities_config(folder).data.manifest)
    lines = [line for line in manifest.read_text().splitlines() if "both" not in line]
    manifest.write_text("\n".join(lines) + "\n")
    assert {len(record.media) for record in read_manifest(manifest, ["image", "imu"])} == {1}
    return folder


def test_each_process_has_a_modality_the_other_never_sees(tmp_path):
    parts = apart(tmp_path / "parts")
    code = tmp_path / "script.py"
    run = tmp_path / "two"
    code.write_text(
        SCRIPT.format(tests=str(Path(__file__).parents[2]), parts=str(parts), run=str(run))
    )
    done = subprocess.run([*TORCHRUN, str(code)], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [(run / f"saw-{rank}").read_text() for rank in (0, 1)] == ["image", "imu"]

    config = two_modalities_config(parts, gradient_accumulation_steps=2)
    train(replace(config, stages=config.stages[1:]), tmp_path / "one")
    two, one = (load_file(folder / "model.safetensors") for folder in (run, tmp_path / "one"))
    assert two.keys() == one.keys()
    for name in one:
        assert torch.allclose(one[name], two[name], atol=1e-5), name


LONG = """
import sys, torch
sys.path[:0] = [{tests!r}]
from pathlib import Path
from training.processes.test_two_processes import long_config
from polysense.training.run import train
torch.set_num_threads(1)
train(long_config(Path({parts!r})), Path({run!r}))
"""


STEPS = 100


def long_config(parts: Path) -> RunConfig:
    """One stage of many steps, whose checkpoints nobody but an interruption asks for."""
    config = two_modalities_config(parts)
    stage = replace(config.stages[1], steps=STEPS, checkpoint_every=STEPS, evaluate_every=STEPS)
    return replace(config, stages=(replace(stage, evaluate_forgetting=False),))


def train_steps(run: Path) -> list[int]:
    log = run / "stages/motions/log.jsonl"
    lines = log.read_text().splitlines() if log.is_file() else []
    return [values["step"] for values in map(json.loads, lines) if "loss" in values]


def test_sigterm_to_torchrun_saves_a_checkpoint_from_which_the_run_goes_on(tmp_path):
    parts, run, code = tmp_path / "parts", tmp_path / "run", tmp_path / "script.py"
    two_modalities_config(parts)
    tests = str(Path(__file__).parents[2])
    code.write_text(LONG.format(tests=tests, parts=str(parts), run=str(run)))
    torchrun = subprocess.Popen([*TORCHRUN, str(code)], stderr=subprocess.DEVNULL)
    while not train_steps(run) and torchrun.poll() is None:
        time.sleep(0.01)
    torchrun.send_signal(signal.SIGTERM)
    assert torchrun.wait(timeout=100) != 0
    (checkpoint,) = (run / "stages/motions").glob("step-*")
    done = int(checkpoint.name.removeprefix("step-"))
    assert train_steps(run) == list(range(1, done + 1))
    assert json.loads((checkpoint / "state.json").read_text())["step"] == done
    assert 0 < done < STEPS
    assert not (run / "model.safetensors").exists()
    train(long_config(parts), run)
    assert train_steps(run) == list(range(1, STEPS + 1))
    assert (run / "model.safetensors").exists()
