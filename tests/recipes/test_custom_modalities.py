"""--modality exchanges the modalities of any recipe, and trains tokenizers beside the connector."""

from dataclasses import replace

import pytest
from fixtures.custom_modality import MODALITY
from fixtures.tiny_model import tiny_config

from polysense.config.overrides import apply, from_json, to_json
from polysense.errors import PolysenseError
from polysense.recipes.custom_modalities import with_modalities


@pytest.fixture
def config(tmp_path):
    return apply(tiny_config(tmp_path), ["model.modalities.image.size=28"])


@pytest.fixture
def file(tmp_path):
    (tmp_path / "heat.py").write_text(MODALITY)
    return tmp_path / "heat.py"


def test_a_modality_takes_the_place_of_the_recipes(config, file):
    changed = with_modalities(config, [str(file)])
    assert changed.model.modalities == {"heat": {}}
    assert changed.model.sources == {"heat": f"{file}:Heat"}
    assert changed.stages[0].trainable == ("connector", "tokenizers.heat")
    assert changed.stages[1].trainable == ("connector", "llm.*lora_*", "tokenizers.heat")
    assert from_json(type(changed), to_json(changed)) == changed
    sized = apply(changed, ["model.modalities.heat.size=9"])
    assert sized.model.modalities == {"heat": {"size": 9}}


def test_a_tokenizer_learns_also_with_a_part_of_the_connector(config, file):
    output_projection = replace(
        config.stages[0], trainable=("connector.branches.*.output_projection",)
    )
    llm = replace(config.stages[1], trainable=("llm.*lora_*",))
    changed = with_modalities(replace(config, stages=(output_projection, llm)), [str(file)])
    assert changed.stages[0].trainable == (
        "connector.branches.*.output_projection",
        "tokenizers.heat",
    )
    assert changed.stages[1].trainable == ("llm.*lora_*",)


def test_the_recipes_own_modalities_keep_their_options_and_their_order(config, file):
    changed = with_modalities(config, ["image", f"{file}:Heat"])
    assert changed.model.modalities == {"image": {"size": 28}, "heat": {}}
    assert with_modalities(config, ["image"]) == config  # a picture's tokenizer has no parameters


def test_unknown_modalities_and_sources_without_a_modality(config):
    with pytest.raises(PolysenseError, match="did you mean 'image'"):
        with_modalities(config, ["imge"])
    with pytest.raises(PolysenseError, match=r"model\.sources has 'heat', model\.modalities not"):
        apply(config, ["model.sources.heat=heat.py"])
