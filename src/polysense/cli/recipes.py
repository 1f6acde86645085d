"""`polysense recipes`: what there is, and what each needs."""

from __future__ import annotations

import argparse


def add_recipes(command: argparse.ArgumentParser) -> None:
    """Set what `recipes` does; it takes no options."""
    command.set_defaults(act=recipes_command)


def recipes_command(arguments: argparse.Namespace) -> None:
    """List the recipes and what each needs."""
    from polysense.cache_folder import VARIABLE, cache_folder
    from polysense.recipes.listing import described

    recipes = described(cache_folder())
    width = max(len(recipe.name) for recipe in recipes) + 2
    for recipe in recipes:
        print(f"{recipe.name:{width}}{recipe.summary}\n{'':{width}}needs {recipe.needs}")
    print(f"\nWhat is fetched is kept in {cache_folder()} ({VARIABLE} moves it).")
