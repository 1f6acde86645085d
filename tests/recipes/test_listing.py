"""`polysense recipes`: every recipe, in a line, and what it needs."""

from polysense.recipes import RECIPES
from polysense.recipes.listing import described


def test_every_recipe_says_what_it_trains_and_needs(tmp_path):
    recipes = {recipe.name: recipe for recipe in described(tmp_path)}
    assert recipes.keys() == RECIPES.keys()
    for recipe in recipes.values():
        assert recipe.summary.endswith((".", "?"))
        assert not recipe.summary.startswith("Return")
        assert "\n" not in recipe.summary
    assert "SmolLM2-135M, EfficientNet-Lite0" in recipes["laptop"].needs
    assert "your own data (--data), lmsys/vicuna-7b-v1.5" in recipes["llava-1.5"].needs
    assert not list(tmp_path.iterdir())
