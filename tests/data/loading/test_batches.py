"""A batch mixes the views of its signals, and every epoch shows another; prompts see view 0."""

from dataclasses import replace

import torch
from fixtures.tiny_model import tiny_config

from polysense.data.loading.sampler import SampleIndex
from polysense.training.run import resolve, train
from polysense.training.stage_data import training_data


def test_a_batch_mixes_views_and_epochs_change_them(tmp_path):
    config = tiny_config(tmp_path / "parts", steps_scale=0.2)
    config = resolve(replace(config, stages=config.stages[:1]))
    trainee = train(config, tmp_path / "run")
    data = training_data(trainee, config.stages[0], trainee.split.train)

    def asked(picks):
        views = []
        original = trainee.cache.by_modality

        def noting(media, view):
            views.append(view % config.data.views)
            return original(media, view)

        trainee.cache.by_modality = noting
        try:
            batch = data.batch(picks)
        finally:
            trainee.cache.by_modality = original
        return views, batch

    first, batch = asked([SampleIndex(index, 0) for index in range(4)])
    second, later = asked([SampleIndex(index, 1) for index in range(4)])
    assert first == [0, 1, 0, 1]
    assert second == [1, 0, 1, 0]
    assert not torch.equal(batch["features"]["image"], later["features"]["image"])
    media = data.samples[1].media
    picked = data.prompts([1])["features"]["image"]
    assert torch.equal(picked, torch.stack(trainee.cache.by_modality(media, 0)["image"]))
