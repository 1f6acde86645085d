"""The rules that keep the code readable, checked on its syntax trees.

Import direction, names, budgets, and a test for every module. A rule that fails says where and
what to do; CONTRIBUTING.md says why it exists.
"""

import ast
import re
from pathlib import Path

import pytest

from polysense.modalities import MODALITIES

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "polysense"

# A module imports from its own line or those above it, never from below. `__init__` holds the
# public names: the command line uses them as users do, nothing else in the package does.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "types", "atomic_write"),
    ("config",),
    ("modalities",),
    ("model",),
    ("data",),
    ("importers",),
    ("training",),
    ("evaluation",),
    ("serving",),
    ("recipes",),
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
    ),
    "model": (
        (
            "hub",
            "attention",
            "initialization",
            "trainable",
            "configuration",
            "generation",
            "gradient_checkpointing",
            "transformers_methods",
        ),
        ("llm",),
        ("encoders", "connectors"),
        ("fusion", "outputs"),
        ("pretrained",),
        ("polysense_model",),
        ("likelihood",),
    ),
    "data": (
        ("records", "text_checks"),
        ("formats",),
        ("datasets", "duplicates"),
        ("prompts", "chat"),
        ("collate", "qformer_instructions"),
        ("model_inputs", "processor_files"),
        ("processor",),
        ("trainer_collator", "loading"),
    ),
}

FOLDER_FILES = 14
FILE_LINES = 250
FUNCTION_LINES = 60
POOR_NAMES = re.compile(r"^(utils?|misc|common|helpers?|stuff|.*_(v\d+|new|old|utils?))$")

# Modules without a test file of their name, and the one that tests them.
TESTED_BY: dict[str, str] = {
    "cli/load_run.py": "cli/test_main.py",
    "config/model.py": "model/connectors/test_build.py",
    "config/run.py": "recipes/test_onellm_recipes.py",
    "data/collate.py": "data/chat/test_chat_tokenizer.py",
    "data/formats/line.py": "data/formats/test_table.py",
    "data/formats/messages.py": "data/chat/test_chat_tokenizer.py",
    "data/processor_files.py": "data/test_processor.py",
    "data/chat/chat_templates.py": "parity/test_imported.py",
    "data/prompts.py": "data/test_datasets.py",
    "errors.py": "data/chat/test_chat_tokenizer.py",
    "evaluation/predictor.py": "evaluation/test_evaluate.py",
    "evaluation/baselines.py": "evaluation/test_evaluate.py",
    "evaluation/report/loss_curves.py": "evaluation/report/test_report.py",
    "evaluation/report/expert_routing.py": "evaluation/report/test_report.py",
    "evaluation/console_tables.py": "evaluation/test_result.py",
    "modalities/__init__.py": "modalities/test_image.py",
    "modalities/base.py": "model/test_polysense_model.py",
    "model/configuration.py": "model/test_polysense_model.py",
    "model/connectors/base.py": "model/connectors/test_build.py",
    "evaluation/report/model_summary.py": "cli/test_main.py",
    "model/encoders/efficientnet.py": "model/encoders/test_build.py",
    "importers/blip2.py": "parity/test_imported.py",
    "importers/hf_checkpoint.py": "importers/test_import_checkpoint.py",
    "importers/llava.py": "parity/test_imported.py",
    "importers/onellm/read.py": "parity/test_onellm.py",
    "importers/onellm/names.py": "parity/test_onellm_layout.py",
    "importers/onellm/sizes.py": "parity/test_onellm_layout.py",
    "importers/qformer_names.py": "parity/test_qformer.py",
    "model/llm/load.py": "data/chat/test_chat_tokenizer.py",
    "model/connectors/qformer.py": "parity/test_qformer.py",
    "model/encoders/vision.py": "parity/test_imported.py",
    "model/pretrained/save_load.py": "model/test_polysense_model.py",
    "recipes/__init__.py": "recipes/laptop/test_weights.py",
    "recipes/published/onellm.py": "recipes/test_onellm_recipes.py",
    "recipes/laptop/onellm.py": "recipes/test_onellm_recipes.py",
    "recipes/laptop/image_only.py": "config/test_near_names.py",
    "data/loading/batches.py": "training/test_stages.py",
    "training/objectives/__init__.py": "training/objectives/test_next_token.py",
    "training/run_folder/disk_room.py": "training/run_folder/test_contents.py",
    "training/progress/feature_progress.py": "training/progress/test_metric_logger.py",
    "training/progress/plan.py": "training/progress/test_metric_logger.py",
    "training/run.py": "model/test_polysense_model.py",
    "types.py": "data/test_datasets.py",
}

SOURCES = sorted(SOURCE.rglob("*.py"))
FILES = sorted(
    path for folder in ("src", "tests", "perf") for path in (ROOT / folder).rglob("*.py")
)


def name_of(path: Path) -> str:
    """How a test's parameters show a file."""
    return path.relative_to(ROOT).as_posix()


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


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


def functions(module: ast.Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(module) if isinstance(node, kinds)]


def named_modalities(node: ast.AST) -> list[str]:
    """The senses a comparison or a match case names literally."""
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


def imported_parts(module: ast.Module, package: str) -> list[tuple[int, str]]:
    """What a module imports of its own package, also inside functions: (line, part of it)."""
    nodes = [node for node in ast.walk(module) if isinstance(node, ast.ImportFrom) and node.module]
    names = [(node.lineno, (node.module or "").split(".")) for node in nodes]
    return [(line, parts[2]) for line, parts in names if parts[1:2] == [package] and parts[2:]]


FOLDERS = sorted({path.parent for path in FILES})


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_folders_stay_small(folder: Path) -> None:
    count = sum(path.is_file() for path in folder.iterdir())
    assert count <= FOLDER_FILES, f"{name_of(folder)} has {count} files: give it rooms"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_core_names_no_modality(path: Path) -> None:
    if layer_of(path) == "modalities":
        return
    for node in ast.walk(tree(path)):
        named = named_modalities(node)
        line = getattr(node, "lineno", "?")
        assert not named, (
            f"{name_of(path)}:{line} asks whether a sense is {named[0]!r}; make the difference a "
            "method of the modality"
        )


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


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_every_module_has_a_test(path: Path) -> None:
    public = [
        node.name
        for node in tree(path).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]
    place = path.relative_to(SOURCE)
    test = TESTED_BY.get(place.as_posix(), (place.parent / f"test_{place.name}").as_posix())
    if public:
        assert (ROOT / "tests" / test).is_file(), f"no tests/{test} for {name_of(path)}"


def test_table_of_tests_is_needed() -> None:
    """A line of TESTED_BY goes when its module does, or gets a test file of its own."""
    for module, test in TESTED_BY.items():
        own = Path(module).parent / f"test_{Path(module).name}"
        assert (SOURCE / module).is_file(), f"TESTED_BY names {module}, which is gone"
        assert not (ROOT / "tests" / own).is_file(), f"tests/{own} exists; drop TESTED_BY[{module}]"
        words = (ROOT / "tests" / test).read_text(encoding="utf-8")
        dotted = "polysense." + module.removesuffix(".py").replace("/", ".").removesuffix(
            ".__init__"
        )
        assert dotted in words, f"tests/{test} does not import {dotted}"


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
    ["m == 'image'", "'image' in senses", "m not in ('image', 'sound')",
     "match m:\n    case 'image':\n        pass"],
)  # fmt: skip
def test_named_modalities_are_seen(code: str) -> None:
    assert any(named_modalities(node) for node in ast.walk(ast.parse(code)))
