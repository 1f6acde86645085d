"""A modality from a file is loaded once, checked, and never run on a stranger's word."""

import pytest
from fixtures.custom_modality import MODALITY

from polysense.errors import PolysenseError
from polysense.modalities import MODALITIES, build_modalities, modality_class, modality_of_extension
from polysense.modalities.custom import code_of, modality_sources, source_of

SECOND = MODALITY.partition("@dataclass")[2].replace("Heat", "Cold").replace('"heat"', '"cold"')


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "heat.py"
    path.write_text(MODALITY)
    return path


def test_a_class_by_its_file(file, monkeypatch):
    heat = modality_class(f"{file}:Heat")
    assert heat.name == "heat"
    assert modality_class(str(file)) is heat  # and the file's only modality needs no naming
    monkeypatch.chdir(file.parent)
    assert modality_class("heat.py:Heat") is heat
    assert source_of(heat) == f"{file}:Heat"
    assert "heat" not in MODALITIES


def test_a_file_is_run_once(file):
    file.write_text(
        MODALITY + "\nfrom pathlib import Path\nPath(__file__ + '.ran').open('a').write('1')"
    )
    for _ in range(3):
        modality_class(f"{file}:Heat")
    assert file.with_name("heat.py.ran").read_text() == "1"


def test_options_are_checked_by_name_and_type(file):
    sources = {"heat": f"{file}:Heat"}
    modality = build_modalities({"heat": {"size": 3, "scale": 2}}, sources)["heat"]
    assert modality.read("1.5").tolist() == [1.5] * 3
    for options, words in (
        ({"sise": 3}, r"model\.modalities\.heat 'sise'; did you mean 'size'"),
        ({"size": "3"}, r"model\.modalities\.heat\.size must be a whole number"),
        ({"name": "x"}, "unknown key"),
    ):
        with pytest.raises(PolysenseError, match=words):
            build_modalities({"heat": options}, sources)
    with pytest.raises(PolysenseError, match="is the modality 'heat', not 'cold'"):
        build_modalities({"cold": {}}, {"cold": f"{file}:Heat"})
    assert build_modalities({"image": {"size": 8}}, {})["image"].example().shape == (3, 8, 8)


@pytest.mark.parametrize(
    ("code", "source", "words"),
    [
        (MODALITY, "no.py:Heat", "no.py' does not exist"),
        (MODALITY, "heat.py:Heath", "unknown class in heat.py: 'Heath'; did you mean 'Heat'"),
        (MODALITY, "heat.py:RUNS", "RUNS in heat.py is no modality: derive it from"),
        (MODALITY, "heat.py:ImageModality", "is no modality"),
        (MODALITY, "heat.py:nn", "is no modality"),
        ("x = 1", "heat.py", "must hold one modality.* and holds none"),
        (MODALITY + "\n@dataclass" + SECOND, "heat.py", r"holds 2 \(Heat, Cold\).*heat\.py:Name"),
        ("1 / 0", "heat.py", "fails: ZeroDivisionError: division by zero"),
        ("def f(:", "heat.py", "fails: SyntaxError"),
        ("import no_such_package", "heat.py", "fails: ModuleNotFoundError"),
        (
            MODALITY.replace("(frozen=True)", ""),
            "heat.py",
            "fails: TypeError: cannot inherit non-froz",
        ),
        (MODALITY.replace("def example", "def sample"), "heat.py", "Heat in heat.py lacks example"),
        (MODALITY.replace('"heat"', '"Heat map"'), "heat.py", "name must be small letters"),
        (MODALITY.replace('name = "heat"', ""), "heat.py", "name must be small letters.* not None"),
        (MODALITY.replace('"heat"', '"caption"'), "heat.py", "name 'caption' is taken"),
        (MODALITY.replace('"heat"', '"keys"'), "heat.py", "name 'keys' is taken"),
        (MODALITY.replace('"heat"', '"image"'), "heat.py", "'image' belongs to Polysense"),
    ],
)
def test_mistakes_are_one_line(code, source, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "heat.py").write_text(code)
    with pytest.raises(PolysenseError, match=words) as caught:
        modality_class(source)
    assert "\n" not in str(caught.value)


def test_a_name_without_a_file_is_a_modality_of_the_package():
    with pytest.raises(PolysenseError, match="did you mean 'image'"):
        modality_class("imagge")


def test_a_checkpoint_runs_no_code_that_the_user_did_not_name(file, tmp_path, monkeypatch):
    noted = {"heat": f"{file}:Heat"}
    run = tmp_path / "run"
    run.mkdir()
    assert modality_sources(noted, (), run) == noted
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path)
    for name, source in (
        ("someone/model", f"{file}:Heat"),  # from a hub
        (run, "heat.py:Heat"),  # a path that the working folder decides
        (run, f"{tmp_path}/run/../heat.py:Heat"),
        (run, f"{tmp_path}/link/heat.py:Heat"),
    ):
        with pytest.raises(PolysenseError, match=r"is not run unasked: .* name it with --modality"):
            modality_sources({"heat": source}, (), name)
        assert modality_sources({"heat": source}, ["heat.py"], name) == noted
    with pytest.raises(PolysenseError, match="has no own modality 'heat'; it has none"):
        modality_sources({}, [str(file)], run)
    with pytest.raises(PolysenseError, match=r"is no Python file"):
        modality_sources(noted, ["image"], run)


def test_the_code_of_a_modality_is_what_its_file_holds(file):
    heat = modality_class(str(file))
    before = code_of(heat)
    file.write_text(MODALITY + "\n# changed")
    assert before
    assert code_of(heat) != before
    assert code_of(MODALITIES["image"]) == ""


def test_a_shards_extension_may_be_of_a_users_own_modality(file):
    claim = 'name = "heat"\n    extensions = ("warm", "t.gz")'
    file.write_text(MODALITY.replace('name = "heat"', claim))
    modality_class(str(file))
    for ending, modality in (
        ("warm", "heat"),
        ("0.WARM", "heat"),
        ("t.gz", "heat"),
        ("png", "image"),
    ):
        assert modality_of_extension(ending, ["image", "heat"]) == modality
    assert modality_of_extension("warm", ["image"]) == ""
    assert modality_of_extension("heat.csv", ["image", "heat"]) == "heat"
