"""Meshes become points: drawn evenly over the surface, with the colour of the place they are drawn.

Reads OBJ, STL, OFF, GLB, glTF and PLY with faces through trimesh, from the one file: materials,
textures and buffers in files beside it are not followed (no path leaves the data root), so keep
them inside, as GLB does.
"""

from __future__ import annotations

import io
import json
import struct
from typing import Any

import numpy as np

from polysense.errors import PolysenseError
from polysense.modalities.readers.column_names import listed
from polysense.modalities.readers.point_cloud.cloud import GREY, Cloud, Reading, finite
from polysense.modalities.readers.point_cloud.off_colours import add_off_colours

TEXTURE_PIXELS = 89_000_000
STL_TEXT = 4096  # bytes in which the first facet of a text STL stands
STL_HEADER = 84  # bytes of a binary STL: a title, and the number of faces
STL_FACE = 50

# What glTF files may require: extensions whose absence changes neither form nor base colour.
EXTENSIONS = (
    "EXT_texture_webp", "KHR_materials_pbrSpecularGlossiness", "KHR_materials_unlit",
    "KHR_lights_punctual", "KHR_materials_emissive_strength", "KHR_materials_ior",
    "KHR_materials_clearcoat", "KHR_materials_sheen", "KHR_materials_specular",
    "KHR_materials_transmission", "KHR_materials_volume", "KHR_materials_iridescence",
    "KHR_materials_anisotropy", "KHR_materials_dispersion", "KHR_xmp_json_ld",
)  # fmt: skip

COMPRESSIONS = ("KHR_draco_mesh_compression", "EXT_meshopt_compression")


def read_mesh(data: bytes, kind: str, reading: Reading) -> Cloud:
    """Return `reading.wanted` points of a mesh's surface, or the vertices of one without faces.

    `kind` is the file's suffix without dot. The same file gives the same points.
    """
    import trimesh

    if kind == "stl":
        data = checked_stl(data, reading)
    check_counts(data, kind, reading)
    scene: Any = trimesh.load(io.BytesIO(data), file_type=kind, force="scene", process=False)
    placed = []
    for node in scene.graph.nodes_geometry:
        transform, geometry = scene.graph[node]
        placed.append((scene.geometry[geometry], transform))
    if kind == "off":
        add_off_colours(placed[0][0], data, reading.name)
    # An instance refers to its mesh, so a small file can place a large mesh many times.
    reading.check(sum(len(mesh.vertices) for mesh, _ in placed), "vertices")
    areas = [face_areas(mesh, transform) for mesh, transform in placed]
    totals = np.array([area.sum() for area in areas])
    if not totals.sum() > 0:
        return reading.thin(finite(vertices(placed)))
    shares = reading.generator.multinomial(reading.wanted, totals / totals.sum())
    parts = [
        sample(mesh, transform, area, int(share), reading)
        for (mesh, transform), area, share in zip(placed, areas, shares, strict=True)
        if share
    ]
    return reading.thin(finite(join(parts)))


def check_counts(data: bytes, kind: str, reading: Reading) -> None:
    """Compare the vertices that a file announces with the limit, before it is decoded."""
    if kind == "off":
        words = data[:4096].split()
        if len(words) > 1 and words[1].isdigit():
            reading.check(int(words[1]), "vertices")
    elif kind == "obj":
        reading.check(data.count(b"\nv ") + data.startswith(b"v "), "vertices")
    elif kind in ("glb", "gltf"):
        check_gltf(data, reading)


def checked_stl(data: bytes, reading: Reading) -> bytes:
    """Return an STL file's bytes, as text in any case or binary with nothing behind its last face.

    Raises PolysenseError where it announces too much, or other faces than it holds.
    """
    text = data[:STL_TEXT].lower()
    exact = len(data) >= STL_HEADER and len(data) == STL_HEADER + STL_FACE * stl_faces(data)
    if not exact and text.lstrip().startswith(b"solid") and b"facet" in text:
        text = data.lower()
        begun, ended = text.count(b"facet normal"), text.count(b"endfacet")
        if begun != ended:
            raise PolysenseError(
                f"{reading.name} is cut short: of {begun:,} faces that begin, {ended:,} end"
            )
        reading.check(3 * begun, "vertices")
        return text
    if len(data) < STL_HEADER:
        raise PolysenseError(f"{reading.name} is no STL file: it has {len(data)} bytes")
    faces = stl_faces(data)
    held, behind = divmod(len(data) - STL_HEADER, STL_FACE)
    if held < faces:
        raise PolysenseError(
            f"{reading.name} is cut short: it announces {faces:,} faces and holds {held:,}"
        )
    if held > faces:
        raise PolysenseError(
            f"{reading.name} announces {faces:,} faces and holds {held:,}: save it anew"
        )
    reading.check(3 * faces, "vertices")
    return data[: len(data) - behind]


def stl_faces(data: bytes) -> int:
    """Return how many faces a binary STL announces behind its title."""
    return struct.unpack_from("<I", data, STL_HEADER - 4)[0]


def check_gltf(data: bytes, reading: Reading) -> None:
    """Refuse glTF that announces too much, or whose geometry lies in other files."""
    text = data
    if data.startswith(b"glTF"):
        (length,) = struct.unpack_from("<I", data, 12)
        text = data[20 : 20 + length]
    tree = json.loads(text)
    # An accessor may be all zeros and take no bytes of the file, whatever its count.
    counts = [int(accessor["count"]) for accessor in tree.get("accessors", [])]
    reading.check(max(counts, default=0), "vertices")
    if sum(counts) > 16 * reading.most:
        raise PolysenseError(
            f"{reading.name} announces {sum(counts):,} values; the limit is 16 x "
            f"{reading.option}={reading.most:,}"
        )
    check_extensions(tree, reading.name)
    for buffer in tree.get("buffers", []):
        if not buffer.get("uri", "data:").startswith("data:"):
            raise PolysenseError(
                f"{reading.name} keeps its geometry in another file ({buffer['uri'][:60]!r}), "
                "which is not followed: save it as .glb"
            )


def check_extensions(tree: dict[str, Any], name: str) -> None:
    """Refuse glTF that requires an extension which is not read, above all compressed geometry."""
    unread = [e for e in tree.get("extensionsRequired", []) if e not in EXTENSIONS]
    if packed := [extension for extension in unread if extension in COMPRESSIONS]:
        raise PolysenseError(
            f"{name} is compressed ({packed[0]}), which is not read: save it uncompressed, for "
            "example with gltf-transform copy"
        )
    if unread:
        raise PolysenseError(
            f"{name} requires glTF extensions that are not read ({listed(unread, 8)}): save it "
            "without them"
        )
    accessors = tree.get("accessors", [])
    for mesh in tree.get("meshes", []):
        for part in mesh.get("primitives", []):
            place = part.get("attributes", {}).get("POSITION")
            if place is None:
                continue
            if not {"bufferView", "sparse"} & set(accessors[place]):
                held = ", ".join(part.get("extensions", {})) or "nothing"
                raise PolysenseError(
                    f"{name} holds no coordinates of a mesh: in their place stands {held}"
                )


def face_areas(mesh: Any, transform: np.ndarray) -> np.ndarray:
    """Return the area [faces] of the faces of a mesh in its scene; 0 of damaged ones."""
    import trimesh

    if not len(getattr(mesh, "faces", ())):
        return np.zeros(0)
    placed = trimesh.transform_points(mesh.vertices, transform)
    areas = trimesh.triangles.area(placed[mesh.faces])
    return np.where(areas < np.inf, areas, 0)


def sample(
    mesh: Any, transform: np.ndarray, areas: np.ndarray, count: int, reading: Reading
) -> Cloud:
    """Draw `count` points of one placed mesh, each face by its area."""
    import trimesh

    seed = int(reading.generator.integers(2**31))
    points, faces = trimesh.sample.sample_surface(mesh, count, face_weight=areas, seed=seed)[:2]
    corners = mesh.vertices[mesh.faces[faces]]
    weights = trimesh.triangles.points_to_barycentric(corners, points)
    weights = np.nan_to_num(weights, nan=1 / 3)  # of slivers
    colours = surface_colours(mesh, faces, weights, reading)
    return Cloud(trimesh.transform_points(points, transform), colours)


def surface_colours(
    mesh: Any, faces: np.ndarray, weights: np.ndarray, reading: Reading
) -> np.ndarray | None:
    """Return colours [n, 3] at points that lie in `faces` with barycentric `weights` [n, 3].

    From the texture, else the vertices or faces, else the material; None where there is nothing.
    """
    from trimesh.visual.color import uv_to_color

    visual, corners = mesh.visual, mesh.faces[faces]
    if visual.kind == "vertex":
        colours = (visual.vertex_colors[corners, :3] * weights[..., None]).sum(axis=1)
    elif visual.kind == "face":
        colours = visual.face_colors[faces, :3]
    elif visual.kind == "texture" and visual.material is not None:
        image = getattr(visual.material, "baseColorTexture", None)
        image = image or getattr(visual.material, "image", None)
        if image is None or visual.uv is None or not len(visual.uv):
            colours = np.broadcast_to(visual.material.main_color[:3], (len(faces), 3))
        else:
            if image.width * image.height > TEXTURE_PIXELS:
                raise PolysenseError(
                    f"{reading.name} has a texture of {image.width} x {image.height} pixels; the "
                    f"limit is {TEXTURE_PIXELS:,}"
                )
            places = np.nan_to_num((visual.uv[corners] * weights[..., None]).sum(axis=1))
            colours = uv_to_color(places, image)[:, :3]
    else:
        return None
    return np.clip(colours, 0, 255).astype(np.float32) / 255


def vertices(placed: list[tuple[Any, np.ndarray]]) -> Cloud:
    """Return the vertices of placed meshes, or clouds, that have no surface."""
    import trimesh

    parts = []
    for mesh, transform in placed:
        colours = getattr(mesh, "colors", None)
        given = colours is not None and len(colours) == len(mesh.vertices)
        rgb = np.asarray(colours)[:, :3].astype(np.float32) / 255 if given else None
        parts.append(Cloud(trimesh.transform_points(mesh.vertices, transform), rgb))
    return join(parts)


def join(parts: list[Cloud]) -> Cloud:
    """Put clouds together; those without colours are grey beside others that have some."""
    xyz = np.concatenate([part.xyz for part in parts])
    if all(part.rgb is None for part in parts):
        return Cloud(xyz, None)
    grey = [np.full(part.xyz.shape, GREY, np.float32) for part in parts]
    pairs = zip(parts, grey, strict=True)
    return Cloud(xyz, np.concatenate([g if p.rgb is None else p.rgb for p, g in pairs]))
