"""Two processes compare their samples with each other's, and learn what one process would.

Under gloo: gradients of a gathered tensor come back from both, and a whole stage of BLIP-2's
objectives gives the weights of one process (the hardest negative taken, since what is drawn depends
on the order of the samples).
"""

import subprocess
import sys
from pathlib import Path

import torch
from fixtures.tiny_qformer import enlarge, paired_config
from safetensors.torch import load_file

from polysense.training import run
from polysense.training.objectives.all_gather import (
    all_gather_rows,
    all_gather_with_grad,
    first_row,
)

GATHER = """
import torch
from torch import distributed
from polysense.training.objectives.all_gather import (
    all_gather_rows, all_gather_with_grad, first_row,
)
distributed.init_process_group("gloo")
rank = distributed.get_rank()
own = torch.tensor([[1.0, 2.0], [3.0, 4.0]]) + 10 * rank
own.requires_grad_(True)
whole = all_gather_with_grad(own)
assert whole[:, 0].tolist() == [1, 3, 11, 13], whole
weights = torch.arange(1.0, 5.0)[:, None] * (1 + 9 * rank)  # each process has a loss of its own
(whole * weights).sum().backward()
mine = torch.arange(1.0, 5.0)[2 * rank : 2 * rank + 2, None].expand(2, 2) * 11
assert torch.equal(own.grad, mine), (own.grad, mine)
assert first_row(2) == 2 * rank
rows = all_gather_rows(torch.ones(2, 3 + rank, dtype=torch.long))
assert rows.tolist() == [[1, 1, 1, 0]] * 2 + [[1] * 4] * 2, rows
with torch.no_grad():
    assert all_gather_with_grad(own) is own and first_row(2) == 0
distributed.destroy_process_group()
"""
TRAIN = """
import sys, torch
sys.path[:0] = [{tests!r}]
from pathlib import Path
from fixtures.tiny_qformer import enlarge, paired_config
from polysense.training import run
run.init_qformer = enlarge
torch.set_num_threads(1)
torch.multinomial = lambda weights, _: weights.argmax(1, keepdim=True)
run.train(paired_config(Path({parts!r}), steps=4), Path({run!r}))
"""


def two_processes(tmp_path, code):
    script = tmp_path / "script.py"
    script.write_text(code)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run([*command, str(script)], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]


def test_gradients_come_back_from_both(tmp_path):
    two_processes(tmp_path, GATHER)


def test_one_process_compares_among_its_own():
    own = torch.randn(3, 2, requires_grad=True)
    assert all_gather_with_grad(own) is own
    assert all_gather_rows(own) is own
    assert first_row(3) == 0


def test_two_processes_learn_what_one_does(tmp_path, monkeypatch):
    parts = tmp_path / "parts"
    paired_config(parts)
    tests = str(Path(__file__).parents[2])
    two_processes(tmp_path, TRAIN.format(tests=tests, parts=str(parts), run=str(tmp_path / "two")))
    monkeypatch.setattr(run, "init_qformer", enlarge)
    monkeypatch.setattr(torch, "multinomial", lambda weights, _: weights.argmax(1, keepdim=True))
    run.train(paired_config(parts, steps=4), tmp_path / "one")
    two, one = (
        load_file(folder / "model.safetensors") for folder in (tmp_path / "two", tmp_path / "one")
    )
    assert two.keys() == one.keys()
    for name in one:
        # A key's bias moves no softmax: its gradient is rounding, which AdamW makes as large.
        if not name.endswith("key.bias"):
            assert torch.allclose(one[name], two[name], atol=1e-4), name
