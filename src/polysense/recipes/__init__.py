"""Recipes: whole runs as functions (data folder, own manifest) -> RunConfig, in a literal table."""

from collections.abc import Callable
from pathlib import Path

from polysense.config import RunConfig
from polysense.errors import unknown_name
from polysense.recipes.laptop.image_only import laptop
from polysense.recipes.laptop.onellm import (
    onellm_laptop,
    onellm_laptop_forgetful,
    onellm_laptop_joint,
    onellm_laptop_minilm,
)
from polysense.recipes.published.blip2 import blip2, instructblip, minigpt4
from polysense.recipes.published.cogvlm import cogvlm
from polysense.recipes.published.flamingo import flamingo
from polysense.recipes.published.llava import llava, llava_15, vila
from polysense.recipes.published.onellm import onellm_7b
from polysense.recipes.published.pandagpt import pandagpt
from polysense.recipes.published.qwen_vl import qwen_vl
from polysense.recipes.published.x_llm import x_llm

Recipe = Callable[[Path, str | None], RunConfig]

# Other systems as recipes over these parts (docs/recipes.md); scaled_down.py makes them small.
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
