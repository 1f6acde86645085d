"""The lock of a run folder names its holder and goes with the process."""

import json
import os
import subprocess
import sys

import pytest

from polysense.errors import PolysenseError
from polysense.training.run_folder.lock import FILE as LOCK
from polysense.training.run_folder.lock import locked

HOLD = """
import sys, time
from pathlib import Path
from polysense.training.run_folder.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(100)
"""


def test_the_lock_names_its_holder_and_goes_with_the_process(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(PolysenseError, match=f"trained by process {holder.pid} on "):
        locked(tmp_path).__enter__()
    holder.kill()
    holder.wait()
    with locked(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["process"] == os.getpid()
    assert not list(tmp_path.iterdir())
