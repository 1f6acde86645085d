"""The importer of OneLLM against its official code at tiny size, from a file to the logits.

polysense.importers.onellm.read reads the fixture of conftest.py, through the command that users
give. What it refuses is in test_onellm_refusals.py.
"""

import json
import shutil

import pytest
import torch
from PIL import Image
from safetensors import safe_open

from polysense import PolysenseModel, PolysenseProcessor
from polysense.cli.main import main

PLACES = 32  # the tags and what stands between them
POSITIONS = {"image": 17, "audio": 61, "imu": 42}


@pytest.fixture(scope="module")
def model(run):
    return PolysenseModel.from_pretrained(run)


@pytest.mark.parametrize("modality", POSITIONS)
@torch.inference_mode()
def test_features_and_logits_equal_the_official_ones(model, fixture, modality):
    features = model.extract_features(modality, fixture[f"input.{modality}"])
    assert features.shape == (2, POSITIONS[modality], 64)
    found = model.connector.project(features, modality)
    assert (found - fixture[f"features.{modality}"]).abs().max() < 1e-4
    tokens = fixture["tokens"]
    held = torch.full((2, PLACES), model.config.placeholders[modality])
    ids = torch.cat([tokens[:, :1], held, tokens[:, 1:]], dim=1)
    logits = model(ids, signals={modality: fixture[f"input.{modality}"]}).logits[
        :, -tokens.shape[1] :
    ]
    expected = fixture[f"logits.{modality}"]
    assert (logits - expected).abs().max() < 1e-4
    assert expected.std() > 0.05


@torch.inference_mode()
def test_cached_greedy_decoding_equals_uncached(model, fixture):
    """The release's own cache is two positions off; ours must not be."""
    held = torch.full((2, PLACES), model.config.placeholders["image"])
    ids = torch.cat([fixture["tokens"][:, :1], held, fixture["tokens"][:, 1:]], dim=1)
    found = [
        model.generate(
            ids, torch.ones_like(ids), {"image": fixture["input.image"]}, max_new_tokens=12,
            do_sample=False, use_cache=cached, eos_token_id=None,
        )
        for cached in (True, False)
    ]  # fmt: skip
    assert torch.equal(found[0], found[1])
    assert found[0].shape[1] == ids.shape[1] + 12


def test_tags_stand_around_the_features(model, fixture):
    features = torch.randn(1, 17, 64)
    embeddings = model.connect("image", features)
    assert torch.equal(embeddings[0, 0], fixture["weight.llma.start_tag.image"].flatten())
    assert torch.equal(embeddings[0, -1], fixture["weight.llma.end_tag.image"].flatten())


def test_the_releases_own_ways_are_options(model):
    options = model.config.parts.modalities
    assert options["point"]["fps_columns"] == "rgb"
    assert options["depth"]["pair"] is options["normal"]["pair"] is True
    assert (options["imu"]["acceleration_scale"], options["fmri"]["normalise"]) == (1.0, "none")
    assert options["image"]["fit"] == "crop"
    connector = model.config.parts.connector
    assert (connector.router, connector.router_input) == ("sigmoid", "tokens")
    assert model.connector.routers["image"].kind == "sigmoid"
    for modality in model.modalities.values():
        assert modality.example().isfinite().all()
    assert model.modalities["depth"].example().shape == (2, 3, 56, 56)


def test_another_router_gives_other_features(run, fixture, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    config = json.loads((tmp_path / "run/config.json").read_text())
    config["model"]["connector"]["router"] = "softmax"
    (tmp_path / "run/config.json").write_text(json.dumps(config))
    other = PolysenseModel.from_pretrained(tmp_path / "run")
    with torch.inference_mode():
        found = other.connector.project(
            other.extract_features("image", fixture["input.image"]), "image"
        )
    assert (found - fixture["features.image"]).abs().max() > 1e-4


def test_the_prompt_is_the_releases(run):
    processor = PolysenseProcessor.from_pretrained(run)
    bos = processor.text_tokenizer.bos_token
    picture = Image.new("RGB", (60, 60), "red")

    def user(*parts):
        return {"role": "user", "content": list(parts)}

    shown, asked = {"type": "image", "image": picture}, {"type": "text", "text": "Red?"}
    said = [user(asked, shown), {"role": "assistant", "content": "Yes."}, user(shown, asked)]
    batch = processor.apply_chat_template(said)
    text = processor.decode(batch["input_ids"][0], skip_special_tokens=False)
    system = text[text.index("A chat") : text.index("\n\n")]
    assert system.endswith("polite answers to the human's questions.")
    run_of_places = PLACES * "<|image|>"
    # Behind the words of its own question a signal stays where it is.
    assert text == (
        f"{bos}Red?{run_of_places}{system}\n\n### Human: \n### Assistant: Yes.\n"
        f"### Human: {run_of_places}Red?\n### Assistant:"
    )
    first = processor.apply_chat_template(
        [{"role": "system", "content": "Look."}, user(shown, asked)]
    )
    text = processor.decode(first["input_ids"][0], skip_special_tokens=False)
    assert text == f"{bos}{run_of_places}Look.\n\n### Human: Red?\n### Assistant:"
    batch = processor.apply_chat_template(said[:2], add_generation_prompt=False)
    trainable = batch["labels"][batch["labels"] >= 0]
    assert processor.decode(trainable, skip_special_tokens=False) == "Yes.\n###"


def test_an_answer_ends_where_the_release_ends_it(run):
    processor = PolysenseProcessor.from_pretrained(run)
    tokenizer = processor.text_tokenizer
    settings = json.loads((run / "references/llm/generation_config.json").read_text())
    line, whole = (tokenizer(t, add_special_tokens=False)["input_ids"] for t in ("A.\n", "A.\n###"))
    ends = settings["eos_token_id"]
    assert ends == [tokenizer.eos_token_id, whole[len(line)]]
    assert processor.decode([*line, ends[1]]) == "A."


def call(capsys, *words):
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    printed = capsys.readouterr()
    return stopped.value.code, printed.out, printed.err.strip()


def test_the_command_accounts_for_every_tensor_and_ask_works(capsys, checkpoint, words, tmp_path):
    out = tmp_path / "runs/onellm"
    code, printed, _ = call(capsys, "import", "onellm", checkpoint, out, "--llm", words)
    assert code == 0
    with safe_open(checkpoint, "pt") as opened:
        total = len(list(opened.keys()))
    import_summary = json.loads((out / "imported.json").read_text())
    parts = [import_summary[part] for part in ("llm", "encoder", "tokenizers", "connector")]
    assert sum(parts) + len(import_summary["left out"]) == import_summary["tensors"] == total
    assert "llma.clip.visual.proj" in printed
    moved = shutil.move(out, tmp_path / "moved")
    Image.new("RGB", (90, 60), "red").save(tmp_path / "red.png")
    rows = "\n".join(f"{i / 200},0,0,9.81,0,0,0" for i in range(50))
    (tmp_path / "rest.csv").write_text(f"time_s,acc_x,acc_y,acc_z,gyro_x,gyro_y,gyro_z\n{rows}\n")
    for shown in (f"image:{tmp_path}/red.png", f"imu:{tmp_path}/rest.csv"):
        code, _, error = call(capsys, "ask", moved, shown, "What?", "--max-new-tokens", 3)
        assert code == 0, error
    code, printed, _ = call(capsys, "describe", moved, "--picture", tmp_path / "routing.png")
    assert code == 0
    assert "expert 3" in printed
    assert Image.open(tmp_path / "routing.png").size[0] > 300
