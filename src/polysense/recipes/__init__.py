"""The recipes, in a literal table: functions (data folder, own manifest) -> RunConfig."""

from collections.abc import Callable
from pathlib import Path

from polysense.config import RunConfig
from polysense.errors import unknown_name
from polysense.recipes.laptop import laptop

Recipe = Callable[[Path, str | None], RunConfig]

RECIPES: dict[str, Recipe] = {
    "laptop": laptop,
}


def recipe_named(name: str) -> Recipe:
    """Return the recipe called `name`; PolysenseError lists the known ones."""
    if name not in RECIPES:
        raise unknown_name("recipe", name, RECIPES)
    return RECIPES[name]
