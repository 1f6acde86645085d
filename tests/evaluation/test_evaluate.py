"""Every modality is asked, ranked and compared within itself.

On a tiny run of two modalities these exercise polysense.evaluation.predictor.
"""

import pytest
import torch

from polysense.config import EvaluationConfig
from polysense.data.datasets import Record, Split
from polysense.errors import PolysenseError
from polysense.evaluation import evaluate as evaluate_module
from polysense.evaluation.baselines import Compared, nearest
from polysense.evaluation.evaluate import (
    NothingToEvaluate,
    by_modalities,
    evaluate,
    most_of_each,
    protocol,
)
from polysense.evaluation.result import LABEL, NOUN
from polysense.evaluation.scoring.scores import evenly_spaced
from polysense.training.progress.metric_logger import progress_bar
from polysense.types import Media


def records(modalities, count=3):
    return [
        Record(
            f"{modalities} {i}", tuple(Media(s, f"{i}") for s in modalities.split()), f"Thing {i}."
        )
        for i in range(count)
    ]


def test_each_modality_is_scored_by_itself(evaluated):
    evaluation, split = evaluated.evaluation, evaluated.trainee.split
    held_out = by_modalities(split.held_out)
    assert [r.modality for r in evaluation.modalities] == list(held_out)
    assert sorted(held_out) == ["image", "image+imu", "imu"]
    assert evaluation.scored == len(split.held_out)
    for result in evaluation.modalities:
        own = held_out[result.modality]
        assert [a.reference for a in result.answers] == [r.caption for r in own]
        assert result.captions == len({r.caption for r in own})
        begins = "A " if result.modality == "image" else "Something "
        # Neighbours come from the modality itself, although features of all are in one cache.
        assert all(a.neighbour.startswith(begins) for a in result.answers)
        assert all(1 <= a.rank <= result.captions for a in result.answers)
        assert [f.modality for f in result.answers[0].files] == result.modality.split("+")
        for metric in result.metrics:
            assert metric.model is not None


def test_few_captions_are_labels_and_sources_are_counted(evaluated):
    evaluation = evaluated.evaluation
    assert {r.modality: r.labels for r in evaluation.modalities} == {
        "image": False, "imu": True, "image+imu": True,
    }  # fmt: skip
    assert evaluation.modality("imu").named.name == LABEL
    assert evaluation.modality("image").named.name == NOUN
    assert evaluation.modality("imu").sources == {"simulated": 24}
    assert evaluation.modality("image").sources == {"real": 24}


def test_a_training_record_is_its_own_nearest_neighbour(evaluated):
    trainee = evaluated.trainee
    for chosen in by_modalities(trainee.split.train).values():
        found = nearest(trainee.cache, chosen, chosen[:4])
        assert [record.caption for record, _ in found] == [r.caption for r in chosen[:4]]
        assert [cosine for _, cosine in found] == pytest.approx([1] * 4, abs=1e-5)


def test_a_modality_never_trained_on_has_no_neighbour_and_samples_are_limited(
    evaluated, monkeypatch
):
    trainee = evaluated.trainee
    pictures = by_modalities(trainee.split.train)["image"]
    settings = EvaluationConfig(max_new_tokens=3, limit=5)  # of three modalities: two each
    parts = trainee.model, trainee.processor, trainee.cache
    bars = []
    monkeypatch.setattr(
        evaluate_module, "progress_bar",
        lambda *words, **options: (bars.append(progress_bar(*words, **options)), bars[-1])[1],
    )  # fmt: skip
    found = evaluate(*parts, Split(pictures, trainee.split.held_out), settings)
    # Two are captioned and ranked; of both modalities at once, by each alone too.
    assert [task.total for task in bars[0].tasks] == [2 * 2, 2 * 2, 3 * 2 * 2]
    assert all(task.completed == task.total for task in bars[0].tasks)
    assert [result.scored for result in found.modalities] == [2, 2, 2]
    motions = found.modality("imu")
    assert motions.trained == 0
    assert all(metric.neighbour is None for metric in motions.metrics)
    assert [answer.neighbour for answer in motions.answers] == ["", ""]
    assert found.metric("CIDEr").neighbour is None  # not a mean over some of the modalities
    assert found.metric("CIDEr", "image").neighbour is not None
    with pytest.raises(NothingToEvaluate, match="no held-out sample"):
        evaluate(*parts, Split(pictures, []), settings)


def test_a_run_whose_held_out_signals_are_all_trained_on_has_no_score(evaluated, monkeypatch):
    monkeypatch.setattr(evaluate_module, "compared", lambda *_: Compared([], [], ("a is b",)))
    trainee = evaluated.trainee
    parts = trainee.model, trainee.processor, trainee.cache, trainee.split
    with pytest.raises(NothingToEvaluate, match="every held-out signal is one that was trained on"):
        evaluate(*parts, EvaluationConfig())


def test_the_protocol_says_what_was_asked_and_of_how_many():
    said = protocol(EvaluationConfig(question="Which?", max_new_tokens=7, per_modality=5))
    assert said["question"] == "Which?"
    assert said["decoding"] == "greedy, at most 7 new tokens"
    assert "on at most 5 held-out samples, spread evenly;" in said["modalities"]
    assert "on all held-out samples;" in protocol(EvaluationConfig(per_modality=0))["modalities"]


def test_captions_do_not_depend_on_their_batch(evaluated):
    from polysense.evaluation.predictor import Predictor

    trainee, settings = evaluated.trainee, EvaluationConfig(max_new_tokens=5)
    evaluator = Predictor(trainee.model, trainee.processor, trainee.cache, settings)
    chosen = by_modalities(trainee.split.held_out)["image+imu"][:3]
    counted = []
    together = evaluator.captions(chosen, counted.append)
    assert together == [evaluator.captions([record], counted.append)[0] for record in chosen]
    assert sum(counted) == 2 * len(chosen)
    scores = evaluator.scores(chosen, ["Something.", "Something turning."], counted.append)
    assert scores.shape == (len(chosen), 2)
    assert torch.isfinite(scores).all()


def test_the_configs_question_is_asked_greedily_and_cut_off_the_answer(evaluated, monkeypatch):
    from polysense.evaluation.predictor import Predictor

    trainee, settings = evaluated.trainee, EvaluationConfig(7, question="Which one?")
    tokenizer, prompts = trainee.processor.text_tokenizer, []
    said = torch.tensor([tokenizer("A red line.", add_special_tokens=False)["input_ids"]] * 2)

    def generate(input_ids, max_new_tokens, do_sample, **_):
        assert (max_new_tokens, do_sample) == (7, False)
        prompts.extend(tokenizer.batch_decode(input_ids))
        return torch.cat([input_ids, said], dim=1)

    monkeypatch.setattr(trainee.model, "generate", generate)
    evaluator = Predictor(trainee.model, trainee.processor, trainee.cache, settings)
    chosen = by_modalities(trainee.split.held_out)["image"][:2]
    assert evaluator.captions(chosen, lambda _: None) == ["A red line."] * 2
    assert all("Which one?" in prompt for prompt in prompts)


def test_mixed_lengths_are_asked_in_batches_of_like_lengths(evaluated, monkeypatch):
    from polysense.evaluation import predictor as asking

    trainee, settings = evaluated.trainee, EvaluationConfig(max_new_tokens=5)
    evaluator = asking.Predictor(trainee.model, trainee.processor, trainee.cache, settings)
    groups = by_modalities(trainee.split.held_out)
    few = [groups["image"][0], groups["image+imu"][0], groups["imu"][0], groups["image"][1]]
    shapes, prompt = [], evaluator.prompt
    monkeypatch.setattr(evaluator, "prompt", lambda r: (shapes.append(len(r)), prompt(r))[1])
    monkeypatch.setattr(asking, "BATCH", 2)
    together = evaluator.captions(few, lambda _: None)
    assert shapes == [2, 2]
    assert together == [evaluator.captions([record], lambda _: None)[0] for record in few]
    lengths = []
    monkeypatch.setattr(asking, "score_matrix", lambda _, found, *__: lengths.append(found))
    evaluator.scores(few, ["A."], lambda _: None)
    assert lengths == [[prompt([record])["input_ids"].shape[1] for record in few]]
    assert asking.by_length([3, 9, 3, 5, 9], 2) == [[1, 4], [3, 0], [2]]


def test_signals_are_asked_about_as_they_are_and_not_augmented(evaluated, monkeypatch):
    from polysense.evaluation.predictor import Predictor

    trainee, views = evaluated.trainee, []
    evaluator = Predictor(trainee.model, trainee.processor, trainee.cache, EvaluationConfig())
    read = trainee.cache.by_modality
    monkeypatch.setattr(
        trainee.cache, "by_modality", lambda media, view: (views.append(view), read(media, view))[1]
    )
    evaluator.prompt(trainee.split.held_out[:3])
    assert views == [0] * 3


def test_how_many_of_each_modality():
    assert most_of_each(EvaluationConfig(), 8) == 60
    assert most_of_each(EvaluationConfig(per_modality=0), 8) == 0
    assert most_of_each(EvaluationConfig(limit=9), 8) == 2
    assert most_of_each(EvaluationConfig(limit=900), 8) == 60
    assert [r.caption for r in evenly_spaced(records("image", 6), 3)] == [
        "Thing 0.",
        "Thing 2.",
        "Thing 4.",
    ]
    assert (
        len(evenly_spaced(records("image", 6), 0))
        == len(evenly_spaced(records("image", 6), 9))
        == 6
    )
    with pytest.raises(PolysenseError, match="per_modality"):
        EvaluationConfig(per_modality=-1)


def test_groups_are_modalities_and_single_ones_come_first():
    text = Record("only words", (), "Nothing.")
    talk = Record("a talk", (Media("imu", "0"),), "")  # no caption to score
    mixed = [
        *records("video audio", 1),
        text,
        talk,
        *records("audio", 2),
        *records("audio video", 1),
    ]
    groups = by_modalities(mixed)
    assert {name: len(found) for name, found in groups.items()} == {"audio": 2, "audio+video": 2}
    assert list(groups) == ["audio", "audio+video"]
