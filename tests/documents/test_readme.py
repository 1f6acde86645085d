"""What the documents say works: their Python runs, commands parse, links lead somewhere.

Documents refer to `runs/demo` and `picture.png`; the Python runs in a folder where a tiny random
run and a real picture lie under these names.
"""

import argparse
import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from fixtures.tiny_model import tiny_run
from PIL import Image

from polysense.cli.main import build_parser
from polysense.config import RunConfig, overrides
from polysense.data.datasets import read_manifest
from polysense.modalities import MODALITIES
from polysense.recipes import recipe_named

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
    """A working folder with what the documents name; senses that snippets add are dropped again."""
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
    """Parse the arguments as the command does, and apply each --set to its recipe's config."""
    try:
        parsed = build_parser().parse_args(arguments)
    except SystemExit as error:
        pytest.fail(f"polysense {shlex.join(arguments)} does not parse ({error})")
    if arguments[0] in ("train", "demo"):
        overrides.apply(recipe_config(parsed), settings_of(arguments))


def settings_of(arguments: list[str]) -> list[str]:
    """What follows each --set."""
    return [value for flag, value in pairwise(arguments) if flag == "--set"]


def recipe_config(parsed: argparse.Namespace) -> RunConfig:
    """The config of the recipe a command names; nothing is fetched for it."""
    return recipe_named(parsed.recipe)(Path("cache"), parsed.data)


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
