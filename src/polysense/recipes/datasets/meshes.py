"""Named meshes: what point clouds, depth and normal maps and videos are made of.

The furniture library of Sweet Home 3D (Debian's sweethome3d-furniture; made by people, licensed
CC-BY 3.0 or CC0): some 800 models in OBJ, each with a name in a catalogue. Names become classes; of
each class up to ten models are taken, and some of them held out whole: a chair that is asked about
was never seen.
"""

from __future__ import annotations

import re
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import trimesh
from PIL import Image

from polysense.recipes.datasets.manifest_lines import digest, held_out_groups
from polysense.recipes.package_registry import converted, debian_package

LIBRARY = "usr/share/sweethome3d/furniture"
CATALOGUE = "PluginFurnitureCatalog.properties"
PER_CLASS = 10
MAX_BYTES = 1_300_000  # of one OBJ file: finer models take long, and a small map shows no more
GREY = (150, 150, 150)
SAME_DESIGN = 0.01  # difference of the sides of two bounding boxes

# A class, and the names (in lower case) of the catalogue that mean it.
CLASSES = {
    "bed": r"((baby|child|bunk|iron|captain's|mezzanine|hospital|day) )?bed|crib",
    "bookcase": r"(full )?bookcase|(vertical )?shelves",
    "bottle": r"((beer|wine|medicine|yogurt|baby|spray) )?bottle",
    "cabinet": r"wardrobe|cupboard|(.* )?cabinet",
    "car": r"seat leon|peugeot .*|renault .*|chevrolet|vw .*|suv|smart car|concept sedan .*",
    "chair": r"(.* )?(arm)?chair( with cushion)?",
    "cup": r"(plastic |coffee )?cup|coffee mug",
    "door": r"(exterior |double )?door( with panes)?",
    "lamp": r"((desk|little|street|outdoor|pedestal vase|camping) )?lamp",
    "person": r"((sitting|holding) )?(female|male|boy|girl)",
    "plant": r"((indoor|little|decorative|succulent|spider) )?plant|cactus|yucca|bonsai tree",
    "radiator": r"radiator",
    "sofa": r"(.* )?(sofa|couch)",
    "stool": r"(bar )?stool",
    "table": r"((coffee|round|glass|oak|cafe|folding|bar|wooden|rattan) )?table",
    "vase": r"vase",
    "washbasin": r"washbasin|sink",
    "window": r"(.* )?window( (with|\d) .*)?",
}


@dataclass(frozen=True)
class Mesh:
    """A model in a sphere of radius 1 around the origin, y upwards and its front towards +z.

    vertices [V, 3] float32, faces [F, 3] int32, colours [F, 3] uint8 (of each face)
    """

    name: str
    category: str
    held_out: bool
    vertices: np.ndarray
    faces: np.ndarray
    colours: np.ndarray


def load_meshes(root: Path) -> list[Mesh]:
    """Return the chosen meshes in the order of their names, fetched and converted once."""

    def convert(inside: Path) -> None:
        convert_library(debian_package("sweethome3d-furniture", root / "packages"), inside)

    paths = sorted(converted(root / "meshes", "Reading the meshes", convert).glob("*/*.npz"))
    meshes = []
    for path in paths:
        with np.load(path) as arrays:
            parts = [arrays[name] for name in ("vertices", "faces", "colours")]
        meshes.append(Mesh(path.stem, path.parent.name, False, *parts))
    designs = designs_of(meshes)
    held_out = held_out_groups(
        (design, mesh.category) for design, mesh in zip(designs, meshes, strict=True)
    )
    return [
        replace(mesh, held_out=design in held_out)
        for design, mesh in zip(designs, meshes, strict=True)
    ]


def designs_of(meshes: list[Mesh]) -> list[str]:
    """Return each mesh's design: the first of its class with the same proportions, or itself.

    Libraries hold doors that differ in a pane and cars in their paint; held out are all or none.
    """
    firsts: list[tuple[Mesh, np.ndarray]] = []
    designs = []
    for mesh in meshes:
        extent = np.ptp(mesh.vertices, axis=0)
        alike = (
            other.name
            for other, size in firsts
            if other.category == mesh.category and np.abs(size - extent).max() < SAME_DESIGN
        )
        designs.append(next(alike, mesh.name))
        if designs[-1] == mesh.name:
            firsts.append((mesh, extent))
    return designs


def convert_library(package: Path, folder: Path) -> None:
    """Write the chosen models of every library as folder/<class>/<name>.npz."""
    chosen: defaultdict[str, list[tuple[Path, str]]] = defaultdict(list)
    for library in sorted((package / LIBRARY).glob("*.sh3f")):
        for name, model in catalogue(library):
            if category := class_of(name):
                chosen[category].append((library, model))
    for category, models in chosen.items():
        (folder / category).mkdir()
        for library, model in sorted(set(models), key=lambda pair: digest(pair[1]))[:PER_CLASS]:
            name = f"{library.stem}-{PurePosixPath(model).parent.name}".lower()
            vertices, faces, colours = read_model(library, model)
            np.savez_compressed(
                folder / category / f"{name}.npz", vertices=vertices, faces=faces, colours=colours
            )


def class_of(name: str) -> str | None:
    """Return the class that a catalogue's name means, if any."""
    matches = (c for c, pattern in CLASSES.items() if re.fullmatch(pattern, name.lower()))
    return next(matches, None)


def catalogue(library: Path) -> Iterator[tuple[str, str]]:
    """Yield (name, path of the OBJ file inside) for each model of a library that is small enough.

    A library is a zip file; its catalogue holds lines `name#7=Chair`, `model#7=/chair/chair.obj`.
    """
    with zipfile.ZipFile(library) as archive:
        sizes = {member.filename: member.file_size for member in archive.infolist()}
        lines = archive.read(CATALOGUE).decode("latin-1").splitlines()
    values = dict(line.split("=", 1) for line in lines if re.match(r"(name|model)#\d+=", line))
    for key, name in values.items():
        model = values.get(key.replace("name#", "model#"), "").strip().lstrip("/")
        if key.startswith("name#") and 0 < sizes.get(model, 0) <= MAX_BYTES:
            yield name.strip(), model


def read_model(library: Path, model: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return vertices, faces and colours as `Mesh` has them.

    Materials and textures lie beside the OBJ in the archive.
    """
    with tempfile.TemporaryDirectory() as scratch:
        with zipfile.ZipFile(library) as archive:
            beside = f"{PurePosixPath(model).parent}/"
            archive.extractall(scratch, [n for n in archive.namelist() if n.startswith(beside)])
        scene: Any = trimesh.load(Path(scratch) / model, force="scene", process=False)
        parts = [part for part in scene.geometry.values() if isinstance(part, trimesh.Trimesh)]
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    faces = [part.faces + start for part, start in zip(parts, starts, strict=False)]
    colours = [np.tile(main_colour(part), (len(part.faces), 1)) for part in parts]
    return (
        in_unit_sphere(np.concatenate([part.vertices for part in parts])),
        np.concatenate(faces).astype(np.int32),
        np.concatenate(colours).astype(np.uint8),
    )


def main_colour(part: Any) -> tuple[int, ...]:
    """Return the RGB of a part's material: its texture's mean, else its diffuse colour."""
    material = getattr(part.visual, "material", None)
    picture = getattr(material, "image", None)
    if isinstance(picture, Image.Image):
        mean = picture.convert("RGB").resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
        return mean if isinstance(mean, tuple) else GREY
    diffuse = getattr(material, "main_color", None)
    return GREY if diffuse is None else tuple(int(value) for value in diffuse[:3])


def in_unit_sphere(vertices: np.ndarray) -> np.ndarray:
    """Centre vertices [V, 3] on their bounding box, scale the farthest to distance 1."""
    centred = vertices - (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    return (centred / np.linalg.norm(centred, axis=1).max()).astype(np.float32)
