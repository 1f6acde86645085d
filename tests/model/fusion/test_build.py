"""Every interaction in a whole model: what it is at first, who sees what; trained and saved."""

from dataclasses import replace

import pytest
import torch
from fixtures.tiny_fusion import KINDS, asked, config_of, made

from polysense import PolysenseModel
from polysense.errors import PolysenseError
from polysense.evaluation.report.model_summary import part_rows
from polysense.model.fusion.base import PLACEHOLDER_KINDS
from polysense.model.fusion.placeholder_fusion import arrange_media
from polysense.training.run import build, resolve, train

LOOKING = list(KINDS)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return tmp_path_factory.mktemp("fusion") / "parts"


@pytest.mark.parametrize("kind", sorted(PLACEHOLDER_KINDS))
@torch.inference_mode()
def test_the_bare_llm_at_first_bit_for_bit(parts, kind):
    model, processor = made(parts, kind, opened=False)
    batch = processor.apply_chat_template(asked("What is this?", "red"))
    place = batch["input_ids"] == model.config.placeholders["image"]
    assert place.sum() == 1
    words = model.llm.get_input_embeddings()(batch["input_ids"].masked_fill(place, 0))
    words[place] = model.fusion.placeholder_embeddings["image"]
    expected = model.llm(inputs_embeds=words, attention_mask=batch["attention_mask"]).logits
    assert torch.equal(model(**batch).logits, expected)
    after = made(parts, kind)[0](**batch).logits
    assert not torch.allclose(after, expected, atol=1e-3)


@torch.inference_mode()
def test_an_expert_at_first_is_the_model_without_bit_for_bit(parts):
    model, processor = made(parts, "visual_expert", opened=False)
    plain, _ = made(parts, "input")
    batch = processor.apply_chat_template(asked("What are these?", "red", "blue"))
    assert model.placeholder_mask(batch["input_ids"]).sum() == 2 * 3
    expected = plain(**batch).logits
    assert torch.equal(model(**batch).logits, expected)
    assert not torch.allclose(made(parts, "visual_expert")[0](**batch).logits, expected, atol=1e-3)


@pytest.mark.parametrize("kind", LOOKING)
@torch.inference_mode()
def test_a_batch_of_mixed_signals_decodes_as_one_by_one_and_uncached(parts, kind):
    model, processor = made(parts, kind)
    conversations = [
        asked("What is this?", "red"),
        asked("And what are these two, side by side?", "blue", "green"),
        asked("No picture at all."),
    ]
    together = processor.apply_chat_template(conversations)
    start = together["input_ids"].shape[1]
    new = model.generate(**together, max_new_tokens=8, do_sample=False)[:, start:]
    for index, conversation in enumerate(conversations):
        batch = processor.apply_chat_template(conversation)
        ids, mask, length = batch["input_ids"], batch["attention_mask"], batch["input_ids"].shape[1]
        alone = model.generate(**batch, max_new_tokens=8, do_sample=False)
        kept = alone[0, length:]
        assert torch.equal(new[index, : len(kept)], kept)
        while ids.shape[1] < alone.shape[1]:
            logits = model(ids, mask, signals=batch.get("signals")).logits
            ids = torch.cat([ids, logits[:, -1:].argmax(-1)], dim=1)
            mask = torch.ones_like(ids)
        assert torch.equal(ids, alone)


@pytest.mark.parametrize("kind", LOOKING)
@torch.inference_mode()
def test_samples_that_share_a_row_are_as_alone(parts, kind):
    model, processor = made(parts, kind)
    batches = [
        processor.apply_chat_template(asked("First?", "red")),
        processor.apply_chat_template(asked("No picture here.")),
        processor.apply_chat_template(asked("Second and third?", "blue", "green")),
    ]
    ids = torch.cat([batch["input_ids"] for batch in batches], dim=1)
    lengths = [batch["input_ids"].shape[1] for batch in batches]
    positions = torch.cat([torch.arange(length) for length in lengths])[None]
    pictures = torch.cat([b["signals"]["image"] for b in batches if b["signals"]])
    signals = {"image": pictures}
    packed = model(ids, position_ids=positions, signals=signals, use_cache=False).logits
    for found, batch in zip(packed.split(lengths, dim=1), batches, strict=True):
        assert torch.allclose(found, model(**batch).logits, atol=1e-4)


@pytest.mark.parametrize("kind", LOOKING)
@torch.inference_mode()
def test_text_reads_the_pictures_before_it_and_in_their_order(parts, kind):
    model, processor = made(parts, kind)
    batches = [
        processor.apply_chat_template(asked("Hm?", *colours))
        for colours in (("red", "blue"), ("green", "blue"), ("red", "green"), ("blue", "red"))
    ]
    held = model.placeholder_mask(batches[0]["input_ids"])[0].nonzero().flatten()
    first, second = held[0], held[len(held) // 2]
    one, left, right, turned = (model(**batch).logits[0] for batch in batches)
    assert first > 0
    assert torch.equal(one[:first], left[:first])
    assert torch.equal(one[:second], right[:second])
    for other in (left, right, turned):
        assert not torch.allclose(one[-1], other[-1], atol=1e-4)


@pytest.mark.parametrize("kind", LOOKING)
def test_training_moves_it_and_not_the_llm_and_the_checkpoint_holds_it(parts, tmp_path, kind):
    config = config_of(parts, kind)
    torch.manual_seed(config.seed)
    before = {n: t.clone() for n, t in build(resolve(config))[0].state_dict().items()}
    trainee = train(config, tmp_path / "run")
    after = trainee.model.state_dict()
    moved = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    assert {name.split(".")[0] for name in moved} == {"connector", "fusion"}
    own = {name for name in after if name.startswith("fusion.")}
    assert {n for n in own if n.endswith("gate") or kind == "visual_expert"} <= moved
    rows = {part: (size, trainable) for part, size, trainable in part_rows(trainee.model)}
    size = sum(after[name].numel() for name in own)
    assert rows["fusion"] == (size, size)
    again = PolysenseModel.from_pretrained(tmp_path / "run")
    batch = trainee.processor.apply_chat_template(asked("What is this?", "red"))
    with torch.inference_mode():
        assert torch.equal(again(**batch).logits, trainee.model.eval()(**batch).logits)


def test_what_does_not_go_together_is_refused(parts, tmp_path):
    model, processor = made(parts, "cross_attention")
    batch = processor.apply_chat_template(asked("What?", "red"))
    batch["signals"]["image"] = batch["signals"]["image"].repeat(2, 1, 1, 1)
    with pytest.raises(PolysenseError, match=r"1 places for image .* but 2 embeddings"):
        model(**batch)
    with pytest.raises(
        PolysenseError, match=r"unknown fusion 'cross-attention'; did you mean 'cross_attention'"
    ):
        made(parts, "cross-attention")
    config = config_of(parts, "llama_adapter")
    config = replace(config, stages=(replace(config.stages[0], objective="bag_of_words"),))
    with pytest.raises(PolysenseError, match="no embeddings stand in the text; use next_token"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_signals_of_two_modalities_stand_in_reading_order():
    ids = torch.tensor([[1, 8, 2, 9, 9], [0, 0, 9, 1, 8]])
    eye, ear = torch.full((2, 3, 4), 1.0), torch.full((3, 3, 4), 2.0)
    eye[1] += 10
    ear[2] += 10
    media, held = arrange_media(ids, {"eye": 8, "ear": 9}, {"eye": eye, "ear": ear}, 4)
    assert held.cumsum(1).tolist() == [[0, 1, 1, 2, 3], [0, 0, 1, 1, 2]]
    assert media[:, :, 0, 0].tolist() == [[1, 2, 2], [12, 11, 0]]
    with pytest.raises(PolysenseError, match="of as many embeddings"):
        arrange_media(ids, {"eye": 8, "ear": 9}, {"eye": eye[:, :2], "ear": ear}, 4)


@torch.inference_mode()
def test_an_llm_is_tried_as_if_no_fusion_were_in_it(parts):
    model, processor = made(parts, "cross_attention")
    expected = model.capabilities
    vars(model).pop("capabilities")
    batch = processor.apply_chat_template(asked("What is this?", "red"))
    with model.multimodal_inputs(batch["input_ids"], batch["signals"]):
        assert model.capabilities == expected
