"""A run folder is trained by one process at a time; the lock says by which.

It is the kernel's lock on a file, so that it goes with the process, however that ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from polysense.errors import PolysenseError

FILE = ".training.lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a run folder; PolysenseError names who holds it already."""
    path = folder / FILE
    handle = _open(path)
    try:
        holder = {
            "process": os.getpid(),
            "host": socket.gethostname(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        }
        os.ftruncate(handle, 0)
        os.write(handle, json.dumps(holder).encode())
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _open(path: Path) -> int:
    """Return the locked file; one that its last holder removed meanwhile is opened anew."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            raise PolysenseError(_held(path)) from error
        if path.exists() and os.fstat(handle).st_ino == path.stat().st_ino:
            return handle
        os.close(handle)


def _held(path: Path) -> str:
    """Say who holds a lock."""
    try:
        holder: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        who = f"process {holder['process']} on {holder['host']} since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        who = "another process"
    return (
        f"{str(path.parent)!r} is being trained by {who}: wait until it ends, or give another "
        "--run folder"
    )
