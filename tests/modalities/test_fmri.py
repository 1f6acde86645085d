"""Brain activity from vectors, tables and masked volumes; bad files end in one line."""

import gzip

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch

from polysense.errors import PolysenseError
from polysense.modalities import fmri
from polysense.modalities.fmri import FmriModality

RAW = FmriModality(voxels=20, normalise="none")
VECTOR = np.arange(20.0, dtype=np.float32)
SPACE = np.diag([2.0, 2.0, 2.0, 1.0])


def save(path, data, affine=SPACE):
    nibabel.Nifti1Image(np.asarray(data, dtype=np.float32), affine).to_filename(path)
    return path


@pytest.fixture
def brain(tmp_path):
    """A mask of 20 voxels of a 4 x 5 x 3 volume, and a modality that uses it."""
    inside = np.zeros((4, 5, 3))
    inside[:, :, 1] = 1
    mask = save(tmp_path / "mask.nii.gz", inside)
    return inside.astype(bool), FmriModality(voxels=20, normalise="none", mask=str(mask))


def test_vectors_of_every_kind(tmp_path):
    np.save(tmp_path / "a.npy", VECTOR)
    np.savez(tmp_path / "a.npz", fmri=VECTOR[None], subject=1)
    regions = pd.DataFrame({"roi": np.arange(20), "value": VECTOR}).sample(frac=1, random_state=0)
    regions.to_csv(tmp_path / "regions.csv", index=False)
    regions.to_parquet(tmp_path / "regions.parquet")
    pd.DataFrame([VECTOR]).to_csv(tmp_path / "bare.csv", index=False, header=False)
    pd.DataFrame([VECTOR], columns=[f"v{i}" for i in range(20)]).to_csv(
        tmp_path / "named.tsv", index=False, sep="\t"
    )
    pd.DataFrame({"beta": VECTOR}).to_csv(tmp_path / "column.csv", index=False)
    for source in (*tmp_path.iterdir(), str(tmp_path / "a.npy"), VECTOR, torch.tensor(VECTOR)):
        signal = RAW.read(source)
        assert signal.dtype == torch.float32
        assert signal.tolist() == VECTOR.tolist()


def test_a_volume_is_read_where_the_mask_is(brain, tmp_path):
    inside, modality = brain
    volume = np.full((4, 5, 3), 99.0)
    volume[inside] = VECTOR
    for name in ("volume.nii", "volume.nii.gz"):
        assert modality.read(save(tmp_path / name, volume)).tolist() == VECTOR.tolist()


def test_a_volumes_own_mask_goes_before_the_runs(brain, tmp_path):
    inside, modality = brain
    volume = np.full((4, 5, 3), 99.0)
    volume[inside] = VECTOR
    path = save(tmp_path / "volume.nii", volume)
    assert RAW.read({"fmri": str(path), "mask": modality.mask}).tolist() == VECTOR.tolist()
    assert modality.read({"fmri": path}).tolist() == VECTOR.tolist()
    other = save(tmp_path / "other.nii", np.roll(inside, 1, axis=2))
    assert modality.read({"fmri": path, "mask": other}).tolist() == [99.0] * 20


def test_a_series_is_averaged_or_one_volume_taken(brain, tmp_path):
    inside, modality = brain
    series = np.full((4, 5, 3, 3), 99.0)
    for time, factor in enumerate((1, 2, 6)):
        series[inside, time] = factor * VECTOR
    path = save(tmp_path / "series.nii.gz", series)
    assert modality.read(path).tolist() == (3 * VECTOR).tolist()
    options = {**vars(modality), "volume": 1}
    assert FmriModality(**options).read(path).tolist() == (2 * VECTOR).tolist()
    with pytest.raises(PolysenseError, match=r"3 volumes, so fmri\.volume=3"):
        FmriModality(**{**options, "volume": 3}).read(path)


def test_a_changed_mask_is_read_again(tmp_path):
    first, second = np.zeros((2, 2, 2)), np.zeros((2, 2, 2))
    first[0, 0, 0] = second[1, 1, 1] = 1
    volume = save(tmp_path / "v.nii", np.arange(8).reshape(2, 2, 2))
    modality = FmriModality(voxels=1, normalise="none", mask=str(tmp_path / "m.nii"))
    save(tmp_path / "m.nii", first)
    assert modality.read(volume).tolist() == [0]
    save(tmp_path / "m.nii", second)
    assert modality.read(volume).tolist() == [7]


def test_zscore_and_missing_voxels():
    modality = FmriModality(voxels=20)
    whole = modality.read(1000 + VECTOR)
    assert float(whole.mean()) == pytest.approx(0, abs=1e-6)
    assert float(whole.std(correction=0)) == pytest.approx(1, abs=1e-5)
    holed = VECTOR.copy()
    holed[[3, 7]] = np.nan, np.inf
    signal = modality.read(holed)
    known = np.delete(VECTOR, [3, 7])
    assert signal[[3, 7]].tolist() == [0, 0]
    assert float(signal[0]) == pytest.approx((0 - known.mean()) / known.std(), abs=1e-5)
    holed[0] = np.nan
    with pytest.raises(PolysenseError, match="15% of the voxels are missing"):
        modality.read(holed)
    assert not modality.read(np.full(20, 5.0)).any()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (np.zeros(19), r"19 voxels; fmri\.voxels is 20"),
        (np.zeros((4, 5)), r"one vector, not \[4, 5\]"),
        (np.array(["a"] * 20), "must hold numbers"),
        (pd.DataFrame({"roi": ["V1", "V1"], "value": [1, 2]}), "two rows for the roi 'V1'"),
        (pd.DataFrame({"a": [1, 2], "b": [1, 2]}), "columns roi and value; it has 2 rows of a, b"),
        (pd.DataFrame([["x"] * 20]), "'x' in column 0, row 1, is no number"),
        ("gone.npy", "cannot be read: No such file"),
        ("gone.nii.gz", "cannot be read: No such file"),
    ],
)
def test_bad_sources_end_in_one_line(source, words):
    with pytest.raises(PolysenseError, match=words) as caught:
        RAW.read(source)
    assert "\n" not in str(caught.value)


def test_volumes_that_do_not_fit(brain, tmp_path):
    _, modality = brain
    path = save(tmp_path / "v.nii", np.zeros((4, 5, 3)))
    cases = [
        (
            RAW,
            path,
            r"fmri=.*v\.nii,mask=MASK.* --set fmri\.mask=MASK.*model\.modalities\.fmri\.mask",
        ),
        (RAW, {"fmri": path, "rate": 3}, r"fmri=FILE,mask=MASK.*these are fmri, rate"),
        (RAW, {"mask": path}, r"these are mask"),
        (modality, save(tmp_path / "flat.nii", np.zeros((4, 5))), "3 or 4 dimensions"),
        (modality, save(tmp_path / "other.nii", np.zeros((4, 5, 4))), "another space"),
        (modality, save(tmp_path / "moved.nii", np.zeros((4, 5, 3)), np.eye(4)), "another space"),
        (FmriModality(mask=str(tmp_path / "no.nii")), path, r"fmri\.mask .*No such file"),
        (FmriModality(mask=str(path)), path, "some voxel that is not 0"),
    ]
    for one, file, words in cases:
        with pytest.raises(PolysenseError, match=words):
            one.read(file)


def test_damaged_and_oversized_volumes(brain, tmp_path):
    _, modality = brain
    whole = save(tmp_path / "v.nii", np.zeros((4, 5, 3, 50))).read_bytes()
    (tmp_path / "cut.nii").write_bytes(whole[:500])
    (tmp_path / "text.nii.gz").write_text("no gzip")
    (tmp_path / "text.nii").write_text("no header")
    (tmp_path / "cut.nii.gz").write_bytes(gzip.compress(whole)[:-200])
    for name in ("cut.nii", "text.nii.gz", "text.nii", "cut.nii.gz"):
        with pytest.raises(PolysenseError, match="damaged") as caught:
            modality.read(tmp_path / name)
        assert "\n" not in str(caught.value)
    # A header that promises more than memory holds is refused by the header.
    header = nibabel.Nifti1Header()
    header.set_data_shape((30000, 30000, 30000))
    header.set_data_dtype(np.float32)
    with gzip.open(tmp_path / "bomb.nii.gz", "wb") as file:
        file.write(header.binaryblock + b"\0" * 400)
    with pytest.raises(PolysenseError, match=r"27,000,000,000,000 numbers; the limit is fmri\.max"):
        modality.read(tmp_path / "bomb.nii.gz")
    with pytest.raises(PolysenseError, match=r"fmri\.max_bytes=10"):
        FmriModality(max_bytes=10, mask="x").read(tmp_path / "v.nii")


def test_tokenizer_lays_channels_out_as_the_release_does():
    modality = FmriModality(voxels=20, tokens=3)
    tokenizer = modality.tokenizer(4)
    signals = torch.randn(2, 20)
    flat = tokenizer.linear(signals)
    tokens = tokenizer(signals)
    assert tokens.shape == (2, 3, 4)
    assert torch.equal(tokens, flat.reshape(2, 4, 3).transpose(1, 2))
    assert sorted(tokenizer.state_dict()) == ["linear.bias", "linear.weight"]


def test_the_papers_size():
    tokenizer = FmriModality().tokenizer(1024)
    assert tokenizer.linear.weight.shape == (8192, 15724)


def test_augment_loses_voxels_and_adds_noise():
    modality = FmriModality(voxels=2000)
    signal = modality.read(np.random.default_rng(0).normal(size=2000))
    views = [modality.augment(signal, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(views[0], views[1])
    assert not torch.equal(views[0], views[2])
    assert 0.02 < float((views[0] == 0).float().mean()) < 0.09
    kept = views[0] != 0
    assert 0.05 < float((views[0] - signal)[kept].std()) < 0.2


def test_picture_and_example():
    picture = RAW.visualize(RAW.read(VECTOR))
    assert picture.size == (256, 256)
    red, _, blue = picture.getpixel((0, 0))
    assert blue > red  # the smallest value, below the mean
    assert RAW.example().shape == (20,)
    assert "fMRI" in RAW.caption_prompt
    assert fmri.FmriModality(normalise="none").normalise == "none"
    with pytest.raises(PolysenseError, match=r"fmri\.normalise"):
        FmriModality(normalise="max")  # pyright: ignore[reportArgumentType]


def test_every_voxel_of_a_mask_that_is_not_zero_is_inside(tmp_path):
    mask = np.zeros((2, 2, 1), np.float32)
    mask[0, 0], mask[0, 1], mask[1, 1] = 1, 0.5, 7  # labels and shares
    volume = np.arange(4, dtype=np.float32).reshape(2, 2, 1)
    path = save(tmp_path / "m.nii", mask)
    modality = FmriModality(voxels=3, normalise="none", mask=str(path))
    assert modality.read(str(save(tmp_path / "v.nii", volume))).tolist() == [0, 1, 3]
