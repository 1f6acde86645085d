"""`polysense recipes` lists what there is, what each needs, and where it is kept."""

from fixtures.command_line import succeeds

from polysense.recipes import RECIPES


def test_every_recipe_is_listed_with_its_needs(capsys):
    out = succeeds(capsys, "recipes")
    for name in RECIPES:
        assert f"\n{name}  " in f"\n{out}"
    assert out.count(" needs ") >= len(RECIPES)
    assert "POLYSENSE_CACHE moves it" in out
