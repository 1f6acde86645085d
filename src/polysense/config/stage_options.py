"""What the command line says of single stages: data of their own, and which are left out.

Both change the config, so that a run remembers them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from polysense.config.run import RunConfig
from polysense.errors import PolysenseError, unknown_name

STAGE_DATA = re.compile(r"([A-Za-z0-9_-]+)=(.+)")


def parse_data(words: Sequence[str]) -> tuple[str | None, dict[str, str]]:
    """Return the run's data and {stage: its own} of the words of --data: FILE, or STAGE=FILE.

    Paths become absolute. A file that exists under the whole word is one, whatever its name.
    """
    own, of_stages = None, {}
    for word in words:
        found = None if Path(word).exists() else STAGE_DATA.fullmatch(word)
        place = str(Path(found[2] if found else word).expanduser().absolute())
        if found and found[1] in of_stages:
            raise PolysenseError(f"--data {word}: stage {found[1]!r} has data already")
        if found:
            of_stages[found[1]] = place
        elif own is None:
            own = place
        else:
            raise PolysenseError(
                f"--data {word}: the run has data already ({own}); name the stage that this is "
                "for, as --data STAGE=FILE, or put both into one manifest"
            )
    return own, of_stages


def with_stage_data(config: RunConfig, own: str | None, of_stages: Mapping[str, str]) -> RunConfig:
    """Return `config` with data of their own for some stages; without `own`, for every one."""
    names = [stage.name for stage in config.stages]
    for name in of_stages:
        if name not in names:
            raise unknown_name("stage in --data", name, names)
    if not of_stages:
        return config
    missing = [name for name in names if name not in of_stages]
    if own is None and missing:
        raise PolysenseError(
            f"stage {missing[0]!r} has no data: give --data {missing[0]}=FILE, --data FILE for all "
            f"stages that have none, or --skip-stage {missing[0]}"
        )
    manifest = own or of_stages[names[-1]]
    stages = tuple(
        replace(stage, data="" if (place := of_stages.get(stage.name, "")) == manifest else place)
        for stage in config.stages
    )
    return replace(config, data=replace(config.data, manifest=manifest), stages=stages)


def without_stages(config: RunConfig, names: Sequence[str]) -> RunConfig:
    """Return `config` without the stages called `names`."""
    known = [stage.name for stage in config.stages]
    for name in names:
        if name not in known:
            raise unknown_name("stage in --skip-stage", name, known)
    stages = tuple(stage for stage in config.stages if stage.name not in names)
    if not stages:
        raise PolysenseError("--skip-stage leaves no stage: a run needs at least one")
    return replace(config, stages=stages)
