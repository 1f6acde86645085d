"""Pictures get the size and normalisation that an encoder's own files name, or its family's."""

import json

import pytest
from fixtures.tiny_model import VISION, save_llm

from polysense.config import EncoderConfig
from polysense.errors import PolysenseError
from polysense.modalities import AudioModality, ImageModality, VideoModality
from polysense.model.encoders.image_preprocessing import picture_options, signal_options


def test_options_of_a_folder_without_preprocessor_are_the_familys(tmp_path):
    for family, mean, fit in (
        ("clip", 0.48145466, "crop"), ("siglip", 0.5, "stretch"), ("dinov2", 0.485, "crop")
    ):  # fmt: skip
        VISION[family]().save_pretrained(tmp_path / family)
        found = picture_options(EncoderConfig("transformers", str(tmp_path / family)))
        assert (found["size"], found["mean"][0], found["fit"]) == (28, mean, fit)


@pytest.mark.parametrize(
    ("values", "size", "fit"),
    [
        ({"size": 24}, 24, "crop"),
        ({"size": {"shortest_edge": 30}, "crop_size": 26}, 26, "crop"),
        ({"size": {"height": 20, "width": 20}}, 20, "stretch"),
        ({"size": {"shortest_edge": 30}, "crop_size": 26, "do_center_crop": False}, 30, "crop"),
    ],
)
def test_every_way_to_write_a_size(values, size, fit, tmp_path):
    VISION["clip"]().save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(values))
    options = picture_options(EncoderConfig("transformers", str(tmp_path)))
    assert (options["size"], options["fit"]) == (size, fit)


def test_pictures_that_are_not_square_are_refused(tmp_path):
    VISION["clip"]().save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"size": {"height": 9, "width": 8}}')
    with pytest.raises(PolysenseError, match="only squares"):
        picture_options(EncoderConfig("transformers", str(tmp_path)))


def test_options_follow_the_family_and_the_preprocessor_file(tmp_path):
    VISION["siglip"]().save_pretrained(tmp_path / "siglip")
    config = EncoderConfig("transformers", str(tmp_path / "siglip"))
    options = signal_options(config, ImageModality)
    assert (options["size"], list(options["mean"])) == (28, [0.5] * 3)
    (tmp_path / "siglip/preprocessor_config.json").write_text(
        '{"size": {"shortest_edge": 30}, "crop_size": {"height": 26, "width": 26}, '
        '"image_mean": [0.1, 0.2, 0.3]}'
    )
    options = signal_options(config, ImageModality)
    assert (options["size"], options["mean"]) == (26, [0.1, 0.2, 0.3])


def test_every_modality_made_of_pictures_gets_what_it_knows(tmp_path):
    VISION["siglip"]().save_pretrained(tmp_path)
    config = EncoderConfig("transformers", str(tmp_path))
    assert signal_options(config, ImageModality)["fit"] == "stretch"
    video = signal_options(config, VideoModality)
    assert (video["size"], list(video["mean"])) == (28, [0.5] * 3)
    assert VideoModality(**video).size == 28
    assert signal_options(config, AudioModality) == {}


def test_an_encoder_that_is_unknown_or_sees_nothing(tmp_path):
    llm = save_llm(tmp_path / "llm")
    with pytest.raises(PolysenseError, match="unknown encoder"):
        picture_options(EncoderConfig("efficentnet", "x"))
    with pytest.raises(PolysenseError, match="not a vision"):
        picture_options(EncoderConfig("transformers", str(llm)))
    assert picture_options(EncoderConfig("none", width=8)) == {}


def test_efficientnet_has_its_authors_mean_and_deviation():
    options = picture_options(EncoderConfig("efficientnet-lite", "efficientnet-lite0.pth"))
    assert options["size"] == 224
    assert options["mean"] == [127 / 255] * 3
    assert options["std"] == [128 / 255] * 3
