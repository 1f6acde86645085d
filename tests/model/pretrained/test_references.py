"""References are copied whole, at their revision; a checkpoint is the old one or the new one."""

import errno
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from fixtures.tiny_model import tiny_config
from safetensors import SafetensorError
from safetensors.torch import load_file

from polysense import PolysenseModel
from polysense.config import EncoderConfig
from polysense.errors import PolysenseError
from polysense.model.encoders.build import build_encoder
from polysense.model.hub import load_pretrained
from polysense.model.pretrained import checkpoint_files, references
from polysense.model.pretrained.references import copy_references
from polysense.training.run import build, resolve


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return tmp_path_factory.mktemp("references") / "parts"


@pytest.fixture(scope="module")
def model(parts):
    torch.manual_seed(0)
    return build(resolve(tiny_config(parts)))[0]


def files_of(folder):
    """The bytes of each file; of weights their tensors, since safetensors' header has no order."""
    return {
        path.relative_to(folder): sorted(
            (n, t.numpy().tobytes()) for n, t in load_file(path).items()
        )
        if path.suffix == ".safetensors"
        else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_revision_of_the_hub_is_what_is_copied(parts, tmp_path, monkeypatch):
    asked = []

    def download(name, revision):
        asked.append((name, revision))
        return str(parts / name.split("/")[1])

    monkeypatch.setattr(references, "snapshot_download", download)
    config = resolve(tiny_config(parts)).model
    config = replace(
        config,
        llm=replace(config.llm, name="someone/llm", revision="v2"),
        encoder=replace(config.encoder, name="someone/encoder", revision="v3"),
    )
    copied = copy_references(config, tmp_path)
    assert asked == [("someone/llm", "v2"), ("someone/encoder", "v3")]
    assert copied.llm.revision is copied.encoder.revision is None
    assert files_of(tmp_path / "references/llm") == files_of(parts / "llm")
    assert files_of(tmp_path / "references/encoder") == files_of(parts / "encoder")


def test_weights_are_loaded_at_their_revision():
    asked = []
    load_pretrained("LLM", lambda *a, **o: asked.append((a, o)), "someone/llm", "v2", dtype="x")
    assert asked == [(("someone/llm",), {"revision": "v2", "dtype": "x"})]


@pytest.mark.parametrize("change", [{"layer": -2}, {"pooled_grid": 1}, {"class_token": True}])
def test_another_layer_grid_or_class_token_is_another_encoder(parts, change):
    model_config = resolve(tiny_config(parts)).model.encoder
    one, other = (
        build_encoder(config, torch.float32)
        for config in (model_config, replace(model_config, **change))
    )
    assert isinstance(model_config, EncoderConfig)
    assert one.fingerprint() != other.fingerprint()
    assert one.identity() != other.identity()
    half = build_encoder(model_config, torch.bfloat16)
    assert half.identity() == one.identity()
    assert half.fingerprint() != one.fingerprint()


def test_another_encoder_is_refused(model, parts, tmp_path):
    model.save_pretrained(tmp_path / "saved")
    other = shutil.copytree(parts / "encoder", tmp_path / "other")
    tuned = build_encoder(replace(model.config.parts.encoder, name=str(other)), torch.float32)
    with torch.no_grad():
        next(iter(tuned.network.parameters())).add_(1)
    tuned.network.save_pretrained(other)
    with pytest.raises(PolysenseError, match="another encoder"):
        PolysenseModel.from_pretrained(tmp_path / "saved", encoder=str(other))


def test_a_complete_checkpoint_is_saved_into_its_own_folder_and_elsewhere(model, tmp_path):
    model.save_pretrained(tmp_path / "all", include_frozen=True)
    before = files_of(tmp_path / "all")
    loaded = PolysenseModel.from_pretrained(tmp_path / "all")
    loaded.save_pretrained(tmp_path / "all", include_frozen=True)
    assert files_of(tmp_path / "all") == before
    loaded.save_pretrained(tmp_path / "part")
    again = PolysenseModel.from_pretrained(tmp_path / "part")
    assert not again.config.include_frozen
    loaded.save_pretrained(tmp_path / "both", include_frozen=True)
    shutil.rmtree(tmp_path / "all")
    assert PolysenseModel.from_pretrained(tmp_path / "both").config.include_frozen


ERRORS = {
    "full": OSError(errno.ENOSPC, "No space left on device"),
    "full, says safetensors": SafetensorError("I/O error: No space (os error 28)"),
    "interrupted": KeyboardInterrupt(),
}


@pytest.mark.parametrize("what", ["weights", "config", "references"])
@pytest.mark.parametrize("kind", ERRORS)
def test_a_save_that_fails_leaves_the_older_whole(model, tmp_path, monkeypatch, what, kind):
    folder = tmp_path / "saved"
    model.save_pretrained(folder, include_frozen=True)
    before = files_of(folder)

    def fail(*places, **_):
        path = next((Path(place) for place in reversed(places) if isinstance(place, Path)), None)
        if path is not None and path.parent.is_dir() and not path.is_dir():
            path.write_bytes(b"half")
        raise ERRORS[kind]

    target, name = {
        "weights": (checkpoint_files, "save_file"),
        "config": (checkpoint_files.PolysenseConfig, "save_pretrained"),
        "references": (references.shutil, "copytree"),
    }[what]
    with torch.no_grad():
        next(model.connector.parameters()).add_(1)
    monkeypatch.setattr(target, name, fail)
    expected = KeyboardInterrupt if kind == "interrupted" else PolysenseError
    with pytest.raises(expected) as caught:
        model.save_pretrained(folder, include_frozen=True)
    if kind != "interrupted":
        assert "cannot be written: the disk is full" in str(caught.value)
    assert files_of(folder) == before


def test_a_folder_that_cannot_be_made_is_one_line(model, tmp_path):
    (tmp_path / "file").write_text("")
    for place in ("file", "file/below"):
        with pytest.raises(PolysenseError, match="cannot be written"):
            model.save_pretrained(tmp_path / place)


def test_what_was_trained_keeps_the_hash_it_started_from():
    model = SimpleNamespace(config=SimpleNamespace(fingerprints={"llm": "noted"}))
    found = references.fingerprints(model, {"llm": "loaded", "encoder": "seen"})
    assert found == {"llm": "noted", "encoder": "seen"}
