"""The recipes in a line each: what it trains, and what it needs."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path

from polysense.errors import PolysenseError
from polysense.recipes import RECIPES, Recipe
from polysense.recipes.fetching import needed

OWN = "pairs.jsonl"  # stands for the user's data, where a recipe has none


@dataclass(frozen=True)
class Described:
    """A recipe: its name, what it trains, and what it needs, in words."""

    name: str
    summary: str
    needs: str


def described(folder: Path) -> list[Described]:
    """Return every recipe; `folder` is where things are fetched to."""
    return [
        Described(name, summary(recipe), needs(recipe, folder)) for name, recipe in RECIPES.items()
    ]


def summary(recipe: Recipe) -> str:
    """Return the first paragraph of a recipe's docstring, in one line."""
    return " ".join((inspect.getdoc(recipe) or "").partition("\n\n")[0].split())


def needs(recipe: Recipe, folder: Path) -> str:
    """Return what must be there: what is fetched, or one's own data and which weights."""
    try:
        config = recipe(folder, None)
    except PolysenseError:  # it has no data of its own
        model = recipe(folder, OWN).model
        return f"your own data (--data), {model.llm.name}, {model.encoder.name}"
    return ", ".join(thing.what for thing in needed(config, folder)) + ": all fetched"
