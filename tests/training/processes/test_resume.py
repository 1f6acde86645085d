"""A run killed with -9 at any change of its folder, and given again, ends with the same weights.

The points of the kill are enumerated: an audit hook sees every file or folder that the run opens to
write, renames or removes, and every step that it logs. One process imports what a run needs and
forks for each of them. The runs go through polysense.training.loop, polysense.training.checkpoint,
polysense.training.objectives and polysense.data.loading.batches.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fixtures.tiny_model import tiny_config

from polysense.errors import PolysenseError
from polysense.training.run import train

START = """
import importlib, os, re, signal, sys
sys.path[:0] = [{tests!r}]
import time
from pathlib import Path
import torch
from fixtures.tiny_model import tiny_config
from safetensors.torch import load_file
from polysense.training.progress.metric_logger import MetricLogger
from polysense.training.run import train
torch.set_num_threads(1)
parts = Path({parts!r})
"""

RUN = (
    START
    + """
train(tiny_config(parts), Path({run!r}))
"""
)

# Every change of a small run, in order; the quick test takes every eighth of them.
KILLS = (
    START
    + """
CHANGES = {{"os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree", "os.truncate"}}
config = tiny_config(parts, steps_scale=0.4)


def kind_of(event, path, folder):
    inside = os.path.relpath(path, folder) if isinstance(path, str) and path else ".."
    if inside.startswith("..") or "tensorboard" in inside:
        return None
    return event + " " + re.sub(r"[0-9a-f]{{6,}}|[0-9]+|(?<=writing-)[^/]*", "N", inside)


def trained(folder, see):
    \"\"\"Fork a process that trains, and calls see(kind) before every change of the folder.\"\"\"
    process = os.fork()
    if process:
        return os.waitpid(process, 0)[1]
    def hook(event, arguments):
        writes = event == "open" and arguments[2] and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event in CHANGES or writes:
            path = arguments[0] if isinstance(arguments[0], int) else os.fspath(arguments[0])
            if kind := kind_of(event, path, folder):
                see(kind)
    sys.addaudithook(hook)
    step = MetricLogger.step
    def logged(self, *values):
        see("step")
        step(self, *values)
    MetricLogger.step = logged
    torch.set_num_threads(1)
    train(config, Path(folder))
    Path(base, "modules.txt").write_text(" ".join(sys.modules))
    os._exit(0)


def killer(number):
    seen = iter(range(10**6))
    def see(kind):
        if next(seen) == number:
            os.kill(os.getpid(), signal.SIGKILL)
    return see


def files(folder):
    return {{str(p.relative_to(folder)) for p in Path(folder).rglob("*") if p.is_file()
             and "tensorboard" not in p.parts}}


base = {run!r}
whole = base + "/whole"
kinds = base + "/kinds.txt"
with open(kinds, "w") as out:
    assert trained(whole, lambda kind: print(kind, file=out, flush=True)) == 0
for name in Path(base, "modules.txt").read_text().split():  # once, and not in every process
    if name.startswith(("transformers.models", "tensorboard", "polysense", "peft", "torch")):
        importlib.import_module(name)
events = open(kinds).read().splitlines()
points = range(0 if {every} else 2, len(events), 1 if {every} else 8)
weights = load_file(Path(whole, "model.safetensors"))  # the file's header has no fixed order
began = time.perf_counter()
for number in points:
    folder = base + "/" + str(number)
    assert trained(folder, killer(number)) == signal.SIGKILL, events[number]
    assert trained(folder, lambda kind: None) == 0, events[number]
    where = "killed before " + events[number]
    print(f"{{time.perf_counter() - began:.1f}} s", where, flush=True)
    found = load_file(Path(folder, "model.safetensors"))
    assert found.keys() == weights.keys(), where
    assert all(torch.equal(found[name], weights[name]) for name in weights), where
    assert files(folder) == files(whole), (where, files(folder) ^ files(whole))
print(len(points), len(events))
"""
)


def script(text: str, parts: Path, run: Path, every: bool = False) -> list[str]:
    tests = str(Path(__file__).parents[2])
    code = text.format(tests=tests, parts=str(parts), run=str(run), every=every)
    return [sys.executable, "-c", code]


def start(parts: Path, run: Path) -> subprocess.Popen:
    return subprocess.Popen(script(RUN, parts, run), stderr=subprocess.DEVNULL)


def steps_done(run: Path) -> int:
    return sum(len(log.read_text().splitlines()) for log in run.glob("stages/*/log.jsonl"))


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_run_killed_at_any_change_of_its_folder_equals_the_unbroken_one(tmp_path, every):
    parts = tmp_path / "parts"
    tiny_config(parts)
    command = script(KILLS, parts, tmp_path, every)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    points, events = map(int, done.stdout.split()[-2:])
    assert events >= 40
    assert points == (events if every else len(range(2, events, 8)))
    log = (tmp_path / "whole/stages/alignment/log.jsonl").read_text().splitlines()
    assert any("data_wait" in line for line in log)
    assert all(0 <= json.loads(line).get("data_wait", 0) <= 1 for line in log)


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
