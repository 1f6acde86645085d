"""Clouds of every kind become the same signal, and this the tokens of its neighbourhoods."""

import io

import numpy as np
import plyfile
import pytest
import torch
import trimesh

from polysense.errors import PolysenseError
from polysense.modalities.point import PointModality

MODALITY = PointModality(points=256, groups=32, neighbours=8)


@pytest.fixture
def cloud():
    """A cloud [1000, 6] as float32, far from the origin and larger than the unit sphere."""
    rng = np.random.default_rng(3)
    return np.hstack([rng.normal(5, 9, (1000, 3)), rng.random((1000, 3))]).astype(np.float32)


def save(cloud, path):
    """Write a cloud with whatever its suffix asks for."""
    if path.suffix == ".npy":
        np.save(path, cloud)
    elif path.suffix == ".npz":
        np.savez(path, points=cloud[:, :3], colors=cloud[:, 3:], other=np.zeros(3))
    elif path.suffix == ".ply":
        names = ("x", "y", "z", "red", "green", "blue")
        rows = np.rec.fromarrays(cloud.T, names=",".join(names))
        plyfile.PlyData([plyfile.PlyElement.describe(np.asarray(rows), "vertex")]).write(str(path))
    elif path.suffix == ".pcd":
        header = ("VERSION 0.7\nFIELDS x y z r g b\nSIZE 4 4 4 4 4 4\nTYPE F F F F F F\n"
                  f"WIDTH {len(cloud)}\nHEIGHT 1\nDATA binary\n")  # fmt: skip
        path.write_bytes(header.encode() + cloud.tobytes())
    else:
        np.savetxt(path, cloud, fmt="%.9g", delimiter="," if path.suffix == ".csv" else " ")


SUFFIXES = [".npy", ".npz", ".ply", ".pcd", ".xyz", ".txt", ".csv", ".TXT"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_file_gives_the_signal_of_the_array(suffix, cloud, tmp_path):
    save(cloud, tmp_path / f"a{suffix}")
    signal = MODALITY.read(tmp_path / f"a{suffix}")
    assert signal.shape == (256, 6)
    assert signal.dtype == torch.float32
    assert torch.allclose(signal, MODALITY.read(cloud), atol=1e-5)
    assert torch.equal(signal, MODALITY.read(str(tmp_path / f"a{suffix}")))
    assert torch.equal(MODALITY.read(torch.from_numpy(cloud)), MODALITY.read(cloud))


@pytest.mark.parametrize("name", ["colors", "colours", "color", "colour", "rgb"])
def test_colours_of_an_archive_by_any_name(name, cloud, tmp_path):
    np.savez(tmp_path / "a.npz", xyz=cloud[:, :3], **{name: cloud[:, 3:]})
    assert torch.allclose(MODALITY.read(tmp_path / "a.npz"), MODALITY.read(cloud), atol=1e-5)


def test_a_scanners_file_is_known_by_its_suffix(tmp_path):
    text = "2\n0 0 0 7 255 102 0\n1 0 0 7 255 102 0\n"
    for suffix, colour in ((".pts", (1, 0.4, 0)), (".txt", (7 / 255, 1, 0.4))):
        (tmp_path / f"a{suffix}").write_text(text)
        signal = MODALITY.read(tmp_path / f"a{suffix}")
        assert torch.allclose(signal[:, 3:], torch.tensor(colour).expand(256, 3), atol=1e-6)


def test_views_are_as_varied_as_they_say():
    signal = torch.cat([torch.eye(3).repeat(80, 1), torch.full((240, 3), 0.9)], dim=1)
    modality = PointModality(points=240, groups=4, neighbours=2)
    views = [modality.augment(signal, torch.Generator().manual_seed(seed)) for seed in range(200)]
    heights = torch.stack([view[1::3, 1].mean() for view in views])  # of points on the upright axis
    assert 0.78 < heights.min() < 0.83
    assert 1.17 < heights.max() < 1.22
    jitter = torch.stack([view[1::3, 1].std() for view in views]).mean()
    assert jitter == pytest.approx(0.01, rel=0.1)
    grey = [bool((view[:, 3:] == 0.4).all()) for view in views]
    assert 70 < sum(grey) < 130
    turned = torch.stack([view[0::3, 2].mean() for view in views])
    assert (turned > 0.5).any()
    assert (turned < -0.5).any()
    for view in views:  # a turn keeps handedness: x cross y is z
        x, y, z = (view[axis::3, :3].mean(dim=0) for axis in range(3))
        assert torch.linalg.cross(x, y) @ z > 0.4


def test_centred_scaled_and_thinned(cloud):
    signal = MODALITY.read(cloud)
    assert signal[:, :3].mean(dim=0).abs().max() < 1e-6
    assert signal[:, :3].norm(dim=1).max() == pytest.approx(1, abs=1e-6)
    rows = {tuple(row) for row in cloud[:, 3:].tolist()}
    assert all(tuple(row) in rows for row in signal[:, 3:].tolist())
    assert len(torch.unique(signal, dim=0)) == 256


def test_few_points_are_repeated_and_colourless_ones_grey():
    few = np.array([[0, 0, 0], [2, 0, 0], [0, 0, np.nan]])
    signal = MODALITY.read(few)
    assert torch.equal(signal[::2, :3], torch.tensor([-1.0, 0, 0]).expand(128, 3))
    assert torch.equal(signal[1::2, :3], torch.tensor([1.0, 0, 0]).expand(128, 3))
    assert torch.all(signal[:, 3:] == torch.tensor(0.4))
    same = MODALITY.read(np.full((9, 3), 7.0))
    assert torch.equal(same[:, :3], torch.zeros(256, 3))


def test_far_coordinates_keep_their_digits():
    near = np.random.default_rng(0).random((300, 3))
    assert torch.allclose(MODALITY.read(near + 5e6), MODALITY.read(near), atol=1e-6)


def test_meshes_are_sampled_on_their_surface(tmp_path):
    ball = trimesh.creation.icosphere(subdivisions=4)
    for suffix in (".obj", ".stl", ".off", ".glb", ".ply"):
        ball.export(tmp_path / f"ball{suffix}")
        signal = MODALITY.read(tmp_path / f"ball{suffix}")
        assert signal.shape == (256, 6)
        assert signal[:, :3].norm(dim=1).min() > 0.7  # centred on the mean of what was drawn
        assert torch.equal(signal, MODALITY.read(tmp_path / f"ball{suffix}"))


def defined_tokens(module, signals, groups, neighbours, columns):
    """The definition: gather raw values, convolve, take the maximum."""
    where = signals[..., columns]
    rows = []
    for one, values in zip(where, signals, strict=True):
        separation, chosen = torch.full((len(one),), torch.inf), [0]
        while len(chosen) < groups:
            separation = torch.minimum(separation, ((one - one[chosen[-1]]) ** 2).sum(-1))
            chosen.append(int(separation.argmax()))
        table = ((one[chosen][:, None] - one[None]) ** 2).sum(-1)
        rows.append(values[table.argsort(dim=1)[:, :neighbours]])
    gathered = torch.stack(rows).permute(0, 3, 2, 1)  # [N, 6, neighbours, groups]
    return module.convolution(gathered).amax(dim=2).transpose(1, 2)


@pytest.mark.parametrize(("columns", "part"), [("xyz", slice(0, 3)), ("rgb", slice(3, 6))])
def test_tokens_and_gradients_are_those_of_the_definition(columns, part):
    modality = PointModality(points=200, groups=16, neighbours=5, fps_columns=columns)
    module = modality.tokenizer(24)
    assert {name: tuple(p.shape) for name, p in module.named_parameters()} == {
        "convolution.weight": (24, 6, 1, 1), "convolution.bias": (24,),
    }  # fmt: skip
    signals = torch.rand(3, 200, 6, generator=torch.Generator().manual_seed(5))
    found = module(signals)
    expected = defined_tokens(module, signals, 16, 5, part)
    assert found.shape == (3, 16, 24)
    assert torch.allclose(found, expected, atol=1e-6)
    weights = torch.rand(3, 16, 24)
    gradients = [
        torch.autograd.grad((tokens * weights).sum(), list(module.parameters()))
        for tokens in (found, expected)
    ]
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_tokens_of_the_paper_have_its_shape_in_bfloat16():
    modality = PointModality(groups=512)
    module = modality.tokenizer(32).bfloat16()
    signal = modality.example()
    tokens = module(signal[None].bfloat16())
    assert signal.shape == (8192, 6)
    assert signal[:, :3].norm(dim=1).sub(1).abs().max() < 1e-5
    assert tokens.shape == (1, 512, 32)
    assert tokens.isfinite().all()


@pytest.mark.parametrize("up", ["x", "y", "z"])
def test_views_turn_about_the_upright_axis(up, cloud):
    modality = PointModality(points=256, groups=32, neighbours=8, up=up)
    signal, axis = modality.read(cloud), "xyz".index(up)
    views = [modality.augment(signal, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(views[0], views[1])
    assert not torch.allclose(views[0], views[2], atol=0.1)
    ratio = views[0][:, axis] / signal[:, axis]
    large = signal[:, axis].abs() > 0.3
    scale = ratio[large].median()
    assert 0.8 <= scale <= 1.2
    assert (ratio[large] - scale).abs().max() < 0.25  # the jitter
    assert torch.allclose(views[0][:, :3].norm(dim=1), signal[:, :3].norm(dim=1) * scale, atol=0.1)
    assert torch.equal(views[0][:, 3:], signal[:, 3:])


def test_a_picture_of_a_cloud():
    picture = MODALITY.visualize(MODALITY.example())
    assert picture.size == (256, 256)
    assert picture.mode == "RGB"


def test_what_is_refused(tmp_path, cloud):
    save(cloud, tmp_path / "a.npy")
    (tmp_path / "a.doc").write_bytes(b"1 2 3")
    (tmp_path / "empty.ply").write_bytes(b"")
    np.savez(tmp_path / "two.npz", a=cloud, b=cloud)
    np.savez(tmp_path / "odd.npz", points=cloud[:, :3], colors=cloud[:9, 3:])
    buffer = io.BytesIO()
    small = PointModality(points=9, groups=3, neighbours=2, max_points=999, max_bytes=9999)
    for modality, source, words in (
        (small, tmp_path / "a.npy", r"24,128 bytes; the limit is point\.max_bytes=9,999"),
        (small, cloud, r"1,000 points; the limit is point\.max_points=999"),
        (MODALITY, tmp_path / "no.ply", r"'.*no\.ply' cannot be read: No such file"),
        (MODALITY, tmp_path / "a.doc", r"suffix '\.doc'; those read: \.ply"),
        (MODALITY, tmp_path / "empty.ply", "is empty"),
        (MODALITY, tmp_path / "two.npz", "holds the arrays a, b; it needs one called 'points'"),
        (MODALITY, tmp_path / "odd.npz", r"has colours \[9, 3\], not \[1000, 3\]"),
        (MODALITY, tmp_path, "directory"),
        (MODALITY, np.full((5, 3), np.nan), "no point whose coordinates are finite"),
        (MODALITY, np.zeros((0, 3)), "holds no points"),
        (MODALITY, np.zeros((5, 4)), r"not float64 \[1, 4\]"),
        (MODALITY, np.array(3.0), "must be numbers"),
        (MODALITY, buffer, "must be a path or array, not BytesIO"),
    ):
        with pytest.raises(PolysenseError, match=words) as caught:
            modality.read(source)
        assert "\n" not in str(caught.value)


def test_wrong_options_are_refused():
    for options in ({"fps_columns": "xy"}, {"groups": 9000}, {"neighbours": 0}, {"up": "w"}):
        with pytest.raises(PolysenseError, match="point"):
            PointModality(**options)
