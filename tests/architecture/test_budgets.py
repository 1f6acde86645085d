"""Budgets of files, functions and folders; names that mean something; a docstring for each file."""

import ast
import re
from pathlib import Path

import pytest
from architecture.source_tree import FILES, ROOT, name_of, tree

FOLDER_FILES = 14
FILE_LINES = 250
FUNCTION_LINES = 60
POOR_NAMES = re.compile(r"^(utils?|misc|common|helpers?|stuff|.*_(v\d+|new|old|utils?))$")
FOLDERS = sorted({path.parent for path in FILES})


def functions(module: ast.Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(module) if isinstance(node, kinds)]


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_folders_stay_small(folder: Path) -> None:
    count = sum(path.is_file() for path in folder.iterdir())
    assert count <= FOLDER_FILES, f"{name_of(folder)} has {count} files: give it rooms"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_budgets(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= FILE_LINES, f"{name_of(path)} has {lines} lines: split it by ideas"
    for function in functions(tree(path)):
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        where = f"{name_of(path)}:{function.lineno} {function.name}"
        assert length <= FUNCTION_LINES, f"{where} has {length} lines: it does more than one thing"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_say_why_they_exist(path: Path) -> None:
    module = tree(path)
    assert ast.get_docstring(module), f"{name_of(path)} has no docstring"
    for node in ast.walk(module):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"{name_of(path)}:{node.lineno} is a bare except"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_names_mean_something(path: Path) -> None:
    inside = path.relative_to(ROOT).with_suffix("").parts[1:]
    defined = [
        node.name
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
    ]
    for name in (*inside, *defined):
        assert not POOR_NAMES.match(name), f"{name_of(path)}: {name!r} says nothing; say what it is"
