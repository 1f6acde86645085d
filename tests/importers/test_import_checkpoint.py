"""`polysense import` as a command: a folder that needs nothing else, or one line and no folder.

The command is polysense.cli.import_checkpoint. Strictness of polysense.importers.hf_checkpoint is
tested by what a damaged checkpoint says.
"""

import errno
import json
import shutil

import pytest
import torch
from fixtures.other_systems import save_blip2, save_instructblip, save_llava
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from polysense import PolysenseModel, PolysenseProcessor
from polysense.cli.main import main
from polysense.errors import PolysenseError
from polysense.importers import import_checkpoint as importing
from polysense.importers.import_checkpoint import import_checkpoint

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def llava(tmp_path_factory):
    folder = tmp_path_factory.mktemp("foreign") / "llava"
    save_llava(folder)
    return folder


def call(capsys, *words):
    """Run a command; return its exit code, what it printed, and its lines of error."""
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    printed = capsys.readouterr()
    lines = printed.err.strip().splitlines()
    return stopped.value.code, printed.out, [x for x in lines if x.startswith("polysense: ")]


def refused(capsys, tmp_path, *words):
    """Import what must fail into tmp_path/runs/new; return the one line. Nothing may be left."""
    before = sorted(tmp_path.rglob("*"))
    code, _, lines = call(capsys, "import", *words, tmp_path / "runs/new")
    assert (code, len(lines)) == (2, 1)
    assert sorted(tmp_path.rglob("*")) == before
    return lines[0]


def changed(folder, to, **settings):
    """A copy of a checkpoint with other values in its config; a dict changes a part of it."""
    shutil.copytree(folder, to)
    values = json.loads((to / "config.json").read_text())
    for name, value in settings.items():
        values[name] = values[name] | value if isinstance(value, dict) else value
    (to / "config.json").write_text(json.dumps(values))
    return to


def test_the_folder_needs_nothing_else(capsys, llava, tmp_path):
    source = shutil.copytree(llava, tmp_path / "source")
    out = tmp_path / "runs/llava"
    code, printed, _ = call(capsys, "import", "llava", source, out)
    assert code == 0
    assert f"polysense ask {out}" in printed
    assert not list(tmp_path.glob("**/.*importing*"))
    shutil.rmtree(source)
    moved = shutil.move(out, tmp_path / "moved")
    assert {name.split(".")[0] for name in load_file(moved / WEIGHTS)} == {"connector"}
    Image.new("RGB", (20, 30), "red").save(tmp_path / "red.png")
    code, _, _ = call(capsys, "ask", moved, tmp_path / "red.png", "What?", "--max-new-tokens", 3)
    assert code == 0
    code, printed, _ = call(capsys, "describe", moved)
    assert "4 x 32" in printed


@pytest.mark.parametrize(
    "failure",
    [
        KeyboardInterrupt(),
        OSError(errno.ENOSPC, "No space left on device"),
        SafetensorError("I/O error: No space (os error 28)"),
    ],
    ids=["interrupted", "full", "full, says safetensors"],
)
def test_an_import_that_fails_leaves_nothing(llava, tmp_path, monkeypatch, failure):
    out = tmp_path / "new" / "out"

    def fail(run, *_):
        assert (run / "references/llm/config.json").is_file()
        assert not out.exists()
        raise failure

    monkeypatch.setattr(importing, "write_run", fail)
    with pytest.raises((KeyboardInterrupt, PolysenseError)) as caught:
        import_checkpoint("llava", str(llava), out)
    assert isinstance(failure, KeyboardInterrupt) or "cannot be written" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_checkpoints_own_image_token_stays(llava, tmp_path):
    out = import_checkpoint("llava", str(llava), tmp_path / "out")
    tokenizer = PolysenseProcessor.from_pretrained(out).text_tokenizer
    held = PolysenseModel.from_pretrained(out).config.placeholders["image"]
    assert tokenizer("<image><|image|>", add_special_tokens=False)["input_ids"] == [
        tokenizer.convert_tokens_to_ids("<image>"),
        held,
    ]


def test_a_template_of_the_checkpoint_is_kept_where_it_takes_text(llava, tmp_path):
    words = "{% for m in messages %}<{{ m['content'] }}>{% endfor %}"
    parts = "{% for m in messages %}{% for p in m['content'] %}{{ p.text }}{% endfor %}{% endfor %}"
    for name, template, expected in (
        ("words", words, "<<|image|>Hm?>"),
        ("parts", parts, "<|im_start|>USER: <|image|>\nHm? "),
    ):
        source = shutil.copytree(llava, tmp_path / name)
        (source / "chat_template.jinja").write_text(template)
        out = import_checkpoint("llava", str(source), tmp_path / f"{name}-out")
        tokenizer = PolysenseProcessor.from_pretrained(out).text_tokenizer
        turns = [{"role": "user", "content": "<|image|>Hm?"}]
        assert tokenizer.apply_chat_template(turns, tokenize=False) == expected


def test_tensors_are_all_placed_or_named(capsys, llava, tmp_path):
    whole = load_file(llava / WEIGHTS)
    first = next(name for name in whole if "linear_1.weight" in name)
    for name, tensors, words in (
        ("short", {n: t for n, t in whole.items() if n != first}, "lacks "),
        ("long", {**whole, "language_model.extra": torch.ones(2)}, "no part of the model takes"),
        ("odd", {**whole, first: torch.ones(3, 3)}, "another shape"),
    ):
        source = shutil.copytree(llava, tmp_path / name)
        save_file(tensors, source / WEIGHTS, metadata={"format": "pt"})
        error = refused(capsys, tmp_path, "llava", source)
        assert words in error
        assert ("extra" if name == "long" else "linear_1.weight") in error
        assert "(1 in all)" in error


def test_damaged_files_and_pickles(capsys, llava, tmp_path):
    broken = shutil.copytree(llava, tmp_path / "broken")
    (broken / WEIGHTS).write_bytes((llava / WEIGHTS).read_bytes()[:5000])
    assert "damaged" in refused(capsys, tmp_path, "llava", broken)
    (broken / WEIGHTS).unlink()
    torch.save(load_file(llava / WEIGHTS), broken / "pytorch_model.bin")
    assert WEIGHTS in refused(capsys, tmp_path, "llava", broken)
    (broken / "config.json").write_text("{")
    assert "could not be loaded" in refused(capsys, tmp_path, "llava", broken)
    typed = changed(llava, tmp_path / "typed", image_token_index="three")
    assert "image_token_index" in refused(capsys, tmp_path, "llava", typed)


def test_wrong_names(capsys, llava, tmp_path):
    assert "did you mean 'llava'" in refused(capsys, tmp_path, "lava", llava)
    assert "is 'blip-2'" in refused(capsys, tmp_path, "blip2", llava)
    assert "no config.json there" in refused(capsys, tmp_path, "llava", tmp_path / "nothing")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine").write_text("keep")
    code, _, lines = call(capsys, "import", "llava", llava, tmp_path / "full")
    assert code == 2
    assert "exists already" in lines[0]


def test_what_is_built_otherwise_is_refused(capsys, llava, tmp_path):
    for name, settings, words in (
        ("activation", {"projector_hidden_act": "relu"}, "projector_hidden_act='relu'"),
        ("layers", {"vision_feature_layer": [-2, -1]}, "side by side"),
        ("tower", {"vision_config": {"model_type": "siglip_vision_model"}}, "'siglip_vision"),
    ):
        source = changed(llava, tmp_path / name, **settings)
        assert words in refused(capsys, tmp_path, "llava", source)
    save_blip2(tmp_path / "blip2")
    seldom = {"qformer_config": {"cross_attention_frequency": 3}}
    source = changed(tmp_path / "blip2", tmp_path / "seldom", **seldom)
    assert "cross_attention_frequency=3" in refused(capsys, tmp_path, "blip2", source)


def test_flan_t5_is_refused_in_a_sentence(capsys, tmp_path):
    save_blip2(tmp_path / "opt")
    t5 = {"text_config": {"model_type": "t5", "is_encoder_decoder": True}}
    error = refused(capsys, tmp_path, "blip2", changed(tmp_path / "opt", tmp_path / "t5", **t5))
    assert "encoder-decoder LLM (t5)" in error
    assert "OPT or Vicuna" in error


def test_instructblip_without_its_second_tokenizer(capsys, tmp_path):
    save_instructblip(tmp_path / "whole")
    shutil.rmtree(tmp_path / "whole/qformer_tokenizer")
    assert "could not be loaded" in refused(capsys, tmp_path, "instructblip", tmp_path / "whole")
