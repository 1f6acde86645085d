"""The recipes, in a literal table: functions (data folder, own manifest) -> RunConfig."""

from collections.abc import Callable
from pathlib import Path

from polysense.config import RunConfig
from polysense.errors import unknown_name
from polysense.recipes.blip2 import blip2, instructblip, minigpt4
from polysense.recipes.deep_fusion import cogvlm, flamingo, qwen_vl
from polysense.recipes.laptop import laptop
from polysense.recipes.llava import llava, llava_15, vila
from polysense.recipes.many_senses import pandagpt, x_llm
from polysense.recipes.onellm import onellm_7b
from polysense.recipes.onellm_laptop import (
    onellm_laptop,
    onellm_laptop_forgetful,
    onellm_laptop_joint,
    onellm_laptop_minilm,
)

Recipe = Callable[[Path, str | None], RunConfig]

# Other systems as recipes over these parts (docs/recipes.md); on_laptop.py makes them small.
PEERS: dict[str, Recipe] = {
    "blip2": blip2,
    "cogvlm": cogvlm,
    "flamingo": flamingo,
    "instructblip": instructblip,
    "llava": llava,
    "llava-1.5": llava_15,
    "minigpt4": minigpt4,
    "pandagpt": pandagpt,
    "qwen-vl": qwen_vl,
    "vila": vila,
    "x-llm": x_llm,
}

RECIPES: dict[str, Recipe] = {
    **PEERS,
    "laptop": laptop,
    "onellm-7b": onellm_7b,
    "onellm-laptop": onellm_laptop,
    "onellm-laptop-forgetful": onellm_laptop_forgetful,
    "onellm-laptop-joint": onellm_laptop_joint,
    "onellm-laptop-minilm": onellm_laptop_minilm,
}


def recipe_named(name: str) -> Recipe:
    """Return the recipe called `name`; PolysenseError lists the known ones."""
    if name not in RECIPES:
        raise unknown_name("recipe", name, RECIPES)
    return RECIPES[name]
