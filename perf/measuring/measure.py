"""What the benchmarks share: seconds, peak memory, and results as JSON and a picture.

The sides of a comparison are timed in turn, several times over, so that whatever else the machine
does disturbs all alike; of the rounds, medians count.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import torch
import transformers

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def add_place(parser: argparse.ArgumentParser, repeats: int) -> None:
    """Add where a benchmark runs, in which type, and how often."""
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--out", type=Path, help="folder for NAME.json and NAME.png")


def timed(action: Callable[[], Any], device: str) -> float:
    """Return the seconds that pass while `action` runs."""
    if device == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    action()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def interleaved(
    ways: Mapping[str, Callable[[], Any]], rounds: int, device: str
) -> dict[str, list[float]]:
    """Return the seconds of each way's runs: all ways in turn, `rounds` times, after a warm-up."""
    for way in ways.values():
        way()
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            found[name].append(timed(way, device))
    return found


def medians(runs: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return the median seconds of each way."""
    return {name: median(values) for name, values in runs.items()}


def ratio(runs: Mapping[str, Sequence[float]], slow: str, fast: str) -> float:
    """Return how many times as long `slow` took as `fast`: the median over rounds."""
    return median(a / b for a, b in zip(runs[slow], runs[fast], strict=True))


def peak_bytes(action: Callable[[], Any], device: str) -> int:
    """Return by how much the memory in use rose at most while `action` ran."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        action()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    give_back_freed_memory()
    RESET.write_text("5")  # the peak starts anew at what is resident now
    before = resident("VmRSS")
    action()
    return resident("VmHWM") - before


def give_back_freed_memory() -> None:
    """Let glibc return what is free, so that what `action` needs is not found there already."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


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


def chip_name(device: str) -> str:
    """Return the name of the processor that is measured."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def report(name: str, options: argparse.Namespace, results: dict[str, Any]) -> Path | None:
    """Print what was measured, where, when and with which settings, and write it to `--out`.

    Returns where a picture of it may go: NAME.png there, or None without `--out`.
    """
    settings = {key: str(v) if isinstance(v, Path) else v for key, v in vars(options).items()}
    text = json.dumps(
        {
            "perf": name,
            "device": f"{options.device} {chip_name(options.device)}",
            "capability": torch.backends.cpu.get_cpu_capability(),
            "threads": torch.get_num_threads(),
            "date": date.today().isoformat(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "timing": "wall clock; the sides in turn, medians over rounds",
            "settings": settings,
            **results,
        }
    )
    print(text, flush=True)
    if options.out is None:
        return None
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / f"{name}.json").write_text(text + "\n")
    return options.out / f"{name}.png"
