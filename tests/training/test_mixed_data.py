"""Every form of data trains in one run: captions, pairs, talk, documents, bare text; and shards."""

import json
import math
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures.tiny_model import save_pictures, tiny_config

from polysense.config import Stage
from polysense.data.loading.feature_cache import FeatureCache
from polysense.evaluation.evaluate import evaluate
from polysense.evaluation.report.sample_cards import card
from polysense.modalities.sources.file_parts import FileSlice
from polysense.modalities.sources.source_string import parse_source
from polysense.training.run import build, load_split, resolve, train
from polysense.training.stage_data import TrainingContext, training_data
from polysense.types import Media

COUNT = 24


def mixed_manifest(folder: Path) -> Path:
    """Write pictures and, of the same, RGB-D pairs, conversations, documents and bare text."""
    captioned = save_pictures(folder, COUNT).read_text().splitlines()
    lines = list(captioned)
    for index, line in enumerate(map(json.loads, captioned)):
        np.save(folder / f"{index:02d}.npy", np.full((9, 9), 1 + index / 9, dtype=np.float32))
        file, words = line["image"], line["caption"]
        own = {"group": file, "key": f"pair {index}", "category": "rooms"}
        pair = {"depth": {"image": file, "depth": f"{index:02d}.npy"}, "caption": words}
        talk = [
            {"from": "human", "value": "<image>\nWhat is this?"},
            {"from": "gpt", "value": words},
        ]
        sure = [{"from": "human", "value": "Sure?"}, {"from": "gpt", "value": "Yes."}]
        parts = ["First ", {"image": file}, words, {"image": file}, "Again."]
        lines += map(
            json.dumps,
            (
                {**pair, **own},
                {"image": file, "conversations": [*talk, *sure]},
                {"document": parts, "key": f"document {index}", "group": file},
                {"question": f"{index} + 1?", "answer": f"{index + 1}."},
            ),
        )
    manifest = folder / "mixed.jsonl"
    manifest.write_text("\n".join(lines) + "\n")
    return manifest


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixed")
    config = tiny_config(folder, steps_scale=0.3)
    manifest = mixed_manifest(folder / "all")
    return replace(
        config,
        model=replace(config.model, modalities={"image": {}, "depth": {"pair": True}}),
        data=replace(config.data, manifest=str(manifest), views=1),
    )


def test_all_of_it_trains_and_captions_are_scored(config, tmp_path):
    trainee = train(config, tmp_path / "run")
    result = evaluate(
        trainee.model, trainee.processor, trainee.cache, trainee.split, config.evaluation
    )
    assert {modality.modality for modality in result.modalities} == {"image", "depth"}
    pair = result.modality("depth").answers[0]
    assert set(parse_source(pair.files[0].path)) == {"image", "depth"}
    assert len(card(pair, trainee.model.modalities).pictures) == 1
    for stage in ("alignment", "instruction"):
        log = (tmp_path / f"run/stages/{stage}/log.jsonl").read_text().splitlines()
        assert all(math.isfinite(json.loads(line).get("loss", 0.0)) for line in log)


def test_each_task_takes_its_lines_and_plain_text_needs_an_llm_that_learns(config):
    model, processor = build(resolve(config))
    trainee = TrainingContext(model, processor, load_split(resolve(config)), None)
    everything = trainee.split.train + trainee.split.held_out
    of = {stage.name: training_data(trainee, stage, everything) for stage in config.stages}
    assert len(of["alignment"]) == 3 * COUNT  # pictures, pairs, documents
    assert len(of["instruction"]) == (2 + 2 + 1 + 1) * COUNT
    assert {sample.modalities for sample in of["alignment"].samples} == {"image", "depth"}
    assert {sample.modalities for sample in of["instruction"].samples} == {"image", "depth", ""}
    frozen = replace(config.stages[1], trainable=("connector",))
    assert len(training_data(trainee, frozen, everything)) == (2 + 2 + 1) * COUNT
    only_depth = replace(config.stages[1], modalities=("depth",))
    assert len(training_data(trainee, only_depth, everything)) == (2 + 1) * COUNT  # text stays


def test_a_batch_of_documents_keeps_signals_in_reading_order(config):
    model, processor = build(resolve(config))
    trainee = TrainingContext(model, processor, load_split(resolve(config)), None)
    stage = Stage("documents", ("connector",), packing=False)
    data = training_data(trainee, stage, [r for r in trainee.split.train if r.is_document])
    for sample, encoded in zip(data.samples, data.encoded, strict=True):
        places = encoded.ids.count(processor.chat.placeholders["image"].id)
        assert places == 2 * model.num_placeholders_per_signal("image")
        first, second = sample.media
        assert first.source == second.source


def test_shards_train_alike_and_share_the_cache_with_files(config, tmp_path):
    folder = Path(config.data.manifest).parent
    with tarfile.open(tmp_path / "00.tar", "w") as tar:
        for line in map(json.loads, (folder / "pictures.jsonl").read_text().splitlines()):
            tar.add(folder / line["image"], line["image"])
            text = tmp_path / "caption.txt"
            text.write_text(line["caption"])
            tar.add(text, line["image"].replace(".png", ".txt"))
    packed = replace(
        config,
        model=replace(config.model, modalities={"image": {}}),
        data=replace(config.data, manifest=str(tmp_path / "{00..00}.tar")),
        stages=config.stages[:1],
    )
    trainee = train(packed, tmp_path / "run")
    media = trainee.split.train[0].media[0]
    assert isinstance(media.source, FileSlice)
    alone = Media("image", str(folder / media.source.name))
    cache = FeatureCache(tmp_path / "features", trainee.model, 1)
    assert cache.fill([media, alone]) == {}
    assert cache.key(media) == cache.key(alone)
    assert torch.equal(cache.view(media, 0), cache.view(alone, 0))
    assert (tmp_path / "00.tar.index.json").is_file()
