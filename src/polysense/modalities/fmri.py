"""Brain activity: one response a voxel, as functional magnetic resonance imaging (fMRI) gives.

OneLLM (arXiv 2312.03700) reads a vector of 15,724 voxels (the NSD subject it was trained on) and
makes 8 tokens of it by one linear map. Files are such vectors, tables of regions, or volumes with
the mask that picks the voxels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import nibabel
import numpy as np
import torch
from PIL import Image
from torch import nn

from polysense.errors import PolysenseError
from polysense.modalities.base import Modality
from polysense.modalities.readers import tables as number_files
from polysense.modalities.readers.column_names import plain
from polysense.modalities.readers.tables import MISNAMED
from polysense.modalities.sources.file_checks import one_line_errors, source_name

if TYPE_CHECKING:
    import pandas as pd  # costs a second, so it is imported where it is used

MISSING = 0.1  # share of voxels that may be missing and become 0
VOLUMES = (".nii", ".nii.gz")
ROI_TABLE = ("roi", "value")  # columns of a table with a row for each region


@dataclass(frozen=True)
class FmriModality(Modality):
    """Brain activity as [voxels].

    tokens      how many tokens the linear map makes of it
    normalise   "zscore" takes mean 0 and deviation 1 over the voxels; "none" leaves the numbers
    mask        NIfTI file of the volumes' space: its non-zero voxels are the signal, in C order
    volume      which volume of a series is read (from 0); None averages all
    max_values  limit on the numbers of a file: voxels times volumes
    """

    name = "fmri"
    extensions = ("nii", "nii.gz")
    shared_endings = ("npy", "npz", "csv", "tsv", "parquet")

    voxels: int = 15724
    tokens: int = 8
    normalise: Literal["none", "zscore"] = "zscore"
    mask: str | None = None
    volume: int | None = None
    max_bytes: int = 2**30
    max_values: int = 200_000_000

    def __post_init__(self) -> None:
        if self.normalise not in ("none", "zscore"):
            raise PolysenseError(f"fmri.normalise must be none or zscore, not {self.normalise!r}")
        if self.voxels < 1 or self.tokens < 1:
            raise PolysenseError("fmri.voxels and fmri.tokens must be at least 1")

    @property
    def caption_prompt(self) -> str:
        """OneLLM's prompt."""
        return "Describe the scene based on fMRI data."

    @property
    def limits(self) -> number_files.Limits:
        """The limits on files."""
        return number_files.Limits(self.name, self.max_bytes, self.max_values)

    def read(self, source: Any) -> torch.Tensor:
        """Read a vector (npy, npz, array), a volume or series (nii, nii.gz; needs `mask`), or a
        table of regions (csv, tsv, parquet: one row or column of numbers, or the columns roi and
        value, which are put in the order of roi), into [voxels]. A mapping {"fmri": volume,
        "mask": file} names a volume's own mask.

        Missing voxels (NaN) become 0, after normalising, below a share of 10 %. Raises
        PolysenseError in one line; another number of voxels than `voxels` names both.
        """
        mask = self.mask
        if isinstance(source, Mapping):
            source, mask = volume_and_mask(source, mask)
        name = source_name("fMRI data", source)
        if isinstance(source, str | Path):
            if str(source).lower().endswith(VOLUMES):
                source = self._masked(source, mask, name)
            else:
                source = number_files.read_numbers(source, name, self.limits)
        import pandas as pd

        with one_line_errors(name, MISNAMED):
            if isinstance(source, pd.DataFrame):
                source = regions(source, name)
            array = source.numpy() if isinstance(source, torch.Tensor) else np.asarray(source)
            vector = number_files.numeric(array, name, self.limits)
            if vector.size != max(vector.shape, default=0):
                raise PolysenseError(f"{name} must be one vector, not {list(vector.shape)}")
            return self._normalised(vector.reshape(-1).astype(np.float64), name)

    def tokenizer(self, width: int) -> nn.Module:
        """One linear map of all voxels to all tokens."""
        return BrainTokenizer(self.voxels, self.tokens, width)

    def example(self) -> torch.Tensor:
        """A slow wave over the voxels."""
        return torch.sin(torch.linspace(0, 20, self.voxels))

    def augment(self, signal: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Add noise of a tenth of the signal's deviation, and lose 5 % of the voxels."""
        noise = 0.1 * signal.std() * torch.randn(signal.shape, generator=generator)
        kept = torch.rand(signal.shape, generator=generator) >= 0.05
        return (signal + noise) * kept

    def visualize(self, signal: torch.Tensor) -> Image.Image:
        """Draw the vector, row by row, as a square of 256 x 256: blue below the mean, red above."""
        import matplotlib

        side = math.ceil(math.sqrt(signal.numel()))
        values = np.full(side * side, np.nan, dtype=np.float32)
        values[: signal.numel()] = signal.cpu().numpy()
        centred = (values - np.nanmean(values)) / max(float(np.nanstd(values)), 1e-12)
        colours = matplotlib.colormaps["RdBu_r"](
            (centred / 3 + 1) / 2, bytes=True
        )  # +- 3 deviations
        square = Image.fromarray(colours.reshape(side, side, 4)[..., :3].copy())
        return square.resize((256, 256), Image.Resampling.NEAREST)

    def _masked(self, source: str | Path, mask: str | None, name: str) -> np.ndarray:
        """Read the voxels of a volume that lie in the mask; a series is averaged over time."""
        image = open_volume(source, name, self.limits)
        if mask is None:
            raise PolysenseError(
                f"{name} is a volume, and no mask says which voxels are meant: name one beside it, "
                f"fmri={source},mask=MASK.nii.gz, or for all files with --set fmri.mask=MASK.nii.gz"
                " (of train: model.modalities.fmri.mask)"
            )
        inside, affine = read_mask(mask, Path(mask).expanduser(), self.limits)
        if image.shape[:3] != inside.shape or not np.allclose(image.affine, affine, atol=1e-2):
            raise PolysenseError(
                f"{name} of {list(image.shape[:3])} voxels lies in another space than fmri.mask "
                f"{mask!r} of {list(inside.shape)}: resample one to the other"
            )
        count = image.shape[3] if len(image.shape) == 4 else 1
        if self.volume is not None and not 0 <= self.volume < count:
            raise PolysenseError(
                f"{name} has {count} volumes, so fmri.volume={self.volume} is none"
            )
        with one_line_errors(name, MISNAMED):
            if len(image.shape) == 4 and self.volume is not None:
                return np.asarray(image.dataobj[..., self.volume], dtype=np.float32)[inside]
            data = np.asarray(image.dataobj, dtype=np.float32)
            return data[inside].mean(axis=1) if data.ndim == 4 else data[inside]

    def _normalised(self, vector: np.ndarray, name: str) -> torch.Tensor:
        """Check the length, count what is missing, normalise what is there."""
        if vector.size != self.voxels:
            raise PolysenseError(
                f"{name} has {vector.size:,} voxels; fmri.voxels is {self.voxels:,}"
            )
        present = np.isfinite(vector)
        missing = 1 - present.mean()
        if missing > MISSING:
            raise PolysenseError(
                f"{name}: {missing:.0%} of the voxels are missing (NaN); at most {MISSING:.0%} may"
            )
        if self.normalise == "zscore":
            known = vector[present]
            vector = (vector - known.mean()) / max(float(known.std()), 1e-12)
        return torch.from_numpy(np.where(present, vector, 0).astype(np.float32))


class BrainTokenizer(nn.Module):
    """[N, voxels] -> tokens [N, tokens, width]: Linear(15724, 8 x 1024) in OneLLM."""

    def __init__(self, voxels: int, tokens: int, width: int) -> None:
        super().__init__()
        self.tokens, self.width = tokens, width
        self.linear = nn.Linear(voxels, tokens * width)

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        """The release lays the map's output out channel by channel: [width, tokens]."""
        return self.linear(signal).unflatten(1, (self.width, self.tokens)).transpose(1, 2)


def volume_and_mask(source: Mapping[str, Any], mask: str | None) -> tuple[Any, str | None]:
    """Return the data and the mask of a mapping {"fmri": data, "mask": file}, else `mask`."""
    if not {"fmri"} <= set(source) <= {"fmri", "mask"}:
        parts = ", ".join(sorted(source))
        raise PolysenseError(f"fMRI data in parts is fmri=FILE,mask=MASK.nii.gz; these are {parts}")
    return source["fmri"], str(source["mask"]) if "mask" in source else mask


def open_volume(source: str | Path, name: str, limits: number_files.Limits) -> Any:
    """Open a NIfTI file of 3 or 4 dimensions: only its header is read, and checked."""
    with one_line_errors(name, "damaged or no NIfTI file"):
        image: Any = nibabel.load(limits.check_file(source, name))
    if len(image.shape) not in (3, 4):
        raise PolysenseError(f"{name} must have 3 or 4 dimensions, not {list(image.shape)}")
    limits.check_values(math.prod(image.shape), name)
    return image


def read_mask(mask: str, path: Path, limits: number_files.Limits) -> tuple[np.ndarray, np.ndarray]:
    """Return a mask [X, Y, Z] and its affine [4, 4]; read once while the file stays as it is."""
    name = f"fmri.mask {mask!r}"
    with one_line_errors(name):
        changed = limits.check_file(path, name).stat().st_mtime_ns
    return _read_mask(path, changed, name, limits)


@lru_cache(maxsize=4)
def _read_mask(
    path: Path, _changed: int, name: str, limits: number_files.Limits
) -> tuple[np.ndarray, np.ndarray]:
    image = open_volume(path, name, limits)
    with one_line_errors(name, MISNAMED):
        inside = np.nan_to_num(np.asarray(image.dataobj, dtype=np.float32)) != 0
    if inside.ndim != 3 or not inside.any():
        raise PolysenseError(f"{name} must be one volume with some voxel that is not 0")
    return inside, image.affine


def regions(table: pd.DataFrame, name: str) -> np.ndarray:
    """Return a table's numbers: one row or column, or its column value in the order of roi."""
    table = table.rename(columns={c: plain(c) for c in table.columns if plain(c) in ROI_TABLE})
    if set(ROI_TABLE) <= set(table.columns):
        ordered = table.sort_values("roi")
        if double := ordered.loc[ordered["roi"].duplicated(), "roi"].tolist():
            raise PolysenseError(f"{name} has two rows for the roi {double[0]!r}")
        return number_files.numeric_columns(ordered[["value"]], name)[:, 0]
    if 1 not in table.shape:
        listed = ", ".join(map(str, table.columns[:10]))
        raise PolysenseError(
            f"{name} needs one row of numbers, or the columns roi and value; it has "
            f"{len(table)} rows of {listed}"
        )
    return number_files.numeric_columns(table, name).reshape(-1)
