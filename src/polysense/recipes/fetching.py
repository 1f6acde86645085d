"""What a recipe's config names and the package registries have is fetched, once, for all recipes.

A recipe only says where things are to lie. So its config can be changed and checked before anything
is fetched, and what was changed to something else is not fetched at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polysense.cache_folder import VARIABLE
from polysense.config import RunConfig
from polysense.config.overrides import to_json
from polysense.errors import PolysenseError
from polysense.recipes.datasets import all_modalities as onellm_data
from polysense.recipes.datasets import image as laptop_pictures
from polysense.recipes.laptop import weights as laptop_data
from polysense.recipes.package_registry import say


@dataclass(frozen=True)
class Fetched:
    """A thing that can be fetched into the cache, and what it is called."""

    fetch: Callable[[Path], Path]
    what: str


FETCHED: dict[str, Fetched] = {
    laptop_data.LLM: Fetched(laptop_data.fetch_llm, "SmolLM2-135M"),
    laptop_data.ENCODER: Fetched(laptop_data.fetch_encoder, "EfficientNet-Lite0"),
    laptop_data.SENTENCES: Fetched(laptop_data.fetch_minilm, "MiniLM"),
    laptop_pictures.MANIFEST: Fetched(laptop_pictures.prepare_pictures, "Tux Paint's pictures"),
    onellm_data.MANIFEST: Fetched(onellm_data.prepare, "signals of eight modalities"),
}


def needed(config: RunConfig, folder: Path) -> list[Fetched]:
    """Return what `config` names below `folder` that can be fetched."""
    named, folder = set(texts(to_json(config))), folder.absolute()
    return [thing for name, thing in FETCHED.items() if str(folder / name) in named]


def fetch_missing(config: RunConfig, folder: Path) -> None:
    """Fetch what `config` names below `folder` and is not there; PolysenseError where it cannot."""
    things, folder = needed(config, folder), folder.absolute()
    if things:
        say(f"Data, weights and features lie in {folder} ({VARIABLE} moves it).")
    for thing in things:
        try:
            thing.fetch(folder)
        except OSError as error:
            raise PolysenseError(
                f"{thing.what} cannot be put into {str(folder)!r}: {error.strerror}. "
                f"Set {VARIABLE} to a folder with room"
            ) from error


def texts(value: Any) -> Iterator[str]:
    """Give every text in JSON values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts(item)
