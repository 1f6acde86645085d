"""Files with the names of version 0.1 are told from those of this one."""

import json
from pathlib import Path

import pytest
from fixtures.tiny_model import tiny_config

from polysense.config.older_version import OLD_KEYS, check_version
from polysense.config.overrides import to_json
from polysense.errors import PolysenseError
from polysense.training.run_folder.contents import read_run


@pytest.mark.parametrize("key", sorted(OLD_KEYS))
def test_an_old_key_at_any_depth_is_named_with_the_file(key):
    with pytest.raises(PolysenseError, match=rf"^run\.json was .*older version.*{key}.*again"):
        check_version({"stages": [{"name": "alignment", key: 1}]}, Path("run.json"))


def test_todays_names_and_a_users_own_are_taken(tmp_path):
    values = to_json(tiny_config(tmp_path))
    values["model"]["modalities"] = {"window": {"block": 1, "style": 2}}
    values["placeholders"] = {"window": {"grid": 3}}
    check_version(values, Path("run.json"))


def test_the_first_three_old_keys_are_named():
    with pytest.raises(PolysenseError, match=r"it says block, clip, learn\)"):
        check_version(dict.fromkeys(("warmup", "learn", "clip", "block")), Path("run.json"))


def test_an_old_run_is_named_when_it_is_read(tmp_path):
    values = to_json(tiny_config(tmp_path / "parts"))
    values["stages"][0]["learn"] = values["stages"][0].pop("trainable")
    (tmp_path / "run.json").write_text(json.dumps(values))
    with pytest.raises(PolysenseError, match=r"run\.json was written by an older version"):
        read_run(tmp_path)
