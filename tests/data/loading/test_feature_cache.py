"""The cache computes once, survives interruption, and never hands out stale features."""

from dataclasses import replace

import pytest
import torch
from fixtures.tiny_model import tiny_config
from PIL import Image

from polysense.data.loading import feature_cache as features
from polysense.data.loading.feature_cache import FeatureCache
from polysense.training.run import build, resolve
from polysense.types import Media


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return tmp_path_factory.mktemp("parts")


@pytest.fixture(scope="module")
def model(parts):
    return build(resolve(tiny_config(parts)))[0]


@pytest.fixture
def pictures(tmp_path):
    media = []
    for index, colour in enumerate(("red", "green", "blue")):
        Image.new("RGB", (20, 20), colour).save(tmp_path / f"{index}.png")
        media.append(Media("image", str(tmp_path / f"{index}.png")))
    return media


def test_cached_features_are_the_encoders(model, pictures, tmp_path):
    cache = FeatureCache(tmp_path / "c", model, 2)
    assert cache.fill(pictures) == {}
    signal = model.modalities["image"].read(pictures[1].source)
    with torch.inference_mode():
        expected = model.extract_features("image", signal[None])[0]
    assert torch.allclose(cache.view(pictures[1], 0), expected, atol=2e-3)
    assert not torch.allclose(cache.view(pictures[1], 1), expected, atol=2e-3)
    assert torch.equal(cache.view(pictures[1], 2), cache.view(pictures[1], 0))


def test_a_second_filling_computes_nothing(model, pictures, tmp_path, monkeypatch):
    FeatureCache(tmp_path / "c", model, 1).fill(pictures)
    again = FeatureCache(tmp_path / "c", model, 1)
    monkeypatch.setattr(again, "_entry", lambda *_: pytest.fail("computed again"))
    again.fill(pictures)
    assert again.view(pictures[0], 0).shape == (4, 16)


def test_a_changed_file_other_views_or_options_are_other_entries(
    model, pictures, tmp_path, monkeypatch
):
    cache = FeatureCache(tmp_path / "c", model, 1)
    keys = {cache.key(pictures[0]), FeatureCache(tmp_path / "c", model, 2).key(pictures[0])}
    Image.new("RGB", (20, 20), "white").save(pictures[0].source)
    keys.add(FeatureCache(tmp_path / "c", model, 1).key(pictures[0]))
    modality = model.modalities["image"]
    monkeypatch.setitem(
        model.modalities, "image", replace(modality, max_bytes=modality.max_bytes + 1)
    )
    keys.add(FeatureCache(tmp_path / "c", model, 1).key(pictures[0]))
    assert len(keys) == 4


def test_augmented_views_are_the_same_in_every_cache_and_differ_from_one_another(
    model, pictures, tmp_path
):
    found = []
    for name in ("one", "other"):
        cache = FeatureCache(tmp_path / name, model, 3)
        cache.fill(pictures if name == "one" else pictures[::-1])
        found.append([cache.view(pictures[1], number) for number in (1, 2)])
        torch.rand(3)  # whatever is drawn between
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(*found[0])


def test_another_tokenizer_or_own_code_is_another_entry(model, pictures, tmp_path, monkeypatch):
    def key():
        return FeatureCache(tmp_path / "c", model, 1).key(pictures[0])

    keys = [key()]
    tokenizer = torch.nn.Linear(2, 2)
    monkeypatch.setitem(model.tokenizers._modules, "image", tokenizer)
    keys.append(key())
    with torch.no_grad():
        tokenizer.bias += 1
    keys.append(key())
    monkeypatch.setattr(
        features, "code_of", lambda modality: f"hash of the file of {modality.__name__}"
    )
    keys.append(key())
    assert len(set(keys)) == 4


def test_views_are_grouped_by_modality_in_their_order(model, pictures, tmp_path):
    cache = FeatureCache(tmp_path / "c", model, 2)
    cache.fill(pictures)
    found = cache.by_modality(pictures[::-1], 3)
    assert list(found) == ["image"]
    for view, media in zip(found["image"], pictures[::-1], strict=True):
        assert torch.equal(view, cache.view(media, 1))


def test_a_live_modality_keeps_signals_whatever_its_tokenizer(
    model, pictures, tmp_path, monkeypatch
):
    before = FeatureCache(tmp_path / "c", model, 1, live={"image"})
    before.fill(pictures)
    monkeypatch.setitem(model.tokenizers._modules, "image", torch.nn.Linear(2, 2))
    monkeypatch.setattr(features, "weights_hash", lambda part: pytest.fail("hashed for nothing"))
    cache = FeatureCache(tmp_path / "c", model, 1, live={"image"})
    assert cache.key(pictures[0]) == before.key(pictures[0])
    signal = model.modalities["image"].read(pictures[0].source)
    assert torch.equal(cache.view(pictures[0], 0), signal)


def test_a_live_modality_is_augmented_anew_at_every_drawing(model, pictures, tmp_path):
    cache = FeatureCache(tmp_path / "c", model, 2, live={"image"})
    cache.fill(pictures)
    drawn = [cache.view(pictures[0], number) for number in (0, 1, 2, 3, 1)]
    assert torch.equal(drawn[0], model.modalities["image"].read(pictures[0].source))
    assert torch.equal(drawn[1], drawn[4])
    assert len({tuple(view.flatten().tolist()) for view in drawn[:4]}) == 4
    alone = FeatureCache(tmp_path / "c", model, 1, live={"image"})
    alone.fill(pictures)
    assert torch.equal(alone.view(pictures[0], 3), drawn[0])


@pytest.mark.parametrize("harm", ["cut", "a byte"])
def test_a_damaged_shard_is_computed_anew_and_bad_files_are_named(model, pictures, tmp_path, harm):
    cache = FeatureCache(tmp_path / "c", model, 1)
    cache.fill(pictures)
    whole = [cache.view(picture, 0) for picture in pictures]
    shard = next((tmp_path / "c").glob("*.safetensors"))
    data = bytearray(shard.read_bytes())
    data[-3] ^= 0x40
    shard.write_bytes(data[:100] if harm == "cut" else data)
    (tmp_path / "bad.png").write_bytes(b"bad")
    bad = Media("image", str(tmp_path / "bad.png"))
    again = FeatureCache(tmp_path / "c", model, 1)
    assert list(again.fill([*pictures, bad])) == [bad]
    for picture, view in zip(pictures, whole, strict=True):
        assert torch.equal(again.view(picture, 0), view)


def test_a_damaged_shard_may_be_removed_by_another_process_first(
    model, pictures, tmp_path, monkeypatch
):
    FeatureCache(tmp_path / "c", model, 1).fill(pictures)
    monkeypatch.setattr(features, "is_whole", lambda path: path.unlink())
    assert FeatureCache(tmp_path / "c", model, 1).fill(pictures) == {}
