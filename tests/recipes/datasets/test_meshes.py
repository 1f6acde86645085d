"""Meshes: catalogue names become classes, models are scaled and coloured, some held out whole."""

from dataclasses import replace

import numpy as np
import pytest
from fixtures.small_datasets import cube, save_library

from polysense.recipes.datasets import meshes


@pytest.mark.parametrize(
    ("name", "category"),
    [("Armchair", "chair"), ("Chair with cushion", "chair"), ("Coffee table", "table"),
     ("Pool table", None), ("Corner sofa", "sofa"), ("Double window 3 panes", "window"),
     ("Window blind", None), ("Garage door", None), ("Sitting female", "person"), ("Bath", None),
     ("Small upper cabinet", "cabinet")],
)  # fmt: skip
def test_names_of_the_catalogue_mean_classes(name, category):
    assert meshes.class_of(name) == category


def test_named_models_are_read_once_scaled_and_coloured(tmp_path):
    save_library(tmp_path, ["Chair", "Oak chair", "Vase", "Pool table"], stretched=True)
    loaded = meshes.load_meshes(tmp_path)
    assert [mesh.category for mesh in loaded] == ["chair", "chair", "vase"]
    assert sum(mesh.held_out for mesh in loaded) == 1  # one of the two chairs, not the only vase
    assert not loaded[2].held_out
    for mesh in loaded:
        assert np.linalg.norm(mesh.vertices, axis=1).max() == pytest.approx(1, abs=1e-5)
        assert mesh.faces.shape == (12, 3)
        assert mesh.colours.tolist() == [[255, 0, 0]] * 12
    (tmp_path / "packages").rename(tmp_path / "gone")
    assert [mesh.name for mesh in meshes.load_meshes(tmp_path)] == [mesh.name for mesh in loaded]


def test_models_of_one_design_are_held_out_together():
    chairs = [cube(f"chair-{n}", "chair") for n in range(3)]
    wide = replace(chairs[1], vertices=chairs[1].vertices * np.float32([1.1, 1, 1]))
    table = cube("table", "table")
    designs = meshes.designs_of([chairs[0], wide, chairs[2], table])
    assert designs == ["chair-0", "chair-1", "chair-0", "table"]


def test_models_over_the_limit_are_left_out(tmp_path, monkeypatch):
    save_library(tmp_path, ["Chair"])
    library = next((tmp_path / "packages").rglob("*.sh3f"))
    assert len(list(meshes.catalogue(library))) == 1
    monkeypatch.setattr(meshes, "MAX_BYTES", 100)
    assert list(meshes.catalogue(library)) == []
