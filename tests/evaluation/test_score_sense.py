"""A modality's result from answers and likelihoods that are given: every figure by hand.

It exercises polysense.evaluation.evaluate without a model.
"""

from dataclasses import replace

import pytest
import torch

from polysense.data.datasets import Record
from polysense.evaluation.baselines import Compared
from polysense.evaluation.evaluate import score_modality
from polysense.evaluation.result import CORRECTED, LABEL, NOUN, Metric
from polysense.types import Media

# The LLM likes the second caption whatever it hears; what is left says the true one, but for the
# fourth sample. Columns: a bell, a drum, a horn.
LIKELY = torch.tensor([[-2.0, 0.0, -9.0], [-9.0, 4.0, -9.0], [-9.0, 0.0, -9.5], [-3.0, 0.0, -9.0]])
TRUTH = ["A bell.", "A drum.", "A horn.", "A bell."]


class Given:
    """Answers as given; notes what is asked of single modalities."""

    def __init__(self):
        self.alone, self.ranked = [], []

    def captions(self, records, advance):
        advance(len(records))
        self.alone.append(modalities_in(records))
        return ["A bell.", "A drum.", "A drum.", "A horn."]

    def scores(self, records, captions, advance):
        assert captions == ["A bell.", "A drum.", "A horn."]
        advance(len(records))
        self.ranked.append(modalities_in(records))
        return LIKELY


def modalities_in(records):
    return {media.modality for record in records for media in record.media}


def records(modalities=("audio",), source=""):
    return [
        Record(f"k{i}", tuple(Media(s, f"{s}{i}.x") for s in modalities), caption, source=source)
        for i, caption in enumerate(TRUTH)
    ]


def scored(modalities=("audio",)):
    given, done = Given(), []
    train = records(modalities, "simulated") * 2
    more = Record("more", (Media("audio", "more.x"),), "A bell.", source="real")  # is not asked
    asked = Compared(records(modalities), ["A bell.", "A horn.", "A horn.", "A drum."], ("x is y",))
    return (
        score_modality(given, asked, [*records(modalities, "real"), more], train, done.append),
        given,
        done,
    )


def test_every_figure_by_hand():
    result, _, done = scored()
    metrics = {metric.name: metric for metric in result.metrics}
    assert (metrics[LABEL].model, metrics[LABEL].neighbour) == (2 / 4, 2 / 4)
    assert metrics["recall@1"].model == 1 / 4  # the drum alone
    assert metrics[f"recall@1{CORRECTED}"].model == 3 / 4
    assert metrics["median rank"].model == 2
    assert metrics[f"median rank{CORRECTED}"].model == 1
    assert [answer.rank for answer in result.answers] == [1, 1, 1, 2]
    assert sum(done) == 2 * 4


def test_records_are_counted_and_answers_kept_in_order():
    result, _, _ = scored()
    assert (result.modality, result.trained, result.held_out, result.captions) == ("audio", 8, 5, 3)
    assert result.labels
    assert result.sources == {"simulated": 8, "real": 5}
    assert result.overlapping == ("x is y",)
    assert [answer.reference for answer in result.answers] == TRUTH
    assert [answer.predicted for answer in result.answers] == [
        "A bell.", "A drum.", "A drum.", "A horn.",
    ]  # fmt: skip
    assert [answer.neighbour for answer in result.answers][1:3] == ["A horn.", "A horn."]
    assert [answer.correct for answer in result.answers] == [True, True, False, False]
    assert result.answers[2].files[0].path == "audio2.x"


def test_of_several_modalities_each_is_asked_alone_too():
    result, given, done = scored(("audio", "video"))
    assert given.alone == given.ranked == [{"audio", "video"}, {"audio"}, {"video"}]
    assert sum(done) == 3 * 2 * 4
    names = [metric.name for metric in result.metrics]
    assert f"recall@1{CORRECTED}, video alone" in names
    alone = {metric.name: metric for metric in result.metrics}[f"recall@1{CORRECTED}, audio alone"]
    assert alone.model == pytest.approx(3 / 4)


def test_free_captions_are_right_by_their_head_noun(monkeypatch):
    """A loud bell is a bell; of labels the whole would have to be said."""
    free = ["A loud bell.", "A red drum.", "A horn of brass.", "An old bell."]
    given = Given()
    monkeypatch.setattr(given, "scores", lambda *_: torch.eye(4))
    chosen = [replace(record, caption=text) for record, text in zip(records(), free, strict=True)]
    asked = Compared(chosen, ["A drum."] * 4)
    result = score_modality(given, asked, chosen, [], lambda _: None)
    assert not result.labels
    assert [answer.correct for answer in result.answers] == [True, True, False, False]
    assert result.captions == 4
    assert result.named == Metric(NOUN, 2 / 4, pytest.approx(1 / 4), 1 / 4)
