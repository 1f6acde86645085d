"""What a stage learns from is known, rendered and checked before features and before a folder."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from fixtures.tiny_model import tiny_config
from PIL import Image

from polysense.data.duplicates.exact import content_of
from polysense.errors import PolysenseError
from polysense.modalities import build_modalities
from polysense.training.run import build, resolve, train
from polysense.training.run_folder.contents import read_run
from polysense.training.stage_data import (
    check_samples,
    load_split,
    read_data,
    resolve_tasks,
    training_data,
)
from polysense.training.stages import known_scores
from polysense.types import Media, Text


@pytest.fixture
def config(tmp_path):
    return tiny_config(tmp_path / "parts", steps_scale=0.3)


def lines_of(config):
    return [json.loads(line) for line in Path(config.data.manifest).read_text().splitlines()]


def written(config, name, lines):
    """Write a manifest beside the run's; return its path."""
    path = Path(config.data.manifest).with_name(name)
    text = json.dumps(lines) if name.endswith(".json") else "\n".join(map(json.dumps, lines))
    path.write_text(text)
    return str(path)


def with_data(config, path):
    return replace(config, data=replace(config.data, manifest=path))


def talks_of(config):
    """The pictures as LLaVA's pretraining has them: asked once, answered with the caption."""
    return [
        {
            "image": line["image"],
            "conversations": [
                {"from": "human", "value": "Render a summary.\n<image>"},
                {"from": "gpt", "value": line["caption"]},
            ],
        }
        for line in lines_of(config)
    ]


def test_conversations_alone_serve_alignment(config, tmp_path):
    config = with_data(config, written(config, "llava.json", talks_of(config)))
    trainee = train(config, tmp_path / "run")
    assert [stage.task for stage in read_run(tmp_path / "run").stages] == ["answer", "instruction"]
    data = training_data(trainee, read_run(tmp_path / "run").stages[0], trainee.split.train)
    asked, said = data.samples[0].messages
    assert [type(part) for part in asked.parts] == [Media]  # the question is dropped
    assert said.parts[0].text.startswith("A ")


def test_captions_beside_conversations_serve_alone(config):
    lines = [
        *talks_of(config),
        *({**line, "key": f"c{i}"} for i, line in enumerate(lines_of(config))),
    ]
    config = with_data(config, written(config, "both.jsonl", lines))
    resolved, said = resolve_tasks(config, load_split(config))
    assert resolved == config
    assert said == []


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([{"question": f"{i}?", "answer": "Yes."} for i in range(40)],
         r"stage 'alignment' has no samples to train on of any modality.*--skip-stage alignment"),
        ([{"image": f"{i:02d}.png", "document": [{"image": f"{i:02d}.png"}, "A."]}
          for i in range(0)], "is empty"),
        ([{"document": [{"image": f"{i:02d}.png"}, "A."]} for i in range(24)],
         r"stage 'instruction' has no samples to train on.*--data instruction=FILE"),
        ([{"image": f"{i:02d}.png", "caption": "A.", "key": f"c{i}", "split": "train"}
          for i in range(20)]
         + [{"document": [{"image": f"{i:02d}.png"}, "A."], "split": "test"} for i in (20, 21)],
         "stage 'instruction' has no samples held out"),
    ],
    ids=["text alone", "nothing", "documents alone", "nothing held out"],
)  # fmt: skip
def test_a_stage_without_samples_is_found_before_any_work(config, tmp_path, lines, words):
    config = with_data(config, written(config, "few.jsonl", lines))
    with pytest.raises(PolysenseError, match=words):
        train(config, tmp_path / "run", tmp_path / "cache")
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "cache").exists()


def test_what_cannot_be_rendered_names_its_line(config, monkeypatch):
    model, processor = build(resolve(config))
    encode = processor.chat.encode

    def refusing(messages, form, where):
        if any(isinstance(p, Text) and "black" in p.text for m in messages for p in m.parts):
            raise PolysenseError(f"{where}: cannot be rendered")
        return encode(messages, form, where)

    monkeypatch.setattr(processor.chat, "encode", refusing)
    first = min(i for i, line in enumerate(lines_of(config)) if "black" in line["caption"])
    with pytest.raises(PolysenseError, match=r"pictures\.jsonl, line \d+: cannot") as got:
        check_samples(model, processor, config, load_split(config))
    assert int(str(got.value).split("line ")[1].split(":")[0]) > first


@pytest.mark.parametrize("caption", ["The sign <|image|>.", "A \ud83d cat."])
def test_a_bad_caption_leaves_no_folder(config, tmp_path, caption):
    lines = lines_of(config)
    lines[3]["caption"] = caption
    config = with_data(config, written(config, "bad.jsonl", lines))
    with pytest.raises(PolysenseError, match=r"bad\.jsonl, line 4: "):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_each_stage_has_its_own_data(config, tmp_path):
    """LLaVA's two sets; what one holds out, the other does not train on."""
    talks = written(config, "talks.json", talks_of(config))
    stages = (config.stages[0], replace(config.stages[1], data=talks))
    config = replace(config, stages=stages)
    records = read_data(config)
    assert len({record.key for record in records}) == 2 * 24
    trainee = train(config, tmp_path / "run")
    assert read_run(tmp_path / "run").stages[1].data == talks
    trainable = {
        stage.name: training_data(trainee, stage, trainee.split.train).samples for stage in stages
    }
    assert all(len(sample.messages[0].parts) == 1 for sample in trainable["alignment"])
    assert {m.parts[0] for s in trainable["instruction"] for m in s.messages[:1]} == {
        Text("Render a summary.")
    }
    sides = [{m.source for r in side for m in r.media}
             for side in (trainee.split.train, trainee.split.held_out)]  # fmt: skip
    assert sides[0] & sides[1] == set()
    scored = known_scores(trainee, stages[0], {"image"})
    assert len(scored) == 1


def test_copies_under_other_names_are_on_one_side_where_that_is_asked(config):
    """Each picture and a copy of it, saved again in another format, without groups."""
    folder, lines = Path(config.data.manifest).parent, []
    for index, line in enumerate(lines_of(config)[:8]):
        Image.open(folder / line["image"]).save(folder / f"copy{index}.bmp")
        lines += [
            {"image": line["image"], "caption": "A thing."},
            {"image": f"copy{index}.bmp", "caption": "A thing."},
        ]
    config = with_data(config, written(config, "copies.jsonl", lines))
    config = replace(config, data=replace(config.data, held_out=0.4))
    for grouped in (False, True):
        split = load_split(replace(config, data=replace(config.data, group_duplicates=grouped)))
        sides = [
            {content_of(r.media[0], build_modalities(config.model.modalities, {})) for r in side}
            for side in (split.train, split.held_out)
        ]
        assert sides[0].isdisjoint(sides[1]) is grouped


def with_stage_manifests(config, first, second):
    """The config whose two stages learn from manifests of their own."""
    stages = [replace(config.stages[0], data=first), replace(config.stages[1], data=second)]
    return replace(config, stages=tuple(stages))


def test_a_file_of_two_manifests_keeps_the_group_and_the_side_of_the_first(config):
    lines = lines_of(config)[:3]
    first = [{**lines[0], "group": "walk", "split": "held_out"}, {**lines[1], "key": "b"}, lines[2]]
    again = [{**line, "key": f"again{i}", "caption": "Again."} for i, line in enumerate(lines)]
    config = with_data(config, written(config, "first.jsonl", first))
    other = written(config, "other.jsonl", again)
    records = {record.key: record for record in read_data(with_stage_manifests(config, other, ""))}
    assert records["again0"].group == "walk"
    assert records["again0"].split == "held_out"
    assert records["again1"].group == "b"
    assert records["again2"].group == lines[2]["image"]
    assert {record.data for key, record in records.items() if key.startswith("again")} == {other}


def test_a_manifest_of_two_stages_is_read_once(config):
    other = written(config, "other.jsonl", lines_of(config)[:5])
    records = read_data(with_stage_manifests(config, other, other))
    assert sum(record.data == other for record in records) == 5


def test_the_share_held_out_is_the_configs(config):
    held = [
        len(load_split(replace(config, data=replace(config.data, held_out=share))).held_out)
        for share in (0.1, 0.5, 0.9)
    ]
    assert held[0] < held[1] < held[2]
