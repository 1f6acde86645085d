"""What the config classes check alike when they are built."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args, get_origin, get_type_hints

from polysense.errors import require, unknown_name

LARGEST = 2**31 - 1  # of a count; above it lie typing mistakes


def require_count(where: str, value: int, least: int = 1) -> None:
    """Raise PolysenseError unless `value` is a count of at least `least`."""
    require(value >= least, f"{where} must be at least {least}, not {value}")
    require(value <= LARGEST, f"{where} must be at most {LARGEST:,}, not {value}")


def require_share(where: str, value: float) -> None:
    """Raise PolysenseError unless `value` is a share in [0, 1)."""
    require(0 <= value < 1, f"{where} must lie in [0, 1), not {value}")


def require_positive(where: str, value: float, zero: bool = False) -> None:
    """Raise PolysenseError unless `value` is finite and above 0, or is 0 where `zero` may be."""
    fits = math.isfinite(value) and (value > 0 or (zero and value == 0))
    require(fits, f"{where} must be {'0 or more' if zero else 'positive'}, not {value}")


def check_choices(config: Any, where: str) -> None:
    """Raise PolysenseError where a field that names one of some kinds names another."""
    for name, hint in get_type_hints(type(config)).items():
        value = getattr(config, name)
        if get_origin(hint) is Literal and value not in get_args(hint):
            raise unknown_name(f"value of {where}.{name}", str(value), map(str, get_args(hint)))
