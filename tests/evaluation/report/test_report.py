"""The report is one page that holds all of a run: modalities, pictures, what was trained when.

It exercises loss_curves and expert_routing of polysense.evaluation.report too.
"""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from fixtures.hand_made_evaluation import hand_made, result
from PIL import Image

from polysense.atomic_write import write_text
from polysense.evaluation.report import report
from polysense.evaluation.report.expert_routing import routing_weights
from polysense.evaluation.report.loss_curves import draw_losses
from polysense.evaluation.report.report import lead, ratio, remembered, shown, write_report
from polysense.evaluation.result import NOUN, Metric
from polysense.training.forgetting import ModalityScore, note_scores

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


def test_every_modality_has_its_scores_pictures_and_origin(page, evaluated):
    text, reader = page
    shown = {r.modality: min(18, r.scored) for r in evaluated.evaluation.modalities}
    pictures = sum(count * len(modality.split("+")) for modality, count in shown.items())
    assert text.count("data:image/jpeg") == pictures  # traces of motions too
    for modality in shown:
        assert f"<h2>{modality}</h2>" in text
    assert text.count("<b>simulated</b> 24") == 2
    assert text.count("<b>real</b> 24") == 1
    assert reader.text.count("accuracy (exact match)") == 2


def test_what_was_learnt_forgotten_and_routed_is_there(page):
    _, reader = page
    for words in ("after pictures", "after motions", "expert 2", "frozen", "trained", "connector"):
        assert words in reader.text
    heat = [attrs for tag, attrs in reader.tags if tag == "td" and attrs.get("class") == "n heat"]
    assert len(heat) == 4 + 2 * 2  # scores of one and of three; two modalities, two experts


def rows_of(page):
    """The cells of every row of the page's tables, as people read them."""
    page = page.replace("\N{NO-BREAK SPACE}", " ")
    return [
        [re.sub("<[^>]+>", "", cell).strip() for cell in re.findall(r"<t[dh].*?</t[dh]>", row)]
        for row in re.findall(r"<tr.*?</tr>", page, re.DOTALL)
    ]


@pytest.fixture(scope="module")
def known(evaluated, tmp_path_factory):
    """The page of an evaluation whose every number is known, of images and of motions."""
    images, sounds = hand_made().modalities
    empty = result("image+imu", NOUN, (None, None, None), overlapping=("a is b",))
    odd = replace(sounds.answers[0], predicted="<i>odd</i>")
    imu = replace(sounds, modality="imu", answers=(odd, *sounds.answers[1:]))
    folder = tmp_path_factory.mktemp("known")
    note_scores(folder, "pictures", [ModalityScore("image", 24, 12, 0.5, 0.1)])
    note_scores(folder, "motions", [ModalityScore("image", 24, 12, 0.4, 0.2)])
    first, second = evaluated.config.stages
    first = replace(first, gradient_accumulation_steps=2, steps=80, learning_rate=0.002)
    config = replace(evaluated.config, stages=(first, second))
    written, logs = [], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            report, "write_text",
            lambda path, text: (written.append(path.name), write_text(path, text)),
        )  # fmt: skip
        patch.setattr(
            report, "draw_losses", lambda paths, to: (logs.extend(paths), draw_losses(paths, to))
        )
        path = write_report(folder, hand_made(images, imu, empty), evaluated.trainee.model, config)
    assert written == ["report.html"]  # whole or not at all
    assert logs == [folder / f"stages/{name}/log.jsonl" for name in ("pictures", "motions")]
    return path.read_text(encoding="utf-8")


def test_every_number_stands_in_its_column(known):
    heads, image, imu, empty, mean = rows_of(known)[:5]
    assert heads == [
        "modality", "held out", "", "accuracy", "shuffled", "nearest neighbour", "recall@1",
        "of N candidates", "shuffled",
    ]  # fmt: skip
    assert image == ["image", "40", "", "53 %", "11 %", "29 %", "61 %", "17", "7 %"]
    assert imu == ["imu", "40", "", "31 %", "5 %", "83 %", "61 %", "17", "7 %"]
    assert empty == ["image+imu", "40", "", "-", "-", "-", "61 %", "17", "7 %"]
    assert mean == ["mean", "120", "", "-", "-", "-", "61 %", "", "7 %"]
    titles = re.findall(
        '<div class="meter" title="(.*?)"', known.replace("\N{NO-BREAK SPACE}", " ")
    )
    assert titles[0] == "model 53 %, shuffled 11 %, nearest neighbour 29 %"
    bars = re.findall(r'<i style="width:(.*?)%"></i><b style="left:(.*?)%"></b><b class="shuffled" '
                      r'style="left:(.*?)%">', known)  # fmt: skip
    assert bars == [("53.0", "29.0", "11.0"), ("31.0", "83.0", "5.0")]


def test_every_metric_stands_beside_its_baselines(known):
    rows = rows_of(known)
    assert ["metric", "model", "shuffled", "× shuffled", "nearest neighbour"] in rows
    assert ["accuracy (head noun)", "53 %", "11 %", "4.8 ×", "29 %"] in rows
    assert ["CIDEr", "123.4", "45.6", "2.7 ×", "78.9"] in rows
    assert ["median rank", "3", "12", "-", "-"] in rows


def test_stages_parts_and_what_is_remembered_stand_in_their_columns(known, evaluated):
    rows = rows_of(known)
    assert ["pictures", "image", "caption", "connector", "80 steps", "4", "0.002"] in rows
    assert ["motions", "all", "caption", "connector, tokenizers", "0.25", "6", "0.001"] in rows
    assert ["image", "50 % 10 %", "40 % 20 %", "-20%"] in rows
    model = evaluated.trainee.model
    sizes = {part: sum(p.numel() for p in m.parameters()) for part, m in model.named_children()}
    connector = f"{sizes['connector']:,}"
    assert ["connector", connector, connector, "trained"] in rows
    assert ["llm", f"{sizes['llm']:,}", "0", "frozen"] in rows
    for modality, weights in routing_weights(model, evaluated.evaluation).items():
        assert [modality, *(f"{100 * weight:.0f} %" for weight in weights)] in rows


def test_what_is_said_is_no_markup(known):
    assert "&lt;i&gt;odd&lt;/i&gt;" in known
    assert "<i>odd" not in known


def test_samples_and_records_are_counted(known):
    text = " ".join(re.sub("<[^>]+>", " ", known).replace("\N{NO-BREAK SPACE}", " ").split())
    assert "1,234 records to train on, 56 held out, 40 of them asked about; 17 distinct" in text
    assert "known to about ± 15 points" in text
    assert "✓ A bell. A bell. rank 1 of 17 · nearest neighbour: A horn." in text
    assert "✗ A drum. A bell. rank 3 of 17 · nearest neighbour: A horn." in text
    assert "18 of 40 shown, spread evenly." in text
    assert "Is that good? image (53 % to 29 %): better than the nearest neighbour" in text
    assert "image+imu: 1 held-out samples are left out" in text


def test_the_lead_says_best_and_weakest():
    text = lead(hand_made()).replace("\N{NO-BREAK SPACE}", " ")
    assert text == (
        "On 80 held-out samples of 2 modalities, accuracy is 42 % in the mean (shuffled 8 %, "
        "nearest neighbour 56 %) and recall@1 is 61 % (shuffled 7 %). Best is image with 53 %, "
        "weakest audio with 31 %."
    )
    one = lead(hand_made(result("image", NOUN, (0.5, 0.1, None)))).replace(
        "\N{NO-BREAK SPACE}", " "
    )
    assert one == (
        "On 40 held-out samples of one modality, accuracy is 50 % (shuffled 10 %) and recall@1 is "
        "61 % (shuffled 7 %)."
    )


def test_forgetting_is_relative_to_the_first_score():
    stages = {
        "one": [ModalityScore("image", 32, 12, 0.5, 0.1)],
        "two": [ModalityScore("image", 32, 12, 0.3, 0.1)],
        "end": [ModalityScore("image", 32, 12, 0.4, 0.1), ModalityScore("audio", 32, 12, 0.9, 0.1)],
    }
    image, audio = remembered(stages)
    assert image.change == "-20%"
    assert audio.scores[0] is None
    assert audio.change == ""
    assert remembered({}) == []


def test_ratios_need_a_blind_value():
    assert ratio(Metric("CIDEr", 0.6, 0.2, None)) == "3.0 ×"
    assert ratio(Metric("CIDEr", 0.6, 0.05, None)) == "12.0 ×"
    assert ratio(Metric("BLEU-4", 0.6, 1e-5, None)) == "-"  # as good as nothing
    assert ratio(Metric("CIDEr", 0.6, 0.0, None)) == ratio(Metric("median rank", 3, 9, None)) == "-"
    assert ratio(Metric("CIDEr", None, 0.2, None)) == "-"
    assert shown(0.5, Metric("CIDEr", 0.6, 0.5, None)) == "50.0"


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
