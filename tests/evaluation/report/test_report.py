"""The report is one page that holds all of a run: every sense, its pictures, what was learnt when.

It exercises loss_curves and expert_routing of polysense.evaluation.report too.
"""

import json
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from PIL import Image

from polysense.evaluation.report.expert_routing import routing_weights
from polysense.evaluation.report.loss_curves import draw_losses
from polysense.evaluation.report.report import lead, ratio, remembered, write_report
from polysense.evaluation.result import Evaluation, Metric, macro_average
from polysense.training.forgetting import ModalityScore

TOP = Metric("retrieval top-1, prior removed", 0.4, 0.1, None)
EMPTY = {"meta", "img", "br"}


class Reader(HTMLParser):
    """Notes tags and text, and checks that what is opened is closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def page(evaluated):
    path = write_report(
        evaluated.folder, evaluated.evaluation, evaluated.trainee.model, evaluated.config
    )
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    assert reader.open == []
    return path.read_text(encoding="utf-8"), reader


def test_the_page_is_whole_and_needs_nothing_else(page, evaluated):
    text, reader = page
    assert "http" not in text
    assert "script" not in {tag for tag, _ in reader.tags}
    sources = [attrs["src"] for _, attrs in reader.tags if "src" in attrs]
    assert all(source.startswith("data:") for source in sources)
    assert not list(evaluated.folder.glob(".*html*"))


def test_every_sense_has_its_scores_pictures_and_origin(page, evaluated):
    text, reader = page
    shown = {r.modality: min(18, r.scored) for r in evaluated.evaluation.modalities}
    pictures = sum(count * len(modality.split("+")) for modality, count in shown.items())
    assert text.count("data:image/jpeg") == pictures  # traces of motions too
    for result in evaluated.evaluation.modalities:
        assert f"<h2>{result.modality}</h2>" in text
    assert text.count("<b>simulated</b> 24") == 2
    assert text.count("<b>real</b> 24") == 1
    assert reader.text.count("label accuracy") == 2


def test_what_was_learnt_forgotten_and_routed_is_there(page):
    _, reader = page
    for words in ("after pictures", "after motions", "expert 2", "frozen", "trained", "connector"):
        assert words in reader.text
    heat = [attrs for tag, attrs in reader.tags if tag == "td" and attrs.get("class") == "n heat"]
    assert len(heat) == 4 + 2 * 2  # scores of one and of three senses; two senses, two experts


def test_the_lead_says_best_and_weakest(evaluated):
    evaluation = evaluated.evaluation
    rates = {"image": 0.5, "imu": 0.9, "image+imu": 0.2}
    modalities = tuple(
        replace(result, metrics=(Metric(result.named.name, rates[result.modality], 0.1, None), TOP))
        for result in evaluation.modalities
    )
    text = lead(Evaluation(modalities, macro_average(modalities), {})).replace(
        "\N{NO-BREAK SPACE}", " "
    )
    assert f"{evaluation.scored} held-out samples of 3 senses" in text
    assert "names 53 % right in the mean over senses (blind 10 %)" in text
    assert "Best is imu with 90 %, weakest image+imu with 20 %." in text
    one = lead(Evaluation(modalities[:1], macro_average(modalities[:1]), {}))
    assert "one sense" in one
    assert "weakest" not in one


def test_forgetting_is_relative_to_the_first_score():
    stages = {
        "one": [ModalityScore("image", 32, 12, 0.5, 0.1)],
        "two": [ModalityScore("image", 32, 12, 0.4, 0.1), ModalityScore("audio", 32, 12, 0.9, 0.1)],
    }
    image, audio = remembered(stages)
    assert image.change == "-20%"
    assert audio.scores[0] is None
    assert audio.change == ""
    assert remembered({}) == []


def test_ratios_need_a_blind_value():
    assert ratio(Metric("CIDEr", 0.6, 0.2, None)) == "3.0 ×"
    assert ratio(Metric("BLEU-4", 0.6, 1e-5, None)) == "–"  # as good as nothing
    assert ratio(Metric("CIDEr", 0.6, 0.0, None)) == ratio(Metric("median rank", 3, 9, None)) == "–"


def test_routing_weights_are_shares_also_of_a_router_that_reads_features(evaluated, monkeypatch):
    model = evaluated.trainee.model
    by_tokens = routing_weights(model, evaluated.evaluation)
    monkeypatch.setattr(model.connector, "router_input", "features")
    by_features = routing_weights(model, evaluated.evaluation)
    for rows in (by_tokens, by_features):
        assert list(rows) == ["image", "imu"]
        assert all(sum(weights) == pytest.approx(1, abs=1e-5) for weights in rows.values())
    assert by_tokens != by_features
    monkeypatch.setitem(model._modules, "connector", model.connector.blocks)  # one without experts
    assert routing_weights(model, evaluated.evaluation) == {}


def test_curves_of_many_stages_wrap(tmp_path):
    logs = []
    for number in range(4):
        log = tmp_path / f"stage{number}" / "log.jsonl"
        log.parent.mkdir()
        lines = [{"step": step, "loss": 3 / step} for step in range(1, 20)]
        lines.append({"step": 19, "val_loss": 1.0, "val_loss_shuffled": 2.0})
        log.write_text("".join(json.dumps(line) + "\n" for line in lines))
        logs.append(log)
    draw_losses(logs, tmp_path / "four.png")
    draw_losses([*logs[:1], tmp_path / "never" / "log.jsonl"], tmp_path / "two.png")
    with Image.open(tmp_path / "four.png") as four, Image.open(tmp_path / "two.png") as two:
        assert four.size[1] == 2 * two.size[1]  # three side by side, then the fourth
        assert four.mode == "RGBA"
        assert four.getpixel((0, 0))[3] == 0  # the page's own colour shows through
