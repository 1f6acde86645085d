"""The one exception that a user's mistake raises.

Everything a user can get wrong (a missing file, an unknown name, a damaged picture) ends in a
`PolysenseError` whose message says what, where, and what to do. The command line prints it as one
line and exits with code 2; Python callers catch it as a `ValueError`.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class PolysenseError(ValueError):
    """A mistake that the user can mend; the message says how."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> PolysenseError:
    """Return the error for a name that is in no table, with the nearest name and all known ones."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    return PolysenseError(f"unknown {kind} {name!r}{hint} Known: {', '.join(names) or 'none'}.")


def require(condition: bool, message: str) -> None:
    """Raise PolysenseError(message) unless `condition` holds."""
    if not condition:
        raise PolysenseError(message)
