"""What the documents say works: their Python runs, commands parse, links lead somewhere.

Documents refer to `runs/demo` and `picture.png`; the Python runs in a folder where a tiny random
run and a real picture lie under these names.
"""

import argparse
import dataclasses
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures.tiny_model import tiny_run
from PIL import Image

from polysense.cli.main import build_parser
from polysense.config import RunConfig, Stage, overrides
from polysense.config.stage_options import parse_data, with_stage_data, without_stages
from polysense.data.datasets import read_manifest
from polysense.importers import FAMILIES
from polysense.modalities import MODALITIES
from polysense.recipes import recipe_named
from polysense.recipes.custom_modalities import with_modalities
from polysense.training.named_parts import check_names

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
OWN_TEST = {"docs/a-new-sense.md"}  # whose blocks follow on one another: test_a_new_sense.py
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[tuple[str, str]]:
    """Every fenced block of a language: (document, text)."""
    found = []
    for document in DOCUMENTS:
        name = document.relative_to(ROOT).as_posix()
        for match in FENCE.finditer(document.read_text(encoding="utf-8")):
            if match[1] == language and name not in OWN_TEST:
                found.append((name, match[2]))
    return found


def commands() -> list[tuple[str, list[str]]]:
    """Every command of the bash blocks, as words: (document, words)."""
    found = []
    for document, text in blocks("bash"):
        for line in text.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                found.append((document, words))
    return found


def polysense_arguments(words: list[str]) -> list[str] | None:
    """The arguments, where `words` call polysense: by name, by path or through accelerate."""
    if words[:4] == ["accelerate", "launch", "-m", "polysense"]:
        return words[4:]
    return words[1:] if Path(words[0]).name == "polysense" else None


def shown(value: object) -> str:
    """A test's name: the document, the command, or the first line of a block."""
    return " ".join(value)[:60] if isinstance(value, list) else str(value).splitlines()[0][:60]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with what the documents name; modalities that snippets add are dropped."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (40, 30), (200, 30, 30)).save("picture.png")
    tiny_run(tmp_path / "runs" / "demo")
    modalities = dict(MODALITIES)
    yield tmp_path
    MODALITIES.clear()
    MODALITIES.update(modalities)


@pytest.mark.parametrize(("document", "code"), blocks("python"), ids=shown)
def test_python_runs(document: str, code: str, folder: Path) -> None:
    exec(compile(code, document, "exec"), {"__name__": document})


@pytest.mark.parametrize(("document", "words"), commands(), ids=shown)
def test_command_exists(document: str, words: list[str]) -> None:
    arguments = polysense_arguments(words)
    if arguments is not None:
        check_polysense(arguments)
    elif words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert words[1] in targets
    else:
        assert words == ["source", ".venv/bin/activate"], f"{document}: how is this tested?"


def check_polysense(arguments: list[str]) -> None:
    """Parse the arguments as the command does; the recipe, family or benchmark named is there."""
    try:
        parsed = build_parser().parse_args(arguments)
    except SystemExit as error:
        pytest.fail(f"polysense {shlex.join(arguments)} does not parse ({error})")
    if arguments[0] == "import":
        assert parsed.family in FAMILIES
    elif arguments[0] == "perf":
        files = [ROOT / "perf" / f"{parsed.name}.py", *(ROOT / "perf" / "measuring").glob("*.py")]
        known = {option for file in files for option in re.findall(r"--[a-z-]+", file.read_text())}
        assert {word for word in parsed.words if word.startswith("--")} <= known
    elif arguments[0] in ("train", "demo") and parsed.recipe is not None:
        check_names(recipe_config(parsed), parsed.stop_after)


def recipe_config(parsed: argparse.Namespace) -> RunConfig:
    """The config that a command asks for; nothing is fetched, and no data are read."""
    own, of_stages = parse_data(parsed.data)
    config = recipe_named(parsed.recipe)(Path("cache"), own or next(iter(of_stages.values()), None))
    if modalities := [name for name in parsed.modalities if name in MODALITIES]:
        config = with_modalities(config, modalities)
    config = without_stages(overrides.apply(config, parsed.settings), parsed.skipped)
    return with_stage_data(config, own, of_stages)


def inline(pattern: str) -> list[tuple[str, str]]:
    """Every `word` in the prose that matches, with its document, once."""
    found = {
        (document.relative_to(ROOT).as_posix(), word)
        for document in DOCUMENTS
        for word in re.findall(r"`([^`\n]+)`", FENCE.sub("", document.read_text(encoding="utf-8")))
        if re.fullmatch(pattern, word)
    }
    return sorted(found)


@pytest.mark.parametrize(("document", "command"), inline(r"polysense [a-z]+( .+)?"), ids=shown)
def test_command_in_the_prose_parses(document: str, command: str) -> None:
    _, name, *words = shlex.split(command)
    try:
        build_parser().parse_args([name, *(words or ["--help"])])  # a name alone: it is there
    except SystemExit as error:
        if error.code:
            pytest.fail(f"{document}: {command} does not parse")


@pytest.mark.parametrize(("document", "path"), inline(r"[\w-]+(/[\w-]+)+\.py"), ids=shown)
def test_file_in_the_prose_exists(document: str, path: str) -> None:
    assert any((base / path).is_file() for base in (ROOT, ROOT / "src" / "polysense")), document


CONFIG_PATH = r"(stages|model|data|evaluation)\.[\w.]+(=.*)?"


@pytest.mark.parametrize(("document", "path"), inline(CONFIG_PATH), ids=shown)
def test_value_in_the_prose_is_one_of_the_config(document: str, path: str) -> None:
    first, *names = path.partition("=")[0].split(".")
    config = recipe_named("laptop")(Path("cache"), "pairs.jsonl")
    value = config.stages[0] if first == "stages" else getattr(config, first)
    for name in names[1:] if isinstance(value, Stage) else names:
        if isinstance(value, dict):  # the options of a modality, which its class checks
            return
        assert name in {field.name for field in dataclasses.fields(value)}, f"{document}: {path}"
        value = getattr(value, name)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    text = FENCE.sub("", document.read_text(encoding="utf-8"))
    headings = {
        re.sub(r"[^\w -]", "", line.lstrip("# ")).strip().lower().replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("#")
    }
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        if target.startswith("#"):
            assert target[1:] in headings, f"no heading {target}"
        else:
            assert (document.parent / target).exists(), f"no file {target}"


@pytest.mark.parametrize(("document", "lines"), [*blocks("jsonl"), *blocks("json")], ids=shown)
def test_manifests_are_read(document: str, lines: str, tmp_path: Path) -> None:
    for name in re.findall(r'"([a-z]+/[^"]+\.[a-z0-9]+)"', lines):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"not read here")
    (tmp_path / "pictures.jsonl").write_text(lines)
    records = read_manifest(tmp_path / "pictures.jsonl", list(MODALITIES))
    assert len(records) == len(lines.splitlines())


def test_documents_have_what_the_tests_look_for() -> None:
    """The patterns above still find the blocks: an empty parametrisation would pass unseen."""
    ran = {document for document, _ in blocks("python")}
    assert ran == {"README.md", "CONTRIBUTING.md", "docs/own-data.md", "docs/python.md"}
    called = [arguments for _, words in commands() if (arguments := polysense_arguments(words))]
    assert {arguments[0] for arguments in called} >= {"train", "ask", "evaluate", "describe"}
    assert ["make", "demo"] in [words for _, words in commands()]
    assert inline(r"polysense [a-z]+( .+)?")
    assert inline(r"[\w-]+(/[\w-]+)+\.py")
    assert inline(CONFIG_PATH)


def test_every_document_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    assert "docs/README.md" in (ROOT / "README.md").read_text()
    for document in (ROOT / "docs").glob("*.md"):
        assert document.name == "README.md" or f"({document.name})" in index, document.name


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200
