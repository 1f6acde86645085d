"""An evaluation is kept, read again, and printed (polysense.evaluation.console_tables)."""

import io
import json
from dataclasses import replace

import pytest
from fixtures.hand_made_evaluation import answers, hand_made, result
from rich.console import Console

from polysense import atomic_write
from polysense.evaluation.console_tables import example_table, print_evaluation, score_table
from polysense.evaluation.result import (
    CIDER,
    FILE,
    FOUND,
    LABEL,
    NAMED,
    NOUN,
    Metric,
    macro_average,
    read_evaluated,
)


def printed(evaluation, width=80):
    console = Console(file=io.StringIO(), width=width)
    with console.capture() as captured:
        print_evaluation(evaluation, console)
    return captured.get().replace("\N{NO-BREAK SPACE}", " ")


def test_what_is_saved_is_read_again(tmp_path):
    odd = result("imu", NOUN, (None, None, None), overlapping=("a.csv is b.csv",))
    evaluation = hand_made(*hand_made().modalities, odd)
    evaluation.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    assert read_evaluated(tmp_path / FILE) == evaluation


def test_a_result_is_kept_whole_or_not_at_all(tmp_path, monkeypatch):
    hand_made().save(tmp_path)
    monkeypatch.setattr(atomic_write, "flush", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        hand_made(result("image", NOUN, (0.5, 0, 0))).save(tmp_path)
    assert read_evaluated(tmp_path / FILE) == hand_made()


def test_an_older_form_is_made_anew(tmp_path):
    assert read_evaluated(tmp_path / FILE) is None
    for text in (json.dumps({"held_out": 3, "metrics": []}), '{"metrics": ['):
        (tmp_path / FILE).write_text(text)
        assert read_evaluated(tmp_path / FILE) is None


def test_means_count_every_modality_equally():
    few = result("imu", LABEL, (0.9, 0.1, None), answers=answers(2))
    found = {metric.name: metric for metric in macro_average((*hand_made().modalities, few))}
    assert found[NAMED].model == pytest.approx((0.53 + 0.31 + 0.9) / 3)
    assert found[NAMED].shuffled == pytest.approx((0.11 + 0.05 + 0.1) / 3)
    assert found[NAMED].neighbour is None  # not a mean over some of the modalities
    assert found[LABEL].model == pytest.approx((0.31 + 0.9) / 2)
    assert found[NOUN] == Metric(NOUN, 0.53, 0.11, 0.29)
    assert found[FOUND].model == pytest.approx(0.61)
    assert not any(name.startswith("median") for name in found)
    assert macro_average((result("a", NOUN, (None, None, None)), few))[0].model is None
    with pytest.raises(LookupError, match="there are accuracy"):
        hand_made().metric("correct")


def test_an_interval_is_of_the_samples_scored():
    assert result("image", NOUN, (0.5, 0, 0)).interval == pytest.approx(0.155, abs=0.001)


def test_every_number_stands_in_its_column():
    rows = [[str(cell) for cell in column.cells] for column in score_table(hand_made()).columns]
    heads = [str(column.header).replace("\n", " ") for column in score_table(hand_made()).columns]
    shown = {
        f"{place} {head}": [cell.replace("\N{NO-BREAK SPACE}", " ") for cell in cells]
        for place, (head, cells) in enumerate(zip(heads, rows, strict=True))
    }
    assert shown == {
        "0 modality": ["image*", "audio", "mean"],
        "1 held out": ["40", "40", ""],
        "2 accuracy": ["[bold]53 %[/]", "[bold]31 %[/]", "[bold]42 %[/]"],
        "3 shuffled": ["11 %", "5 %", "8 %"],
        "4 nearest neighbour": ["29 %", "83 %", "56 %"],
        "5 recall@1": ["[bold]61 %[/]", "[bold]61 %[/]", "[bold]61 %[/]"],
        "6 of N": ["17", "17", ""],
        "7 shuffled": ["7 %", "7 %", "7 %"],
        "8 CIDEr": ["123.4", "123.4", "123.4"],
    }


def test_a_line_a_modality_fits_a_terminal():
    modalities = [result(name, NOUN, (1.0, 1.0, 1.0)) for name in ("audio+video", "image", "fmri")]
    long = replace(
        modalities[0], answers=tuple(replace(a, key=f"a/{'b' * 90}/{a.key}") for a in answers(9))
    )
    text = printed(hand_made(long, *modalities[1:]))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    for name in ("audio+video*", "image*", "fmri*", "mean"):
        assert sum(line.lstrip().startswith(f"{name} ") for line in lines) == 1
    # A long path takes one line of the samples, by its end.
    assert sum(" 0.png" in line for line in lines) == 3
    assert "bbb" not in text


def test_what_was_simulated_or_left_out_is_said():
    odd = result(
        "imu", NOUN, (0.5, 0.1, 0.2),
        sources={"simulated: a random map": 3, "real: a watch": 4},
        overlapping=("a.csv is b.csv", "c.csv is d.csv", "e is f", "g is h"),
    )  # fmt: skip
    text = " ".join(printed(hand_made(odd), 200).split())
    assert "imu: simulated: a random map" in text
    assert "a watch" not in text
    assert "imu: 4 held-out samples are left out" in text
    assert "(a.csv is b.csv; c.csv is d.csv; e is f; ...)" in text
    assert "Next: ask about files of your own." in text


def test_captions_are_not_taken_for_markup():
    answer = replace(answers(1)[0], predicted="[/bold] a [red]cat")
    odd = result("image", NOUN, (None, None, None), answers=(answer,))
    text = printed(hand_made(odd), 120)
    assert "[/bold] a [red]cat" in text
    assert "1 held-out samples of one modality" in text
    row = next(line for line in text.splitlines() if line.lstrip().startswith("image* "))
    assert row.split() == ["image*", "1", "-", "-", "-", "61", "%", "17", "7", "%", "123.4"]


def test_samples_stand_in_their_columns_spread_evenly():
    table = example_table(hand_made(), shown=6)
    cells = [[str(cell) for cell in column.cells] for column in table.columns]
    assert cells == [
        ["0.png", "13.png", "26.png"] * 2, ["A bell."] * 6,
        ["A bell.", "A drum.", "A drum."] * 2,
        ["[green]✓[/]", "[dim]✗[/]", "[dim]✗[/]"] * 2,
    ]  # fmt: skip


def test_a_lone_modality_has_no_mean_and_rendered_signals_are_told():
    lone = result("depth", NOUN, (0.5, 0.1, 0.2), sources={"Rendered: meshes": 3},
                  overlapping=("a is b", "c is d", "e is f"))  # fmt: skip
    assert score_table(hand_made(lone)).row_count == 1
    text = " ".join(printed(hand_made(lone), 200).split())
    assert "depth: Rendered: meshes" in text
    assert "(a is b; c is d; e is f): give" in text  # all of them
    assert "train with --set data.group_duplicates=true" in text
    assert "recall@1: the true caption is the likeliest of N candidates" in text


def test_as_many_samples_of_each_are_shown():
    text = printed(hand_made())
    assert text.count("A horn.") == 0
    assert text.count("✓") == 2
    assert text.count("✗") == 10
    assert CIDER in text
