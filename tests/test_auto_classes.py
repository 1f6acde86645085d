"""What an import brings: the command line nothing heavy, the package the Auto classes.

Each is tried in a process of its own, in the orders in which people import.
"""

import subprocess
import sys

import pytest
from fixtures.tiny_model import tiny_run

HEAVY = (
    "accelerate", "av", "matplotlib", "numpy", "pandas", "peft", "pyarrow", "rich", "scipy",
    "soundfile", "tensorboard", "torch", "transformers", "trimesh",
)  # fmt: skip
# Libraries that only some modalities or commands need, and that take a second or more each.
OPTIONAL = ("matplotlib", "pandas", "pyarrow", "scipy.signal", "tensorboard", "trimesh")


def python(code, *words, **options):
    """Run code in a fresh Python; return what it printed."""
    command = [sys.executable, "-W", "error::FutureWarning", "-c", code, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("words", [("--help",), ("train", "--help"), ("--version",)])
def test_help_imports_nothing_heavy(words):
    code = f"""
import sys
from polysense.cli.main import main
try:
    main({words!r})
except SystemExit as stopped:
    assert stopped.code == 0
print(sorted(set({HEAVY!r}) & set(sys.modules)), len(sys.modules) < 250)
"""
    assert python(code).splitlines()[-1] == "[] True"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tiny_run(tmp_path_factory.mktemp("start") / "run")


@pytest.mark.parametrize(
    "imports",
    [
        "import polysense; from transformers import AutoConfig, AutoModel, AutoModelForCausalLM",
        "from transformers import AutoConfig, AutoModel, AutoModelForCausalLM; import polysense",
        "import polysense.model.llm.load; from transformers import AutoConfig, "
        "AutoModelForCausalLM",
        "from polysense.modalities import MODALITIES; from transformers import AutoConfig, "
        "AutoModelForCausalLM",
        "from polysense import PolysenseModel; from transformers import AutoConfig, "
        "AutoModelForCausalLM",
        "import importlib.util, polysense; importlib.util.find_spec('transformers'); "
        "from transformers import AutoConfig, AutoModelForCausalLM",
    ],
)
def test_auto_classes_load_a_run_in_whatever_order_one_imports(imports, run):
    code = f"""
import sys
{imports}
config = AutoConfig.from_pretrained(sys.argv[1])
model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
print(type(config).__name__, type(model).__name__)
"""
    assert python(code, run).split() == ["PolysenseConfig", "PolysenseModel"]


@pytest.mark.parametrize(
    "module",
    ["polysense.data.processor", "polysense.serving.terminal_chat", "polysense.training.run"],
)
def test_a_module_can_be_the_first_that_is_imported(module):
    assert python(f"import {module}; print(polysense.PolysenseProcessor.__name__)").strip()


def test_an_unknown_public_name_is_told():
    import polysense

    assert set(polysense.__all__) == set(polysense.PUBLIC)
    for name in polysense.__all__:
        assert getattr(polysense, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'PolysenseModle'"):
        polysense.PolysenseModle  # noqa: B018


def test_asking_imports_only_what_it_needs_and_prints_only_the_answer(run, tmp_path):
    picture = next((run.parent / "tiny-parts/pictures").glob("*.png"))
    code = f"""
import sys
from polysense.cli.main import main
try:
    main(["ask", *sys.argv[1:]])
except SystemExit as stopped:
    print("code", stopped.code)
print([name for name in {OPTIONAL!r} if name in sys.modules])
"""
    command = [sys.executable, "-c", code, str(run), str(picture), "What is this?"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-2:] == ["code 0", "[]"]
    assert done.stderr == ""
