"""A recipe names what it needs without fetching it; each thing is fetched once, if it is named."""

import errno
import sys

import pytest

from polysense.cli.main import main
from polysense.config.overrides import apply
from polysense.errors import PolysenseError
from polysense.recipes import RECIPES
from polysense.recipes.fetching import FETCHED, Fetched, fetch_missing, needed
from polysense.recipes.laptop import weights as laptop_data


@pytest.fixture
def fetched(monkeypatch):
    """What would have been fetched, by name."""
    done = []
    for name, thing in FETCHED.items():
        fetch = lambda folder, name=name: done.append(name)  # noqa: E731
        monkeypatch.setitem(FETCHED, name, Fetched(fetch, thing.what))
    return done


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_fetches_nothing_itself(name, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["subprocess"], "run", lambda *_, **__: pytest.fail("fetched"))
    RECIPES[name](tmp_path / "cache", "pairs.jsonl")
    assert not list(tmp_path.iterdir())


def test_recipes_share_what_they_name(tmp_path):
    laptop, course, minilm = (
        {thing.what for thing in needed(RECIPES[name](tmp_path, None), tmp_path)}
        for name in ("laptop", "onellm-laptop", "onellm-laptop-minilm")
    )
    assert laptop == {"SmolLM2-135M", "EfficientNet-Lite0", "Tux Paint's pictures"}
    assert laptop & course == {"SmolLM2-135M", "EfficientNet-Lite0"}
    assert minilm - course == {"MiniLM"}


def test_what_the_user_brings_is_not_fetched(fetched, tmp_path):
    config = RECIPES["laptop"](tmp_path, "pairs.jsonl")
    fetch_missing(apply(config, ["model.llm.name=/models/mine"]), tmp_path)
    assert fetched == [laptop_data.ENCODER]


def test_the_place_is_said_and_a_full_disk_is_one_line(tmp_path, monkeypatch, capsys):
    def full(folder):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setitem(FETCHED, laptop_data.LLM, Fetched(full, "SmolLM2-135M"))
    with pytest.raises(PolysenseError, match=r"SmolLM2.* No space left.* POLYSENSE_CACHE"):
        fetch_missing(RECIPES["laptop"](tmp_path, "pairs.jsonl"), tmp_path)
    said = " ".join(capsys.readouterr().err.split())
    assert "POLYSENSE_CACHE moves it" in said


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--set", "lr=1"], "learning_rate"),
        (["--set", "stages.alignment.learning_rate=fast"], "must be a number"),
        (["--set", "seed=99999999999999999999"], "seed must lie in"),
        (["--set", "stages.alignment.betas=2,3"], "betas[0] must lie in [0, 1), not 2.0"),
        (["--set", "stages.alignment.weight_decay=-1"], "must be 0 or more, not -1.0"),
        (["--set", "model.connector.kind=foo"], "unknown connector 'foo'. Known: abstractor"),
        (["--set", "model.encoder.kind=clip"], "unknown encoder 'clip'. Known"),
        (["--set", "model.fusion.kind=cross_attentio"], "did you mean 'cross_attention'?"),
        (["--set", "model.llm.template=lava"], "did you mean 'llava'?"),
        (["--set", "stages.alignment.task=captions"], "did you mean 'caption'?"),
        (["--set", "stages.alignment.objective=bag_of_word"], "did you mean 'bag_of_words'?"),
        (["--set", "stages.alignment.modalities=imag"], "did you mean 'image'?"),
        (["--set", "model.modalities.image.trimm=true"], "did you mean 'trim'?"),
        (["--stop-after", "alignmnt"], "did you mean 'alignment'?"),
        (["--modality", "imag"], "did you mean 'image'?"),
        (["--run", "notes.txt"], "'notes.txt' cannot be a run folder"),
        (["--run", "notes.txt/run"], "notes.txt' is a file; give another --run"),
    ],
)
@pytest.mark.parametrize("command", ["train", "demo"])
def test_a_mistake_is_told_before_anything_is_fetched(
    command, words, error, fetched, capsys, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(SystemExit) as stopped:
        main([command, "laptop", *words])
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert error in line
    assert not fetched
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
