"""Import direction: a module imports from its own layer or those above it, never from below.

CONTRIBUTING.md says why. A rule that fails says where, and what to do.
"""

import ast
from pathlib import Path

import pytest
from architecture.source_tree import SOURCE, SOURCES, name_of, tree

from polysense.modalities import MODALITIES

# A module imports from its own line or those above it, never from below. `__init__` holds the
# public names: the command line uses them as users do, nothing else in the package does.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "types"),
    ("atomic_write", "cache_folder"),
    ("config",),
    ("modalities",),
    ("model",),
    ("data",),
    ("importers",),
    ("training",),
    ("evaluation",),
    ("serving",),
    ("recipes",),
    ("auto_classes",),
    ("__init__",),
    ("cli",),
    ("__main__",),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

# The same inside a package: what stands on one line does not import one another. A package that is
# not named here has files of equal rank.
ORDER_INSIDE: dict[str, tuple[tuple[str, ...], ...]] = {
    "modalities": (
        ("sources",),
        ("readers", "transforms", "visualization"),
        ("base",),
        ("read_signal", "custom", "image", "audio", "point", "imu", "fmri"),
        ("dense_map", "video"),
        ("depth", "normal"),
        ("__init__",),
        ("detection",),
    ),
    "model": (
        ("attention", "initialization", "trainable", "configuration", "generation", "gguf"),
        ("forward_options",),
        ("hub",),
        ("llm",),
        ("encoders", "connectors"),
        ("fusion", "outputs"),
        ("pretrained", "gradient_checkpointing"),
        ("transformers_methods",),
        ("polysense_model",),
        ("likelihood",),
    ),
    "data": (
        ("records", "placeholders"),
        ("text_checks",),
        ("formats",),
        ("datasets", "duplicates"),
        ("prompts", "chat"),
        ("collate", "qformer_instructions"),
        ("caption_tokenizer",),
        ("model_inputs", "processor_files"),
        ("processor",),
        ("trainer_collator", "loading"),
    ),
}


def layer_of(path: Path) -> str:
    return path.relative_to(SOURCE).with_suffix("").parts[0]


def imported_layers(module: ast.Module) -> list[tuple[int, str]]:
    """Every import of our own package, also inside functions: (line, layer)."""
    found = []
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and node.level:
            found.append((node.lineno, "a relative import"))
        elif isinstance(node, ast.ImportFrom) and node.module == "polysense":
            names = [alias.name for alias in node.names]
            found += [(node.lineno, name if name in RANK else "__init__") for name in names]
        elif isinstance(node, ast.ImportFrom | ast.Import):
            modules = (
                [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else [alias.name for alias in node.names]
            )
            for parts in (name.split(".") for name in modules):
                if parts[0] == "polysense":
                    found.append((node.lineno, parts[1] if len(parts) > 1 else "__init__"))
    return found


def imported_parts(module: ast.Module, package: str) -> list[tuple[int, str]]:
    """What a module imports of its own package, also inside functions: (line, part of it)."""
    nodes = [node for node in ast.walk(module) if isinstance(node, ast.ImportFrom) and node.module]
    names = [(node.lineno, (node.module or "").split(".")) for node in nodes]
    return [(line, parts[2]) for line, parts in names if parts[1:2] == [package] and parts[2:]]


def named_modalities(node: ast.AST) -> list[str]:
    """The modalities a comparison or a match case names literally."""
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
    elif isinstance(node, ast.match_case):
        sides = [node.pattern]
    else:
        return []
    constants = [inner for side in sides for inner in ast.walk(side)]
    return [
        str(inner.value)
        for inner in constants
        if isinstance(inner, ast.Constant) and inner.value in tuple(MODALITIES)
    ]


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_point_downwards(path: Path) -> None:
    layer = layer_of(path)
    assert layer in RANK, f"{name_of(path)}: give {layer!r} a place in LAYERS"
    for line, imported in imported_layers(tree(path)):
        assert imported in RANK, f"{name_of(path)}:{line} imports {imported}, which is no layer"
        assert RANK[imported] <= RANK[layer], f"{name_of(path)}:{line} imports upwards: {imported}"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_point_downwards_inside_a_package(path: Path) -> None:
    package, *inside = path.relative_to(SOURCE).with_suffix("").parts
    if package not in ORDER_INSIDE or not inside:
        return
    ranks = {name: rank for rank, row in enumerate(ORDER_INSIDE[package]) for name in row}
    own = inside[0]
    assert own in ranks or own == "__init__", (
        f"{name_of(path)}: give {own!r} a place in ORDER_INSIDE"
    )
    for line, imported in imported_parts(tree(path), package):
        if imported != own and own != "__init__":
            assert ranks[imported] < ranks[own], (
                f"{name_of(path)}:{line} imports {imported}, which stands beside or below it"
            )


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_core_names_no_modality(path: Path) -> None:
    if layer_of(path) == "modalities":
        return
    for node in ast.walk(tree(path)):
        named = named_modalities(node)
        line = getattr(node, "lineno", "?")
        assert not named, (
            f"{name_of(path)}:{line} asks whether a modality is {named[0]!r}; make that a method "
            "of the modality"
        )


@pytest.mark.parametrize(
    ("code", "layer"),
    [
        ("from polysense.cli.main import main", "cli"),
        ("import polysense.training.loop", "training"),
        ("from polysense import data", "data"),
        ("from polysense import PolysenseModel", "__init__"),
        ("def f():\n    from polysense.model import llm", "model"),
        ("from . import llm", "a relative import"),
    ],
)
def test_imports_are_seen(code: str, layer: str) -> None:
    assert [found for _, found in imported_layers(ast.parse(code))] == [layer]


@pytest.mark.parametrize(
    "code",
    ["m == 'image'", "'image' in modalities", "m not in ('image', 'sound')",
     "match m:\n    case 'image':\n        pass"],
)  # fmt: skip
def test_named_modalities_are_seen(code: str) -> None:
    assert any(named_modalities(node) for node in ast.walk(ast.parse(code)))


# Importing transformers registers our Auto classes (auto_classes.py), which imports these packages.
# So none of their modules may be half imported then: the packages that need transformers import it
# before anything else of theirs, and the others not at all while they are imported.
ABOVE_MODEL = ("errors", "types", "atomic_write", "cache_folder", "config", "modalities")
NEED_TRANSFORMERS = ("accelerate", "peft", "transformers")


def imported_at_once(module: ast.Module) -> set[str]:
    """Return the libraries that a module imports while it is itself imported."""
    found = set()
    for node in module.body:
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_transformers_is_never_imported_by_a_half_imported_module(path: Path) -> None:
    if layer_of(path) in ABOVE_MODEL:
        early = imported_at_once(tree(path)) & set(NEED_TRANSFORMERS)
        assert not early, f"{name_of(path)} imports {early}: do so in the function that needs it"


@pytest.mark.parametrize("package", ["model", "data"])
def test_packages_of_the_auto_classes_import_transformers_first(package: str) -> None:
    imports = [
        node
        for node in tree(SOURCE / package / "__init__.py").body
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert isinstance(imports[0], ast.Import)
    assert imports[0].names[0].name == "transformers"
