"""Videos show the motion that their caption names, and play at the stated rate."""

import av
import numpy as np
import pytest
from fixtures.small_datasets import cube, save_library

from polysense.recipes.datasets import video as videos
from polysense.recipes.datasets.manifest_lines import generator


def film(motion, tmp_path):
    """Film a cube; returns the frames [T, S, S, 3] and where the object is in each, [T, S, S]."""
    path = tmp_path / "clip.mp4"
    videos.film(cube(), motion, path, generator("clip"))
    with av.open(str(path)) as container:
        assert container.streams.video[0].average_rate == videos.RATE
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == videos.FRAMES
    moving = np.stack(frames).astype(int)
    return moving, np.abs(moving - moving[:, :1, :1]).sum(axis=3) > 60


def red_place(frames):
    """The mean column of the cube's red front in each frame where it shows, from left to right."""
    red = (frames[..., 0] > 70) & (frames[..., 2] < 50)
    return [np.flatnonzero(each.any(axis=0)).mean() for each in red if each.any()]


@pytest.mark.parametrize(("motion", "sign"), [("turning left", -1), ("turning right", 1)])
def test_the_front_goes_to_the_side_that_is_named(motion, sign, tmp_path):
    place = red_place(film(motion, tmp_path)[0])
    assert sign * (place[-1] - place[0]) > 3


@pytest.mark.parametrize(("motion", "sign"), [("coming closer", 1), ("going away", -1)])
def test_what_comes_grows(motion, sign, tmp_path):
    size = film(motion, tmp_path)[1].sum(axis=(1, 2))
    assert (np.sign(np.diff(size)) == sign).mean() > 0.8
    assert max(size) > 3 * min(size)


def test_what_jumps_leaves_the_ground_twice(tmp_path):
    seen = film("jumping", tmp_path)[1]
    height = np.array([-np.flatnonzero(each.any(axis=1)).mean() for each in seen])
    high = height > (height.min() + height.max()) / 2
    assert (np.diff(high.astype(int)) == 1).sum() == 2


def test_every_motion_is_as_frequent_as_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(videos, "PER_CLASS", 3)
    save_library(tmp_path, ["Chair", "Vase"])
    lines = videos.video_lines(tmp_path)
    assert sorted(line["category"] for line in lines) == sorted(videos.MOTIONS)
    assert lines[0]["caption"] == "A chair turning left."
    assert all((tmp_path / line["video"]).stat().st_size > 500 for line in lines)
