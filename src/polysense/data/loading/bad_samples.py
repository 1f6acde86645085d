"""Signals that cannot be read are named and left out; where there are too many, the run ends.

In: media and what was wrong with them, as features are computed or, where the encoder learns, as
batches are read. Out: bad-samples.jsonl in the run's folder, a line a file.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from threading import Lock

from rich.console import Console

from polysense.atomic_write import write_text
from polysense.errors import PolysenseError
from polysense.types import Media

FILE = "bad-samples.jsonl"
Note = Callable[[dict[Media, str]], None]  # takes media and what is wrong with them


class BadSamples:
    """Those found so far, of `total` samples. More than `share` of them: the data are bad.

    `report` may be called by several threads.
    """

    def __init__(self, folder: Path, total: int, share: float, console: Console) -> None:
        self.path, self.total, self.share = folder / FILE, total, share
        self.console = console
        self.found: dict[Media, str] = {}
        self._lock = Lock()

    def report(self, bad: dict[Media, str]) -> None:
        """Name them in the file and, when they are the first, on screen; PolysenseError at last."""
        with self._lock:
            new = {item: text for item, text in bad.items() if item not in self.found}
            if not new:
                return
            if not self.found:
                self.console.print(
                    f"Some samples cannot be read and are left out; {self.path} names them; the "
                    f"first: {next(iter(new.values()))}",
                    markup=False,
                    soft_wrap=True,
                )
            self.found |= new
            self._write()
            if len(self.found) > self.share * self.total:
                raise PolysenseError(
                    f"{len(self.found)} of {self.total} samples cannot be read, more than "
                    f"data.max_bad_fraction={self.share:g} allows; {self.path} names them; the "
                    f"first: {next(iter(self.found.values()))}"
                )

    def _write(self) -> None:
        """Write the file anew, with what an earlier part of the run has found."""
        earlier = self.path.read_text(encoding="utf-8").splitlines() if self.path.is_file() else []
        lines = [
            json.dumps({"file": str(item.source), "error": text})
            for item, text in self.found.items()
        ]
        write_text(self.path, "".join(f"{line}\n" for line in dict.fromkeys([*earlier, *lines])))
