"""docs/a-new-sense.md, word for word: its files are written, its commands run, its Python asks.

Only the laptop recipe's LLM and encoder are swapped for random ones, and nothing is fetched.
"""

import json
import re
import shlex
import sys
from pathlib import Path

import pytest
import torch
from fixtures.tiny_model import save_llm
from PIL import Image

from polysense import PolysenseModel, PolysenseProcessor
from polysense.cli.main import main
from polysense.data.datasets import read_manifest
from polysense.errors import PolysenseError
from polysense.model.encoders.efficientnet import EfficientNetLite
from polysense.recipes.laptop.weights import LaptopData

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "a-new-sense.md"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [(m[1], m[2]) for m in FENCE.finditer(DOCUMENT.read_text(encoding="utf-8"))]
MODALITY, DATA, ASKING = [text for language, text in BLOCKS if language == "python"]
COMMANDS = [
    shlex.split(line)
    for language, text in BLOCKS
    if language == "bash"
    for line in text.replace("\\\n", " ").splitlines()
]


def succeeds(words):
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 0


def draw_pictures():
    """What a reader has already: some images and their manifest."""
    Path("pictures").mkdir()
    names = ("red", "green", "blue", "white", "gray", "pink", "brown", "orange")
    lines = []
    for name in names:
        Image.new("RGB", (32, 32), name).save(f"pictures/{name}.png")
        line = {"image": f"pictures/{name}.png", "caption": f"A {name} square."}
        lines.append(json.dumps(line | {"split": "held_out" if name == "pink" else "train"}) + "\n")
    Path("pictures.jsonl").write_text("".join(lines))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which the whole page was followed."""
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        encoder = folder / "efficientnet-lite0.pth"
        torch.save(EfficientNetLite("lite0").state_dict(), encoder)
        random = LaptopData(Path("none"), save_llm(folder / "llm"), encoder)
        laptop = sys.modules["polysense.recipes.laptop.image_only"]
        patch.setattr(laptop, "laptop_data", lambda folder: random)
        draw_pictures()
        Path("ecg.py").write_text(MODALITY)
        Path("make_ecg.py").write_text(DATA)
        for words in COMMANDS:
            if words[0] == "python":
                exec(compile(Path(words[1]).read_text(), words[1], "exec"), {})
            elif words[0] == "cat":
                *parts, arrow, whole = words[1:]
                assert arrow == ">"
                Path(whole).write_text("".join(Path(part).read_text() for part in parts))
            else:
                assert words[0] == "polysense"
                succeeds(words[1:])
    return folder


def test_the_modality_is_short():
    assert len(MODALITY.splitlines()) <= 40
    assert [words[:2] for words in COMMANDS if words[0] == "polysense"] == [
        ["polysense", command]
        for command in ("train", "ask", "evaluate", "describe", "train", "ask", "ask")
    ]


def test_the_manifest_is_the_one_shown(folder):
    shown = next(text for language, text in BLOCKS if language == "jsonl")
    manifest = folder / "ecg.jsonl"
    assert manifest.read_text().startswith(shown)
    assert len(read_manifest(manifest, ["ecg"])) == 150


def test_asking_from_python(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    exec(compile(ASKING, "asking", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) >= 1


def test_the_model_hears_the_heart(folder):
    """On hearts it never met it says the speed better than with another's heart before it."""
    log = (folder / "runs/ecg/stages/words/log.jsonl").read_text().splitlines()
    last = [line for line in map(json.loads, log) if "val_loss" in line][-1]
    assert last["val_loss"] < last["val_loss_shuffled"] - 0.1


def test_it_is_trained_beside_images(folder):
    model = PolysenseModel.from_pretrained(folder / "runs" / "both")
    assert set(model.modalities) == {"image", "ecg"}
    result = json.loads((folder / "runs/both/evaluation.json").read_text())
    assert {entry["modality"] for entry in result["modalities"]} == {"image", "ecg"}


def test_the_checkpoint_finds_the_modality_and_reads_alike(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # another working folder
    run = folder / "runs" / "ecg"
    model, processor = (c.from_pretrained(run) for c in (PolysenseModel, PolysenseProcessor))
    assert list(model.modalities) == list(processor.modalities) == ["ecg"]
    assert any(name.startswith("tokenizers.ecg.") for name in model.trainable_state())
    heart = str(folder / "hearts/000.txt")
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "ecg", "ecg": heart}]}]
    )
    model.save_pretrained(tmp_path / "again", include_frozen=True)
    again = PolysenseModel.from_pretrained(tmp_path / "again")
    assert torch.equal(again(**inputs).logits, model(**inputs).logits)
    short = tmp_path / "short.txt"
    short.write_text("0.1\n0.2\n")
    with pytest.raises(PolysenseError, match="needs 1000 lines"):
        processor.modalities["ecg"].read(str(short))


def test_a_file_that_is_gone_or_moved(folder, tmp_path, capsys):
    """Last: it moves the page's file for a while, as a new process would meet it."""
    from polysense.modalities import custom

    run, file, moved = folder / "runs" / "ecg", folder / "ecg.py", tmp_path / "moved.py"
    custom.load_file.cache_clear()
    file.rename(moved)
    try:
        with pytest.raises(PolysenseError, match=r"ecg\.py' does not exist.*--modality"):
            PolysenseModel.from_pretrained(run)
        PolysenseModel.from_pretrained(run, modalities=[str(moved)])
        assert PolysenseProcessor.from_pretrained(run, modalities=[f"{moved}:Ecg"]).modalities
        succeeds(["describe", str(run), "--modality", str(moved)])
        other = tmp_path / "other.py"
        other.write_text(MODALITY.replace('"ecg"', '"heart"'))
        with pytest.raises(PolysenseError, match="has no own modality"):
            PolysenseModel.from_pretrained(run, modalities=[str(other)])
    finally:
        moved.rename(file)
        custom.load_file.cache_clear()
