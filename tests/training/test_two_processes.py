"""Two processes, of which one never draws a motion and the other never a picture, do as one does.

Peers hang here (a process without a sense has no gradients for it) or feed dummy media. Samples are
dealt in turn, so with two senses and two processes each gets one sense in every step.
"""

import subprocess
import sys
from pathlib import Path

import torch
from fixtures.tiny_model import two_modalities_config
from safetensors.torch import load_file

from polysense.data.datasets import read_manifest
from polysense.training.run import train

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
    """Drop the samples that have both senses: each process is to see one only."""
    manifest = Path(two_modalities_config(folder).data.manifest)
    lines = [line for line in manifest.read_text().splitlines() if "both" not in line]
    manifest.write_text("\n".join(lines) + "\n")
    assert {len(record.media) for record in read_manifest(manifest, ["image", "imu"])} == {1}
    return folder


def test_each_process_has_a_sense_the_other_never_sees(tmp_path):
    parts = apart(tmp_path / "parts")
    code = tmp_path / "script.py"
    run = tmp_path / "two"
    code.write_text(
        SCRIPT.format(tests=str(Path(__file__).parents[1]), parts=str(parts), run=str(run))
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run([*command, str(code)], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [(run / f"saw-{rank}").read_text() for rank in (0, 1)] == ["image", "imu"]

    config = two_modalities_config(parts, gradient_accumulation_steps=2)
    from dataclasses import replace

    train(replace(config, stages=config.stages[1:]), tmp_path / "one")
    two, one = (load_file(folder / "model.safetensors") for folder in (run, tmp_path / "one"))
    assert two.keys() == one.keys()
    for name in one:
        assert torch.allclose(one[name], two[name], atol=1e-5), name
