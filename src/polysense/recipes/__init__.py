"""The recipes, in a literal table: functions (data folder, own manifest) -> RunConfig."""

from collections.abc import Callable
from pathlib import Path

from polysense.config import RunConfig
from polysense.errors import unknown_name
from polysense.recipes.laptop import laptop
from polysense.recipes.onellm import onellm_7b
from polysense.recipes.onellm_laptop import (
    onellm_laptop,
    onellm_laptop_forgetful,
    onellm_laptop_joint,
)

Recipe = Callable[[Path, str | None], RunConfig]

RECIPES: dict[str, Recipe] = {
    "laptop": laptop,
    "onellm-7b": onellm_7b,
    "onellm-laptop": onellm_laptop,
    "onellm-laptop-forgetful": onellm_laptop_forgetful,
    "onellm-laptop-joint": onellm_laptop_joint,
}


def recipe_named(name: str) -> Recipe:
    """Return the recipe called `name`; PolysenseError lists the known ones."""
    if name not in RECIPES:
        raise unknown_name("recipe", name, RECIPES)
    return RECIPES[name]
