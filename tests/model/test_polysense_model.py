"""The model as a whole: decoding, batches, saving, and that what is frozen stays frozen.

Saving and loading are polysense.model.pretrained.save_load and polysense.model.configuration; the
modality is an instance of polysense.modalities.base.
"""

import json
import shutil

import pytest
import torch
from fixtures.tiny_model import save_llm, tiny_config, tiny_run
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from polysense import PolysenseModel, PolysenseProcessor
from polysense.errors import PolysenseError
from polysense.training.run import build, resolve, train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tiny_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def loaded(run):
    return PolysenseModel.from_pretrained(run), PolysenseProcessor.from_pretrained(run)


def message(text, *colours):
    pictures = [{"type": "image", "image": Image.new("RGB", (30, 20), c)} for c in colours]
    return [{"role": "user", "content": [*pictures, {"type": "text", "text": text}]}]


def test_cached_and_uncached_greedy_decoding_agree(loaded):
    model, processor = loaded
    inputs = processor.apply_chat_template(message("What is this?", "red"))
    cached = model.generate(**inputs, max_new_tokens=12, do_sample=False)
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    while ids.shape[1] < cached.shape[1]:
        logits = model(ids, mask, signals=inputs["signals"]).logits
        ids = torch.cat([ids, logits[:, -1:].argmax(-1)], dim=1)
        mask = torch.ones_like(ids)
    assert cached.shape[1] > inputs["input_ids"].shape[1]
    assert torch.equal(cached, ids)


def test_a_batch_of_mixed_lengths_answers_as_one_by_one(loaded):
    model, processor = loaded
    conversations = [
        message("What is this?", "red"),
        message("And what are these two things here, side by side?", "blue", "green"),
        message("No picture at all."),
    ]
    inputs = processor.apply_chat_template(conversations)
    start = inputs["input_ids"].shape[1]
    together = processor.batch_decode(
        model.generate(**inputs, max_new_tokens=8, do_sample=False)[:, start:]
    )
    for conversation, answer in zip(conversations, together, strict=True):
        alone = processor.apply_chat_template(conversation)
        ids = model.generate(**alone, max_new_tokens=8, do_sample=False)
        assert processor.decode(ids[0, alone["input_ids"].shape[1] :]) == answer


def test_pictures_change_the_logits_and_their_order_matters(loaded):
    model, processor = loaded
    first, second = (
        model(**processor.apply_chat_template(message("Which?", *colours))).logits[:, -1]
        for colours in (("red", "blue"), ("blue", "red"))
    )
    assert not torch.allclose(first, second)


@torch.inference_mode()
def test_the_features_of_several_frames_are_their_mean(loaded):
    frames = torch.randn(2, 3, 3, 28, 28)  # two signals of three frames
    found = loaded[0].extract_features("image", frames)
    alone = [loaded[0].extract_features("image", frames[:, index]) for index in range(3)]
    assert torch.allclose(found, sum(alone) / 3, atol=1e-6)
    assert all(not torch.allclose(found, one, atol=1e-3) for one in alone)


def test_what_is_frozen_stays_frozen_bit_for_bit(tmp_path):
    config = tiny_config(tmp_path / "parts", steps_scale=0.5)
    torch.manual_seed(config.seed)
    before = {n: t.clone() for n, t in build(resolve(config))[0].state_dict().items()}
    after = train(config, tmp_path / "run").model.state_dict()
    moved = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    assert moved
    assert {name for name in moved if not name.startswith("connector.")} == {
        name for name in moved if ".lora_" in name
    }


def test_the_checkpoint_holds_what_was_learnt_and_loads_to_the_same_logits(run, loaded, tmp_path):
    names = set(load_file(run / "model.safetensors"))
    assert names
    assert all(name.startswith("connector.") or ".lora_" in name for name in names)
    model, processor = loaded
    model.save_pretrained(tmp_path / "again")
    processor.save_pretrained(tmp_path / "again")
    inputs = processor.apply_chat_template(message("What is this?", "red"))
    for family in (AutoModel, AutoModelForCausalLM):
        again = family.from_pretrained(tmp_path / "again")
        assert torch.equal(again(**inputs).logits, model(**inputs).logits)
    assert AutoConfig.from_pretrained(run).model_type == "polysense"


def test_a_complete_checkpoint_needs_nothing_else(run, loaded, tmp_path):
    model, processor = loaded
    model.save_pretrained(tmp_path / "all", include_frozen=True)
    values = json.loads((tmp_path / "all/config.json").read_text())
    assert values["model"]["llm"]["name"] == "references/llm"
    moved = shutil.move(tmp_path / "all", tmp_path / "moved")
    again = PolysenseModel.from_pretrained(moved)
    inputs = processor.apply_chat_template(message("What is this?", "red"))
    assert torch.equal(again(**inputs).logits, model(**inputs).logits)


def test_another_llm_is_refused_by_its_fingerprint(run, tmp_path):
    other = save_llm(tmp_path / "other", seed=7)
    with pytest.raises(PolysenseError, match="another llm"):
        PolysenseModel.from_pretrained(run, llm=str(other))


def test_a_damaged_checkpoint_is_named(run, tmp_path):
    broken = shutil.copytree(run, tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(PolysenseError, match="damaged"):
        PolysenseModel.from_pretrained(broken)


def test_a_mismatch_of_places_and_signals_names_both_numbers(loaded):
    model, processor = loaded
    inputs = processor.apply_chat_template(message("What?", "red"))
    inputs["signals"]["image"] = inputs["signals"]["image"].repeat(2, 1, 1, 1)
    with pytest.raises(PolysenseError, match=r"4 places for image .* but 8 embeddings"):
        model(**inputs)


def test_a_placeholder_typed_by_a_user_is_refused(loaded):
    with pytest.raises(PolysenseError, match="stands for image"):
        loaded[1].apply_chat_template(message("I type <|image|> here"))


@pytest.mark.gpu
def test_a_gpu_gives_the_logits_of_the_cpu(run):
    model, processor = PolysenseModel.from_pretrained(run), PolysenseProcessor.from_pretrained(run)
    inputs = processor.apply_chat_template(message("What is this?", "red", "blue"))
    with torch.inference_mode():
        expected = model(**inputs).logits
        found = model.to("cuda")(**inputs.to("cuda")).logits
    assert torch.allclose(expected, found.cpu(), atol=1e-3)
