"""Whether a run can be written where it is to lie, known before any work."""

from __future__ import annotations

import os
from pathlib import Path

from polysense.errors import PolysenseError


def check_run_folder(folder: Path) -> None:
    """Raise PolysenseError where `folder` is a file, lies in one, or may not be written."""
    for place in (folder.absolute(), *folder.absolute().parents):
        try:
            found, is_folder = os.path.lexists(place), place.is_dir()
        except OSError as error:  # a name that is too long, a folder that may not be looked into
            raise PolysenseError(
                f"{str(folder)!r} cannot be a run folder: {error.strerror}; give another --run"
            ) from error
        if is_folder:
            if not os.access(place, os.W_OK | os.X_OK):
                raise PolysenseError(
                    f"{str(folder)!r} cannot be a run folder: {str(place)!r} may not be written; "
                    "give another --run"
                )
            return
        if found:
            raise PolysenseError(
                f"{str(folder)!r} cannot be a run folder: {str(place)!r} is a file; "
                "give another --run"
            )
