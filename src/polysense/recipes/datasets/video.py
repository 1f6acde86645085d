"""Videos: named meshes that move, filmed for two seconds.

What an object is shows in any frame; how it moves shows only in several, and whether it turns left
or right, comes or goes, only in their order. An encoder that averages over frames, as OneLLM's
does, cannot tell those two pairs: of the six motions it can name two thirds at best, where blind
guessing names one sixth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from polysense.recipes.datasets.depth_normal import draw_pose
from polysense.recipes.datasets.manifest_lines import (
    Line,
    generator,
    placed_lines,
    sentence,
    with_article,
)
from polysense.recipes.datasets.meshes import Mesh, load_meshes
from polysense.recipes.datasets.point import draws, mesh_line
from polysense.recipes.datasets.rendering import Pose, render, shade

PROVENANCE = {"video": "rendered: real meshes (Sweet Home 3D's furniture), set in motion"}
SIZE = 96
FRAMES = 16
RATE = 8  # frames a second
PER_CLASS = 16

# A motion: (where it starts, how far it is gone in 0..1) -> where it is. Left and right are those
# of the side that faces the viewer.
MOTIONS: dict[str, Callable[[Pose, float], Pose]] = {
    "turning left": lambda pose, gone: replace(pose, yaw=pose.yaw + 45 - 110 * gone),
    "turning right": lambda pose, gone: replace(pose, yaw=pose.yaw - 45 + 110 * gone),
    "coming closer": lambda pose, gone: replace(pose, distance=6 - 3.6 * gone),
    "going away": lambda pose, gone: replace(pose, distance=2.4 + 3.6 * gone),
    "rolling": lambda pose, gone: replace(pose, roll=-330 * gone),
    "jumping": lambda pose, gone: replace(
        pose, distance=4.2, up=-0.5 + 1.2 * abs(float(np.sin(2 * np.pi * gone)))
    ),
}


def video_lines(root: Path) -> list[Line]:
    """Return a line for each clip, an MP4 of FRAMES frames; the motion is the label."""

    def write(inside: Path) -> list[Line]:
        lines = []
        for number, (key, mesh) in enumerate(draws(load_meshes(root), PER_CLASS)):
            motion = list(MOTIONS)[number % len(MOTIONS)]
            film(mesh, motion, inside / f"{key}.mp4", generator(f"video {key}"))
            caption = sentence(f"{with_article(mesh.category)} {motion}")
            line = mesh_line("video", f"{key}.mp4", caption, mesh, key)
            lines.append({**line, "category": motion})
        return lines

    return placed_lines(root, "video", "Filming the videos", write)


def film(mesh: Mesh, motion: str, path: Path, random: np.random.Generator) -> None:
    """Film one object's motion, before a plain background of a random light colour."""
    start = draw_pose(random)
    background = random.uniform(190, 255, size=3)
    frames = []
    for moment in np.linspace(0, 1, FRAMES):
        pose = MOTIONS[motion](start, float(moment))
        view = render(pose.apply(mesh.vertices), mesh.faces, SIZE)
        frames.append(shade(view, mesh.colours, background))
    write_video(path, frames, RATE)


def write_video(path: Path, frames: list[np.ndarray], rate: int) -> None:
    """Write frames, uint8 [H, W, 3] with even sides, as H.264 in an MP4 at `rate` a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("h264", rate=Fraction(rate))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1
        stream.options = {"crf": "20", "preset": "veryfast"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
