"""What is no whole OneLLM is refused by name, and leaves nothing; parts make one checkpoint."""

import json

import pytest
import torch
from fixtures.tiny_model import save_llm
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from polysense.errors import PolysenseError
from polysense.importers.import_checkpoint import import_checkpoint


def damaged(checkpoint, to, change):
    """A copy of the checkpoint with other tensors or metadata."""
    with safe_open(checkpoint, "pt") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        metadata = opened.metadata()
    change(tensors, metadata)
    save_file(tensors, to, metadata=metadata)
    return str(to)


def dropped(name):
    return lambda tensors, _: tensors.pop(name)


def reshaped(name, change):
    return lambda tensors, _: tensors.update({name: change(tensors[name]).contiguous()})


GATE = "llma.resample_layers.1.0.feed_forward.w2.weight"
CASES = {
    "missing": (dropped("llma.clip_proj1.image.0.weight"), r"missing .*clip_proj1\.image\.0\.wei"),
    "one of the LLM": (dropped("llma.layers.0.attention.wo.weight"), r"layers\.0\.attention\.wo"),
    "unknown": (
        lambda tensors, _: tensors.update({"llma.routers.taste.fc1.bias": torch.ones(3)}),
        r"not placed \['llma\.routers\.taste\.fc1\.bias'\] \(1\)",
    ),
    "transposed": (reshaped(GATE, torch.t), r"1\.0\.feed_forward\.w2.*\[192, 64\].*\[64, 192\]"),
    "another LLM": (
        reshaped("llma.output.weight", lambda t: t[:, :5]), r"output\.weight has .*\[512, 5\]"
    ),
    "another position table": (
        reshaped("llma.positional_embedding.audio", lambda t: t[:50]), r"49 positions of audio"
    ),
    "no OneLLM": (dropped("llma.tok_embeddings.weight"), "it is no OneLLM"),
    "odd heads": (
        lambda _, metadata: metadata.update(config='{"n_heads": 7}'), r"no multiple of n_heads=7"
    ),
    "said badly": (lambda _, metadata: metadata.update(clip="{"), "'clip' is no JSON"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_does_not_fit_is_named_and_nothing_is_left(checkpoint, words, tmp_path, case):
    change, message = CASES[case]
    path = damaged(checkpoint, tmp_path / "other.safetensors", change)
    with pytest.raises(PolysenseError, match=message):
        import_checkpoint("onellm", path, tmp_path / "run", "fp32", str(words))
    assert [file.name for file in tmp_path.iterdir()] == ["other.safetensors"]


def test_the_text_tokenizer_is_asked_for(checkpoint, words, tmp_path):
    def fails(match, llm, family="onellm"):
        with pytest.raises(PolysenseError, match=match):
            import_checkpoint(family, str(checkpoint), tmp_path / "run", "fp32", llm)

    fails("name a LLaMA", None)
    fails("leave --llm out", str(words), "llava")
    (tmp_path / "empty").mkdir()
    fails("no tokenizer.json and no", str(tmp_path / "empty"))
    (tmp_path / "empty/tokenizer.json").write_text("{")
    fails("cannot be read", str(tmp_path / "empty"))
    save_llm(tmp_path / "mute")  # its tokenizer begins no text
    fails("no tokens for begin", str(tmp_path / "mute"))
    larger = AutoTokenizer.from_pretrained(words)
    larger.add_tokens([f"word {number}" for number in range(400)])
    larger.save_pretrained(tmp_path / "larger")
    fails("and the checkpoint's LLM 512 words", str(tmp_path / "larger"))


def test_parts_of_pickled_tensors_give_the_same_run(checkpoint, words, run, tmp_path):
    """As the release is published: several files of torch.save, and sizes in a file of LLaMA's."""
    with safe_open(checkpoint, "pt") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    (tmp_path / "parts").mkdir()
    for part in range(3):
        some = {name: tensors[name] for name in sorted(tensors)[part::3]}
        torch.save(some, tmp_path / f"parts/consolidated.00-of-01.s{part}.pth")
    with pytest.raises(
        PolysenseError, match=r"say its n_heads in params\.json"
    ):  # nothing says that it is a tiny one
        import_checkpoint("onellm", str(tmp_path / "parts"), tmp_path / "run", "fp32", str(words))
    said = {"n_heads": 4, "resample_heads": 4, "head_width": 16, "point_group": 8, "dim": 64}
    (tmp_path / "parts/params.json").write_text(json.dumps(said))
    out = import_checkpoint("onellm", str(tmp_path / "parts"), tmp_path / "run", "fp32", str(words))
    for name in ("", "references/llm", "references/encoder"):
        found, expected = (load_file(f / name / "model.safetensors") for f in (out, run))
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[n], expected[n]) for n in found)
