"""Every peer's recipe at the laptop's size trains, is saved, and answers; steps are the same."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fixtures.tiny_model import save_llm, save_pictures
from PIL import Image

from polysense import PolysenseModel, PolysenseProcessor
from polysense.data.datasets import read_manifest
from polysense.data.loading.batches import TrainingData
from polysense.data.loading.sampler import SampleIndex
from polysense.data.prompts import samples_for
from polysense.errors import PolysenseError
from polysense.model.encoders.efficientnet import EfficientNetLite
from polysense.recipes import PEERS
from polysense.recipes.laptop import scaled_down as on_laptop
from polysense.recipes.laptop.weights import LaptopData
from polysense.recipes.published.onellm import onellm_7b
from polysense.training.run import build, resolve, train


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A tiny LLM, pictures and an EfficientNet of random weights where the laptop's would be."""
    folder = tmp_path_factory.mktemp("laptop")
    weights = folder / "efficientnet-lite0-random.pth"
    torch.manual_seed(0)
    torch.save(EfficientNetLite("lite0").state_dict(), weights)
    pictures = save_pictures(folder / "pictures", count=12)
    return LaptopData(pictures, save_llm(folder / "llm"), weights)


@pytest.fixture
def laptop(parts, monkeypatch):
    monkeypatch.setattr(on_laptop, "laptop_data", lambda folder: parts)
    return lambda name: on_laptop.on_laptop(PEERS[name](Path("data"), "pairs.jsonl"), Path("data"))


@pytest.mark.parametrize("name", PEERS)
def test_the_way_from_features_to_words_is_the_recipes_and_the_budget_everybodys(laptop, name):
    recipe, small = PEERS[name](Path("data"), "pairs.jsonl"), laptop(name)
    assert small.recipe == f"{name}-laptop"
    assert small.model.connector.kind == recipe.model.connector.kind
    assert small.model.fusion.kind == recipe.model.fusion.kind
    assert list(small.model.modalities) == ["image"]
    aligned = [stage for stage in small.stages if stage.objective == "next_token"]
    assert 195 <= sum(stage.steps or 0 for stage in aligned) <= 200
    assert aligned[-1].task == "instruction"
    first = [stage.name for stage in small.stages if stage.objective != "next_token"]
    beginnings = {"flamingo": [], "qwen-vl": ["token_alignment"]}
    for former in ("blip2", "instructblip", "minigpt4", "x-llm"):
        beginnings[former] = ["representation"]
    assert first == beginnings.get(name, ["bag_of_words"])
    assert small.model.connector.init_from is None
    assert any("lora" in part for s in aligned for part in s.trainable) == bool(
        small.model.llm.lora
    )


@pytest.mark.parametrize("name", PEERS)
def test_each_learns_is_saved_and_answers(laptop, parts, name, tmp_path):
    config = laptop(name)
    stages = tuple(replace(stage, steps=1, batch_size=4) for stage in config.stages)
    data = replace(config.data, held_out=0.3, views=1)
    often = replace(config.model.fusion, every_n_layers=1)  # this LLM has two layers
    config = replace(config, stages=stages, data=data, model=replace(config.model, fusion=often))
    trainee = train(config, tmp_path / "run", parts.llm.parent / "features")
    model = PolysenseModel.from_pretrained(tmp_path / "run")
    processor = PolysenseProcessor.from_pretrained(tmp_path / "run")
    asked = [{"type": "image", "image": Image.new("RGB", (30, 20), "red")}]
    question = [{"role": "user", "content": [*asked, {"type": "text", "text": "What is this?"}]}]
    batch = processor.apply_chat_template(question)
    assert ("instructions" in batch) == (name == "instructblip")
    with torch.inference_mode():
        assert torch.equal(model(**batch).logits, trainee.model(**batch).logits)
    new = model.generate(**batch, max_new_tokens=3, do_sample=False)
    assert new.shape[1] > batch["input_ids"].shape[1]


def test_instructblip_is_told_the_question_in_training_and_when_asked(laptop, parts):
    config = resolve(replace(laptop("instructblip"), stages=laptop("instructblip").stages[-1:]))
    model, processor = build(config)
    records = read_manifest(parts.manifest, ["image"])
    samples = samples_for("instruction", records, model.modalities)
    data = TrainingData(samples, processor, "template", cache=None)
    batch = data.batch([SampleIndex(0, 0), SampleIndex(3, 0)])
    reader = processor.instruction_tokenizer
    told = reader.batch_decode(batch["instructions"]["image"]["text_ids"])
    questions = [samples[index].messages[0].parts[-1].text for index in (0, 3)]
    assert [words.replace(reader.pad_token, "") for words in told] == questions
    alone = data.prompts([3])["instructions"]["image"]["text_ids"]
    assert reader.decode(alone[0]) == questions[1]


def test_a_budget_is_shared_by_a_recipes_stages(laptop, monkeypatch):
    vila = PEERS["vila"](Path("data"), "pairs.jsonl")
    small = on_laptop.on_laptop(vila, Path("data"), budget=on_laptop.Budget(50, qformer_stage=0))
    assert [(s.name, s.steps) for s in small.stages] == [
        ("projector", 15), ("documents", 15), ("instruction", 20)
    ]  # fmt: skip


def test_a_recipe_without_pictures_is_refused(laptop):
    config = onellm_7b(Path("data"), "pairs.jsonl")
    heard = replace(config, model=replace(config.model, modalities={"audio": {}}))
    with pytest.raises(PolysenseError, match="onellm-7b has no pictures"):
        on_laptop.on_laptop(heard, Path("data"))
