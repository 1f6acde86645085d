"""Freed memory is kept: a block of the size of one just freed costs no new pages."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """\
import resource, torch, transformers  # as where it is called: both are there
from polysense.training.allocator import keep_freed_memory
assert keep_freed_memory()
torch.ones(2**24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    torch.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_blocks_of_the_same_size_cost_no_new_pages():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    pages = 2**26 // 4096  # of one block of 64 MiB
    assert int(done.stdout) < 2 * pages  # and not 5 times as many
