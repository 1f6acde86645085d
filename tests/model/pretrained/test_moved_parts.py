"""A run whose LLM or encoder moved says so by the option that mends it, before weights are read."""

import shutil

import pytest
import torch
from fixtures.tiny_model import tiny_config

from polysense.errors import PolysenseError
from polysense.model.pretrained.moved_parts import check_places
from polysense.training.run import build, resolve


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("moved")
    torch.manual_seed(0)
    build(resolve(tiny_config(folder / "parts")))[0].save_pretrained(folder / "run")
    return folder / "run"


def test_parts_in_their_places_are_no_error(run):
    check_places(run, None, None)


@pytest.mark.parametrize("part", ["llm", "encoder"])
def test_the_error_names_the_option_of_the_part_that_moved(run, part, tmp_path):
    place = run.parent / "parts" / part
    moved = place.rename(tmp_path / part)
    try:
        with pytest.raises(PolysenseError, match=f"--{part}"):
            check_places(run, None, None)
        check_places(run, **{"llm": None, "encoder": None, part: str(moved)})
    finally:
        shutil.move(moved, place)
