"""The paths that CONTRIBUTING.md shows a reader: short, and each file imports the next."""

import ast
import re
from itertools import pairwise

import pytest
from architecture.source_tree import ROOT, SOURCE, tree

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PATHS = {
    name: re.findall(r"`([\w/]+\.py)`", steps)
    for name, steps in re.findall(r"^- \*\*([\w ]+)\*\*: (`.*?)(?=^- |^$)", TEXT, re.M | re.S)
}


def imported_modules(file: str) -> set[str]:
    """Return the modules of ours that a file imports anywhere, packages among them."""
    nodes = ast.walk(tree(SOURCE / file))
    return {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}


def test_the_three_paths_are_there() -> None:
    assert set(PATHS) == {"loss", "learning rate", "checkpoint"}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_a_path_is_short_and_each_file_imports_the_next(path: list[str]) -> None:
    assert 2 <= len(path) <= 7
    for file, following in pairwise(path):
        module = "polysense." + following.removesuffix(".py").replace("/", ".")
        package = module.rpartition(".")[0]  # of a table, as of the objectives
        imported = imported_modules(file)
        assert module in imported or package in imported, f"{file} does not import {following}"
