"""What the benchmarks share: seconds, peak memory, and results as one line of JSON."""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def add_place(parser: argparse.ArgumentParser, repeats: int) -> None:
    """Add where a benchmark runs, in which type, and how often."""
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")


def seconds(action: Callable[[], Any], repeats: int, device: str) -> float:
    """Return the shortest of `repeats` runs, after one that warms up.

    On a CPU it is the processor time of all threads by the number of threads, which other programs
    on the machine disturb least; on a GPU the time that passes.
    """
    action()
    best = float("inf")
    for _ in range(repeats):
        if device == "cuda":
            torch.cuda.synchronize()
            started = time.perf_counter()
            action()
            torch.cuda.synchronize()
            best = min(best, time.perf_counter() - started)
        else:
            started = time.process_time()
            action()
            best = min(best, (time.process_time() - started) / torch.get_num_threads())
    return best


def peak_bytes(action: Callable[[], Any], device: str) -> int:
    """Return by how much the memory in use rose at most while `action` ran."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        action()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    RESET.write_text("5")  # the peak starts anew at what is resident now
    before = resident("VmRSS")
    action()
    return resident("VmHWM") - before


def resident(name: str) -> int:
    """Return one of the kernel's figures of this process's memory, in bytes."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def available_bytes(device: str) -> int:
    """Return how much memory is free."""
    if device == "cuda":
        return torch.cuda.mem_get_info()[0]
    lines = Path("/proc/meminfo").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]) * 1024


def report(name: str, device: str, settings: dict[str, Any], results: dict[str, Any]) -> None:
    """Print what was measured, where, and with which settings."""
    chip = torch.cuda.get_device_name() if device == "cuda" else platform.machine()
    place = {"device": f"{device} {chip}", "threads": torch.get_num_threads()}
    versions = {"torch": torch.__version__}
    print(json.dumps({"bench": name, **place, **versions, "settings": settings, **results}))
