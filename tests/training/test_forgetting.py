"""Modalities are learnt one after the other, and a table says what is left of the earlier ones."""

import json
from types import SimpleNamespace

import pytest
import torch
from fixtures.tiny_model import two_modalities_config

from polysense import atomic_write
from polysense.data.loading.feature_cache import FeatureCache, media_of
from polysense.training import forgetting
from polysense.training.forgetting import (
    FILE,
    ModalityScore,
    by_modality,
    forgetting_table,
    note_scores,
    read_scores,
    rounds,
    score_modality,
    strangers,
)
from polysense.training.run import train


def test_scores_are_laid_out_by_modality_and_stage():
    first, second, other = (ModalityScore(name, 9, 3, 0.5, 0.1) for name in ("b", "b", "a"))
    stages = {"one": [first], "two": [other, second]}
    assert by_modality(stages) == {"b": [first, second], "a": [None, other]}
    assert by_modality({}) == {}
    assert [list(column.cells) for column in forgetting_table(stages).columns] == [
        ["b", "a"], ["0.50 (0.10)", "-"], ["0.50 (0.10)"] * 2,
    ]  # fmt: skip


def samples_of(captions):
    """Held-out data that has these captions, one record each, all of a modality "heat"."""
    samples = [
        SimpleNamespace(key=str(number), modalities="heat", metadata={"caption": caption})
        for number, caption in enumerate(captions)
    ]
    return SimpleNamespace(samples=samples)


def test_captions_are_dealt_to_rounds_of_the_same_size():
    found = rounds(samples_of([f"caption {number:02d}" for number in range(31)]), "heat")
    assert [len(captions) for _, captions in found] == [12, 12]
    assert [len(indices) for indices, _ in found] == [12, 12]
    assert not set(found[0][1]) & set(found[1][1])
    assert rounds(samples_of(["a", "b"]), "imu") == [([], [])]


def test_signals_of_a_caption_are_taken_in_turn():
    ((indices, captions),) = rounds(samples_of(["a", "a", "a", "b", "b", "c"]), "heat")
    assert captions == ["a", "b", "c"]
    assert indices == [0, 3, 5, 1, 4, 2]


def test_a_round_has_at_most_24_signals_and_each_record_once():
    ((indices, captions),) = rounds(samples_of(["a", "b"] * 20), "heat")
    assert (captions, len(indices)) == (["a", "b"], 24)
    data = samples_of(["a", "b", "a"])
    data.samples[2].key = data.samples[0].key  # asked about in other words
    assert rounds(data, "heat") == [([0, 1], ["a", "b"])]


def test_a_score_is_the_share_right_and_blind_is_that_of_the_signal_before(monkeypatch):
    """Three signals; the first two are understood, the third is taken for the first."""
    data = samples_of(["a", "b", "c"])
    data.reads = lambda index: True
    found = torch.tensor([[0.0, -9.0, -9.0], [-9.0, 0.0, -9.0], [0.0, -9.0, -9.0]])
    monkeypatch.setattr(forgetting, "caption_ids", lambda *_: [[1], [2], [3]])
    monkeypatch.setattr(forgetting, "caption_scores", lambda *_: found)
    monkeypatch.setattr(forgetting, "pmi_scores", lambda scores: scores)
    processor = SimpleNamespace(text_tokenizer=None)
    score = score_modality(torch.nn.Linear(1, 1), processor, data, "heat")
    assert (score.signals, score.choices) == (3, 3)
    assert score.score == pytest.approx(2 / 3)
    assert score.shuffled == pytest.approx(1 / 3)  # the first, by the third's likelihoods


def test_a_caption_that_the_llm_likes_anyway_is_not_understood_by_that(monkeypatch):
    data = samples_of(["a", "b"])
    data.reads = lambda index: True
    monkeypatch.setattr(forgetting, "caption_ids", lambda *_: [[1], [2]])
    found = torch.tensor([[-2.0, 0.0], [-9.0, 0.0]])  # "b" is the likelier of both
    monkeypatch.setattr(forgetting, "caption_scores", lambda *_: found)
    model = torch.nn.Linear(1, 1).train()
    score = score_modality(model, SimpleNamespace(text_tokenizer=None), data, "heat")
    assert (score.score, score.shuffled) == (1.0, 0.0)
    assert not model.training


def test_of_a_lone_caption_there_is_no_score(monkeypatch):
    assert scored(monkeypatch, ["a", "a"], torch.zeros(2, 1)) is None


def test_scores_of_a_stage_stand_beside_those_before_whole_or_not_at_all(tmp_path, monkeypatch):
    scores = [ModalityScore("a", 9, 3, 0.5, None)]
    note_scores(tmp_path, "one", scores)
    note_scores(tmp_path, "two", [])
    assert read_scores(tmp_path) == {"one": scores, "two": []}
    monkeypatch.setattr(atomic_write, "flush", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        note_scores(tmp_path, "three", scores)
    assert list(read_scores(tmp_path)) == ["one", "two"]


def scored(monkeypatch, captions, likelihoods):
    """Score signals that have these captions, with these rows of log-likelihoods."""
    data = samples_of(captions)
    data.reads = lambda index: True
    monkeypatch.setattr(forgetting, "caption_ids", lambda *_: [[1]] * len(set(captions)))
    monkeypatch.setattr(
        forgetting, "caption_scores", lambda _, __, indices, ___: likelihoods[indices]
    )
    monkeypatch.setattr(forgetting, "pmi_scores", lambda scores: scores)
    processor = SimpleNamespace(text_tokenizer=None)
    return score_modality(torch.nn.Linear(1, 1), processor, data, "heat")


def test_signals_are_shuffled_against_those_of_another_caption_only(monkeypatch):
    """Of five signals four share a caption: a model that knows them all guesses none shuffled."""
    likelihoods = torch.tensor([[0.0, -9.0]] * 4 + [[-9.0, 0.0]])
    score = scored(monkeypatch, ["a", "a", "a", "a", "b"], likelihoods)
    assert (score.signals, score.score, score.shuffled) == (5, 1.0, 0.0)
    assert strangers([0, 1, 0, 0, 0]) == [(0, 1), (1, 0), (2, 1), (3, 1), (4, 1)]
    assert strangers([0, 1, 2]) == [(0, 2), (1, 0), (2, 1)]
    assert strangers([7]) == strangers([]) == strangers([3, 3]) == []


def test_a_lone_readable_signal_has_no_shuffled_score(monkeypatch):
    data = samples_of(["a", "b"])
    data.reads = lambda index: index == 0
    monkeypatch.setattr(forgetting, "caption_ids", lambda *_: [[1], [2]])
    monkeypatch.setattr(forgetting, "caption_scores", lambda *_: torch.tensor([[0.0, -9.0]]))
    monkeypatch.setattr(forgetting, "pmi_scores", lambda scores: scores)
    processor = SimpleNamespace(text_tokenizer=None)
    score = score_modality(torch.nn.Linear(1, 1), processor, data, "heat")
    assert (score.signals, score.score, score.shuffled) == (1, 1.0, None)
    table = forgetting_table({"one": [score]})
    assert list(table.columns[1].cells) == ["1.00 (-)"]


def test_every_known_modality_is_scored_after_each_stage(tmp_path):
    trainee = train(two_modalities_config(tmp_path / "parts"), tmp_path / "run")
    stages = read_scores(tmp_path / "run")
    found = {stage: [score.modality for score in scores] for stage, scores in stages.items()}
    assert found == {"pictures": ["image"], "motions": ["image", "image+imu", "imu"]}
    for score in (score for scores in stages.values() for score in scores):
        assert 0 <= score.score <= 1
        assert 2 <= score.choices <= 12
        assert score.signals >= score.choices or score.signals == 24
    assert forgetting_table(stages).row_count == 3
    lines = (tmp_path / "run/stages/motions/log.jsonl").read_text().splitlines()
    assert all(torch.isfinite(torch.tensor(json.loads(line).get("loss", 0.0))) for line in lines)
    # A tokenizer that learns has its signals cached, pictures their features.
    assert isinstance(trainee.cache, FeatureCache)
    shapes = {
        media.modality: tuple(trainee.cache.view(media, 0).shape)
        for media in media_of(trainee.split.held_out)
    }
    assert shapes == {"image": (5, 16), "imu": (6, 40)}
    before = (tmp_path / "run" / FILE).read_text()
    train(
        two_modalities_config(tmp_path / "parts"), tmp_path / "run"
    )  # a second run changes nothing
    assert (tmp_path / "run" / FILE).read_text() == before
