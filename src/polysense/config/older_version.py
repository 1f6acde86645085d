"""Files of an older version of Polysense are told from damaged ones, and from typos.

Version 0.1 had other names for options and for the model's parts. Its runs are not converted: their
weights have other names too, so they are trained again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from polysense.errors import PolysenseError

# Keys of 0.1's config.json and run.json that no config has now.
OLD_KEYS = frozenset(
    "accumulation bad_share block clip combined complete every grid initial interaction learn "
    "learnt minimum_rate per_sense reader row_tokens score senses space style warmup".split()
)


def check_version(values: Any, path: Path) -> None:
    """Check that the JSON `values` of a file at `path` were not written by an older version."""
    old = sorted(OLD_KEYS.intersection(keys(values)))
    if old:
        raise PolysenseError(
            f"{path} was written by an older version of Polysense (it says {', '.join(old[:3])}): "
            "train it again with this one, or read it with the version that wrote it"
        )


def keys(values: Any) -> Iterator[str]:
    """Yield every key that a config has set; those below `modalities` are a user's own."""
    if isinstance(values, dict):
        for key, value in values.items():
            yield key
            if key not in ("modalities", "placeholders"):
                yield from keys(value)
    elif isinstance(values, list):
        for value in values:
            yield from keys(value)
