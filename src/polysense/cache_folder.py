"""Where what was fetched or computed once is kept, for all runs of this user.

Data, weights and features are large and the same for every recipe, so they lie in one place and not
beside a run: below POLYSENSE_CACHE, or else where the desktop's convention (XDG) puts caches. What
is deleted there is fetched again.
"""

from __future__ import annotations

import os
from pathlib import Path

from polysense.errors import PolysenseError

VARIABLE = "POLYSENSE_CACHE"


def cache_folder() -> Path:
    """Return the folder, absolute; it need not be there. $POLYSENSE_CACHE, else
    $XDG_CACHE_HOME/polysense, else ~/.cache/polysense."""
    if chosen := os.environ.get(VARIABLE):
        folder = Path(chosen).expanduser().absolute()
    elif (base := os.environ.get("XDG_CACHE_HOME", "")) and Path(base).is_absolute():
        folder = Path(base) / "polysense"  # the convention: a relative one is ignored
    else:
        folder = Path.home() / ".cache" / "polysense"
    if folder.exists() and not folder.is_dir():
        raise PolysenseError(f"{str(folder)!r} is a file: set {VARIABLE} to a folder")
    return folder


def feature_folder() -> Path:
    """Return where frozen encoders' features are kept."""
    return cache_folder() / "features"
