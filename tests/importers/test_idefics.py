"""Imported IDEFICS against transformers' own class, in fp32: files to logits, padding, decoding.

Documents of no, one and three pictures go through both.
"""

from dataclasses import replace

import pytest
import torch
from fixtures.other_systems import save_idefics
from PIL import Image

from polysense import PolysenseModel, PolysenseProcessor
from polysense.config.overrides import to_json
from polysense.errors import PolysenseError
from polysense.importers.import_checkpoint import import_checkpoint
from polysense.model.configuration import PolysenseConfig

CASES = {
    "instruct": {},
    "base": {"spoken": False, "qk_layer_norms": False, "alpha_type": "float",
             "cross_layer_interval": 1, "tie_word_embeddings": True},
}  # fmt: skip


@pytest.fixture(scope="module", params=CASES)
def pair(request, tmp_path_factory):
    """Theirs, their processor, ours, our processor."""
    folder = tmp_path_factory.mktemp(request.param)
    theirs, their_processor = save_idefics(folder / "theirs", **CASES[request.param])
    out = import_checkpoint("idefics", str(folder / "theirs"), folder / "ours", "fp32")
    ours, processor = PolysenseModel.from_pretrained(out), PolysenseProcessor.from_pretrained(out)
    return theirs, their_processor, ours, processor


def pictures(count):
    torch.manual_seed(8)
    noise = torch.randint(0, 255, (count, 40, 28, 3), dtype=torch.uint8).numpy()
    return [Image.fromarray(one).resize((56, 90)) for one in noise]


def message(*parts):
    """What a user says: texts and pictures in their order."""
    kinds = ["text" if isinstance(part, str) else "image" for part in parts]
    content = [{"type": kind, kind: part} for kind, part in zip(kinds, parts, strict=True)]
    return [{"role": "user", "content": content}]


def documents():
    one, two, three = pictures(3)
    return [
        message("What is this?"),
        message(two, "A red circle. Which shape is it?"),
        message(one, "A red line.", two, three, "Is the next one blue?"),
    ]


def as_theirs(pair, batch):
    """A batch of ours as arguments of theirs: pictures by row, and who sees which, one for all."""
    _, their_processor, ours, _ = pair
    held = batch["input_ids"] == ours.config.placeholders["image"]
    ids = batch["input_ids"].masked_fill(
        held, their_processor.tokenizer.convert_tokens_to_ids("<image>")
    )
    counts, signals = held.sum(dim=1).tolist(), batch["signals"].get("image")
    most = max(1, *counts)
    pixels = torch.zeros(len(ids), most, 3, 28, 28)
    if signals is not None:
        for row, given in enumerate(signals.split(counts)):
            pixels[row, : len(given)] = given
    numbers = torch.arange(1, most + 1)
    seen = held.cumsum(dim=1)[..., None] == numbers
    return {
        "input_ids": ids, "attention_mask": batch["attention_mask"], "pixel_values": pixels,
        "image_attention_mask": seen,
    }  # fmt: skip


@torch.inference_mode()
def test_a_document_alone_is_written_and_seen_as_theirs(pair):
    """Prompt, pixels, masks and logits against their processor, from files."""
    theirs, their_processor, ours, processor = pair
    known = their_processor.tokenizer.get_vocab()
    end = "<end_of_utterance>" if "<end_of_utterance>" in known else ""
    one, two, three = pictures(3)
    given = their_processor(
        text=[["User:", one, "A red line.", two, three, f"Is the next one blue?{end}\nAssistant:"]],
        add_end_of_utterance_token=False, return_tensors="pt",
    )  # fmt: skip
    batch = processor.apply_chat_template(documents()[2])
    mapped = as_theirs(pair, batch)
    length = mapped["input_ids"].shape[1]
    assert torch.equal(mapped["input_ids"], given["input_ids"][:, -length:])
    assert torch.allclose(mapped["pixel_values"], given["pixel_values"], atol=1e-6)
    seen = given["image_attention_mask"][:, -length:].bool()
    assert torch.equal(mapped["image_attention_mask"], seen)
    expected = theirs(**mapped).logits
    assert torch.allclose(ours(**batch).logits, expected, atol=1e-5, rtol=0)
    assert expected.std() > 0.05


@torch.inference_mode()
def test_a_batch_with_padding(pair):
    theirs, _, ours, processor = pair
    batch = processor.apply_chat_template(documents())
    real = batch["attention_mask"].bool()
    assert not real.all()
    expected = theirs(**as_theirs(pair, batch)).logits
    assert torch.allclose(ours(**batch).logits[real], expected[real], atol=1e-5, rtol=0)


@torch.inference_mode()
def test_cached_greedy_generation(pair):
    theirs, _, ours, processor = pair
    batch = processor.apply_chat_template(documents())
    options = {"max_new_tokens": 16, "do_sample": False}
    start = batch["input_ids"].shape[1]
    ends = ours.llm.generation_config.eos_token_id
    expected = theirs.generate(
        **as_theirs(pair, batch), use_cache=True, eos_token_id=ends, **options
    )
    found = ours.generate(**batch, **options)[:, start:]
    assert torch.equal(found, expected[:, start:])
    assert found.shape[1] > 4
    assert len(found.unique()) > 2


@torch.inference_mode()
def test_every_picture_is_seen_by_the_text_behind_it(pair):
    _, _, ours, processor = pair
    one, two, three = pictures(3)
    batch, other = (
        processor.apply_chat_template(message(first, "A line.", two, "Blue?"))
        for first in (one, three)
    )
    found, changed = ours(**batch).logits[0], ours(**other).logits[0]
    first, second = (batch["input_ids"][0] == ours.config.placeholders["image"]).nonzero()[:, 0]
    assert torch.equal(found[:first], changed[:first])
    assert not torch.allclose(found[first:second], changed[first:second], atol=1e-3)


def test_what_is_no_such_idefics_is_refused(tmp_path):
    for name, options, words in (
        ("patches", {"use_resampler": False}, "use_resampler=False; only True is imported"),
        ("uneven", {"cross_layer_interval": 3}, "cross_layer_interval=3 does not divide its 4"),
    ):
        save_idefics(tmp_path / name, **options)
        with pytest.raises(PolysenseError, match=words):
            import_checkpoint("idefics", str(tmp_path / name), tmp_path / "out", "fp32")
        assert not (tmp_path / "out").exists()


def test_its_embeddings_fit_gated_blocks_only(pair):
    config = pair[2].config
    parts = config.parts
    for kind in ("input", "llama_adapter"):
        changed = replace(parts, fusion=replace(parts.fusion, kind=kind))
        with pytest.raises(PolysenseError, match=f"fusion.kind={kind} cannot read that"):
            PolysenseModel(PolysenseConfig(model=to_json(changed)))
