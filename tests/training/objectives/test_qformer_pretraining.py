"""BLIP-2's objectives: their numbers by hand, what they refuse, and that they teach a Q-Former."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from fixtures.tiny_model import two_modalities_config
from fixtures.tiny_qformer import paired_config

from polysense import PolysenseModel, PolysenseProcessor
from polysense.config import ConnectorConfig, Stage
from polysense.errors import PolysenseError
from polysense.training.objectives import objective_named
from polysense.training.objectives.qformer_pretraining import (
    Pairs,
    check_one_signal,
    hard_negatives,
    itc,
    itg,
    itm,
    paired,
)
from polysense.training.run import build, resolve, train
from polysense.training.stage_checks import check_stages
from polysense.types import Batch, Media, Message, Sample, Text


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return tmp_path_factory.mktemp("paired")


@pytest.fixture
def pairs(parts):
    torch.manual_seed(0)
    model, processor = build(resolve(paired_config(parts)))
    branch = model.connector.branches["image"].eval()
    for weight in branch.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.2)
    read = processor.captions.read(["A red circle.", "A blue line.", "A long green square."])
    return Pairs(branch, torch.randn(3, 4, 16), **read)


def smoothed(logits, target):
    """-log p of the target, of which all share a tenth: label smoothing by its definition."""
    wanted = torch.full((len(logits),), 0.1 / len(logits))
    wanted[target] += 0.9
    return -(wanted * logits.log_softmax(0)).sum()


def test_itc_by_hand(pairs):
    branch = pairs.branch
    signals = branch.signal_points(pairs.features)
    texts = branch.text_points(pairs.text_ids, pairs.text_mask)
    cosines = torch.stack([(signals @ text).max(dim=1).values for text in texts], dim=1)
    logits = cosines / 0.07
    expected = sum((smoothed(logits[i], i) + smoothed(logits[:, i], i)) / 2 for i in range(3))
    assert torch.allclose(itc(pairs), expected, rtol=1e-5)


def test_match_by_hand(pairs, monkeypatch):
    """With the likeliest wrong ones drawn: of two others, the one that ITC likes more."""
    monkeypatch.setattr(torch, "multinomial", lambda weights, _: weights.argmax(1, keepdim=True))
    by_signal, by_text = (side - 1e9 * torch.eye(3) for side in pairs.logits)
    branch, losses = pairs.branch, []
    for own in range(3):
        texts, signals = (
            (own, own, int(by_signal[own].argmax())),
            (own, int(by_text[own].argmax()), own),
        )
        for signal, text, truth in zip(signals, texts, (1, 0, 0), strict=True):
            itm_head = branch.itm_logits(
                pairs.features[[signal]], pairs.text_ids[[text]], pairs.text_mask[[text]]
            )
            losses.append(-itm_head[0].log_softmax(0)[truth])
    assert torch.allclose(itm(pairs), torch.stack(losses).sum() / 3, rtol=1e-5)


def test_caption_by_hand(pairs):
    total, words = torch.zeros(()), 0
    for row in range(3):
        length = int(pairs.text_mask[row].sum())
        ids = pairs.decoder_input_ids[row : row + 1, :length]
        logits = pairs.branch.itg_logits(pairs.features[[row]], ids, torch.ones_like(ids))[0]
        for place in range(length - 1):
            total = total + smoothed(logits[place], int(ids[0, place + 1]))
            words += 1
    assert torch.allclose(itg(pairs), total * 3 / words, rtol=1e-5)


def test_the_same_caption_is_no_wrong_one(pairs):
    same = replace(
        pairs,
        text_ids=pairs.text_ids[[0, 0, 1]],
        decoder_input_ids=pairs.decoder_input_ids[[0, 0, 1]],
        text_mask=pairs.text_mask[[0, 0, 1]],
    )
    for _ in range(5):
        assert torch.isfinite(itm(same))
    drawn = hard_negatives(torch.zeros(2, 4).repeat(500, 1), torch.tensor([[0, 1, 0, 1.0]]).bool())
    assert set(drawn.tolist()) == {1, 3}
    likely = hard_negatives(
        torch.tensor([[9.0, 3.0, 0.0]]).repeat(999, 1), torch.tensor([[False, True, True]])
    )
    assert (likely == 1).float().mean() > 0.9
    sure = torch.tensor([[0.0, 200.0, 0.0]]).repeat(99, 1)  # others have no weight at all
    drawn = hard_negatives(sure, torch.tensor([[True, False, True]]))
    assert set(drawn.tolist()) == {0, 2}
    alike = replace(
        pairs,
        text_ids=pairs.text_ids[[0, 0, 0]],
        decoder_input_ids=pairs.decoder_input_ids[[0, 0, 0]],
        text_mask=pairs.text_mask[[0, 0, 0]],
    )
    only = pairs.branch.itm_logits(alike.features, alike.text_ids, alike.text_mask).log_softmax(1)[
        :, 1
    ]
    assert torch.allclose(itm(alike), -only.sum() / 3, rtol=1e-5)


def test_captions_are_compared_without_what_fills_them_up(pairs):
    ids, mask = pairs.text_ids[[0, 0, 0]].clone(), pairs.text_mask[[0, 0, 0]]
    assert not mask[0].all()
    ids[1][mask[1] == 0] = 7
    alike = replace(
        pairs, text_ids=ids, text_mask=mask, decoder_input_ids=pairs.decoder_input_ids[[0, 0, 0]]
    )
    only = pairs.branch.itm_logits(pairs.features, ids, mask).log_softmax(1)[:, 1]
    assert torch.allclose(itm(alike), -only.sum() / 3, rtol=1e-5)


def test_a_batch_that_cannot_be_compared_is_refused(pairs):
    captions = {
        "text_ids": pairs.text_ids, "decoder_input_ids": pairs.decoder_input_ids,
        "text_mask": pairs.text_mask,
    }  # fmt: skip
    model = SimpleNamespace(connector=SimpleNamespace(branches={"image": pairs.branch}))

    def refusal(**features):
        with pytest.raises(PolysenseError) as caught:
            paired(model, Batch(features=features, signals={}, captions=captions), ("itc", "itm"))
        return str(caught.value)

    assert "the batch has image, imu: name one" in refusal(image=pairs.features, imu=pairs.features)
    assert "the batch has none" in refusal()
    assert "2 signals and 3 captions" in refusal(image=pairs.features[:2])
    batch = Batch(features={"image": pairs.features}, signals={}, captions=captions)
    total, count = paired(model, batch, ("itc", "itg"))
    assert torch.allclose(total, itc(pairs) + itg(pairs))
    assert int(count) == 3


def test_a_sample_of_two_signals_is_refused():
    red = Media("image", "red.png")

    def sample(*media):
        return Sample("two", (Message("user", media), Message("assistant", (Text("A."),))))

    stage = Stage("s", ("connector",), objective="itc")
    check_one_signal(stage, [sample(red), sample(red)])
    for samples in ([sample(red), sample(red, red)], [sample(red, red)] * 2, [sample()] * 2):
        with pytest.raises(PolysenseError, match=r"sample 'two' has [02]"):
            check_one_signal(stage, samples)


def test_every_learnt_part_gets_its_gradient(pairs):
    (itc(pairs) + itm(pairs) + itg(pairs)).backward()
    silent = {name for name, p in pairs.branch.named_parameters() if p.grad is None}
    assert silent == {"output_projection.weight", "output_projection.bias"}


def test_a_stage_teaches_and_its_run_loads_again(parts, tmp_path):
    """Training by the loop: the loss falls, on held-out pictures too, and all is saved."""
    train(paired_config(parts), tmp_path / "run")
    log = tmp_path / "run/stages/representation/log.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    held_out = [line for line in lines if "val_loss_shuffled" in line]
    assert len(held_out) >= 2
    assert held_out[-1]["val_loss"] < held_out[0]["val_loss"]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[-1] < 0.75 * losses[0]
    model = PolysenseModel.from_pretrained(tmp_path / "run")
    processor = PolysenseProcessor.from_pretrained(tmp_path / "run")
    read = processor.captions.read(["A red circle."])
    branch = model.connector.branches["image"]
    assert branch.text_points(read["text_ids"], read["text_mask"]).shape == (1, 8)


def test_what_cannot_be_compared_is_refused(parts, tmp_path):
    config = paired_config(parts)
    stage = config.stages[0]
    model, _ = build(resolve(config))

    def refusal(changed, **values):
        with pytest.raises(PolysenseError) as caught:
            check_stages(changed, replace(config, stages=(replace(stage, **values),)))
        return str(caught.value)

    assert "batch_size=6: itc+itm+itg compares" in refusal(
        model, batch_size=6, gradient_accumulation_steps=4
    )
    assert "two at least" in refusal(model, batch_size=4, gradient_accumulation_steps=4)
    plain = replace(config, model=replace(config.model, connector=ConnectorConfig("mlp")))
    assert "connector.contrastive_width=256" in refusal(build(resolve(plain))[0])
    two = two_modalities_config(parts)
    several = replace(config, model=replace(config.model, modalities=two.model.modalities),
                      data=two.data)  # fmt: skip
    with pytest.raises(PolysenseError, match="compares signals of one modality, one a sample"):
        train(several, tmp_path / "two")
    assert objective_named("itc").pairs
    assert not objective_named("next_token").pairs
    assert isinstance(stage, Stage)
