"""What `polysense describe` shows of a UPM's routers: their weights, as a table and a picture."""

import numpy as np
import pytest
import torch
from fixtures.tiny_model import tiny_config
from PIL import Image
from rich.console import Console

from polysense.config.overrides import to_json
from polysense.errors import PolysenseError
from polysense.evaluation.report.expert_routing import (
    draw_routing,
    picture_file,
    routing_of,
    routing_table,
)
from polysense.model.configuration import PolysenseConfig
from polysense.model.polysense_model import PolysenseModel


def build(folder, kind="upm", **options):
    parts = to_json(tiny_config(folder, kind=kind).model)
    parts["modalities"] = {"image": {"size": 28}, "imu": {"samples": 40, "kernel": 8}}
    parts["encoder"]["class_token"] = True
    parts["connector"] |= options
    return PolysenseModel(PolysenseConfig(model=parts)).eval()


@pytest.mark.parametrize("read", ["tokens", "features"])
def test_the_weights_are_the_routers(tmp_path, read):
    model = build(tmp_path, router_input=read)
    weights = routing_of(model)
    assert list(weights) == ["image", "imu"]
    for modality, row in weights.items():
        assert sum(row) == pytest.approx(1.0, abs=1e-5)
        with torch.no_grad():
            features = model.extract_features(modality, model.modalities[modality].example()[None])
            expected = model.connector.routing(modality, features)
        assert row == pytest.approx(expected.tolist())
    assert weights["image"] != weights["imu"]


def test_signals_may_come_from_elsewhere(tmp_path):
    model = build(tmp_path, router_input="features")
    signals = {"image": [torch.randn(3, 28, 28), torch.randn(3, 28, 28)], "imu": []}
    weights = routing_of(model, signals.__getitem__)
    assert list(weights) == ["image"]
    with torch.no_grad():
        expected = model.connector.routing(
            "image", model.extract_features("image", torch.stack(signals["image"]))
        )
    assert weights["image"] == pytest.approx(expected.tolist())
    assert weights != routing_of(
        model, lambda name: signals["image"][:1] if name == "image" else []
    )


def test_a_table_and_a_picture(tmp_path):
    weights = {"image": [1.0, 0.0], "imu": [0.25, 0.75]}
    console = Console(record=True, width=80)
    console.print(routing_table(weights))
    lines = console.export_text().splitlines()
    assert any("expert 2" in line for line in lines)
    assert any("imu" in line and "0.250" in line and "0.750" in line for line in lines)
    draw_routing(weights, tmp_path / "map.png")
    first = np.asarray(Image.open(tmp_path / "map.png").convert("RGB"))
    draw_routing({**weights, "image": [0.0, 1.0]}, tmp_path / "map.png")
    second = np.asarray(Image.open(tmp_path / "map.png").convert("RGB"))
    assert first.shape == second.shape
    assert (first != second).mean() > 0.05
    assert [file.name for file in tmp_path.iterdir()] == ["map.png"]


def test_mistakes(tmp_path):
    with pytest.raises(PolysenseError, match="'mlp' has no experts"):
        routing_of(build(tmp_path, kind="mlp"))
    for name in ("map.jpg", "nowhere/map.png"):
        with pytest.raises(PolysenseError, match=r"a \.png file"):
            picture_file(str(tmp_path / name))
