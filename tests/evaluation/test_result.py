"""An evaluation is kept, read again, and printed (polysense.evaluation.console_tables)."""

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from polysense.evaluation.console_tables import print_evaluation
from polysense.evaluation.result import FILE, Metric, macro_average, read_evaluated


def printed(evaluation, width=80):
    console = Console(file=io.StringIO(), width=width)
    with console.capture() as captured:
        print_evaluation(evaluation, console)
    return captured.get()


def test_what_is_saved_is_read_again(evaluated, tmp_path):
    evaluated.evaluation.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    assert read_evaluated(tmp_path / FILE) == evaluated.evaluation


def test_an_older_form_is_made_anew(tmp_path):
    assert read_evaluated(tmp_path / FILE) is None
    (tmp_path / FILE).write_text(json.dumps({"held_out": 3, "metrics": []}))
    assert read_evaluated(tmp_path / FILE) is None


def test_means_count_every_sense_equally(evaluated):
    modalities = evaluated.evaluation.modalities
    found = {metric.name: metric for metric in macro_average(modalities)}
    assert found["CIDEr"].model == pytest.approx(
        sum(r.metrics[[f.name for f in r.metrics].index("CIDEr")].model for r in modalities) / 3
    )
    labelled = [f for r in modalities for f in r.metrics if f.name == "label accuracy"]
    assert found["label accuracy"].model == pytest.approx(sum(f.model for f in labelled) / 2)
    assert found["named right"].model == pytest.approx(sum(r.named.model for r in modalities) / 3)
    assert not any(name.startswith("median") for name in found)
    with pytest.raises(LookupError, match="there are named right"):
        evaluated.evaluation.metric("accuracy")


def test_a_line_a_sense_fits_a_terminal(evaluated):
    text = printed(evaluated.evaluation)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    for name in ("image ", "imu* ", "image+imu* ", "mean "):
        (line,) = (line for line in lines if line.lstrip().startswith(name))
        assert len(line.split()) == (9 if name == "mean " else 10)
    assert evaluated.evaluation.modality("imu").answers[0].key in text


def test_what_was_simulated_is_said(evaluated):
    first = evaluated.evaluation.modalities[0]
    odd = replace(first, sources={"simulated: a random map": 3, "real: a watch": 4})
    text = printed(replace(evaluated.evaluation, modalities=(odd,)))
    assert f"{first.modality}: simulated: a random map" in text
    assert "a watch" not in text


def test_captions_are_not_taken_for_markup(evaluated):
    first = evaluated.evaluation.modalities[0]
    answer = replace(first.answers[0], predicted="[/bold] a [red]cat")
    odd = replace(first, answers=(answer,), metrics=(*first.metrics, Metric("x", 0, None, None)))
    text = printed(replace(evaluated.evaluation, modalities=(odd,)), 120)
    assert "[/bold] a [red]cat" in text
    assert "1 held-out samples of one sense" in text
