"""Motion: an accelerometer and a gyroscope (an inertial measurement unit, IMU) over two seconds.

OneLLM's layout (arXiv 2312.03700): six channels, accelerometer x y z then gyroscope x y z, 2 s at
200 Hz, and one convolution as tokenizer. The paper gives no constants of normalisation; ours are
the standard gravity for accelerations (so that rest is 1) and radians a second as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import nn

from polysense.errors import PolysenseError
from polysense.modalities.base import Modality
from polysense.modalities.readers import imu_columns as motion_columns
from polysense.modalities.readers import tables as number_files
from polysense.modalities.readers.imu_units import check_plausible
from polysense.modalities.sources.file_checks import one_line_errors, source_name
from polysense.modalities.transforms.resample import Recording, resample

if TYPE_CHECKING:
    import pandas as pd  # costs a second, so it is imported where it is used

GRAVITY = 9.81  # m/s^2


@dataclass(frozen=True)
class ImuModality(Modality):
    """A recording as [6, samples]: accelerations / acceleration_scale, then rotations in rad/s.

    rate                     Hz of the signal: samples / rate seconds are read
    source_rate              Hz of recordings that do not say theirs (no time column)
    accelerometer_unit, gyroscope_unit   what the files are in
    check_units              refuse readings that speak for another unit than these two
    start                    of a longer recording, the "centre" or the "begin"ning
    columns                  names of the six columns, where the tables' own are not understood
    acceleration_scale       m/s^2 that become 1; 1.0 leaves m/s^2, as the published OneLLM has them
    allow_missing_gyroscope  take recordings of an accelerometer alone, with rotations of zero
    max_values               limit on readings times columns
    """

    name = "imu"
    shared_endings = ("csv", "tsv", "parquet", "npy", "npz")

    samples: int = 400
    rate: float = 200.0
    source_rate: float | None = None
    accelerometer_unit: Literal["m/s2", "g"] = "m/s2"
    gyroscope_unit: Literal["rad/s", "deg/s"] = "rad/s"
    check_units: bool = True
    acceleration_scale: float = GRAVITY
    start: Literal["centre", "begin"] = "centre"
    columns: tuple[str, ...] = ()
    allow_missing_gyroscope: bool = False
    kernel: int = 10
    stride: int = 1
    max_bytes: int = 256 * 2**20
    max_values: int = 50_000_000

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(self.columns))
        choices = {
            "accelerometer_unit": ("m/s2", "g"),
            "gyroscope_unit": ("rad/s", "deg/s"),
            "start": ("centre", "begin"),
        }
        for option, known in choices.items():
            if getattr(self, option) not in known:
                raise PolysenseError(f"imu.{option} must be {' or '.join(known)}")
        if not 1 <= self.kernel <= self.samples or self.stride < 1:
            raise PolysenseError("imu.kernel must lie in 1 to imu.samples; imu.stride from 1")
        if self.rate <= 0 or (self.source_rate is not None and self.source_rate <= 0):
            raise PolysenseError("imu.rate and imu.source_rate must be positive, in Hz")
        if not 0 < self.acceleration_scale < math.inf:
            raise PolysenseError("imu.acceleration_scale must be positive, in m/s^2")
        if len(self.columns) not in (0, 3, 6):
            raise PolysenseError("imu.columns names six columns, or three without a gyroscope")

    @property
    def caption_prompt(self) -> str:
        """OneLLM's prompt."""
        return "Describe the motion."

    @property
    def limits(self) -> number_files.Limits:
        """The limits on files."""
        return number_files.Limits(self.name, self.max_bytes, self.max_values)

    def read(self, source: Any) -> torch.Tensor:
        """Read a file (csv, tsv, parquet, npy, npz), a DataFrame, an array, or a mapping
        {"imu": any of these, "rate": Hz}, into [6, samples].

        Of an array the readings are the rows, [T, 6], unless only the other side has six, [6, T];
        3 stands for 6 where the gyroscope may be missing. The rate comes from the mapping, the
        table's time column, or `source_rate`; only what has exactly `samples` readings may go
        without. Readings are interpolated linearly, behind a low-pass filter where the rate falls;
        a shorter recording keeps its first and last readings beyond its ends. Missing readings
        (NaN) are interpolated below a share of 10 %. Raises PolysenseError in one line.
        """
        rate = None
        if isinstance(source, Mapping):
            if set(source) != {"imu", "rate"}:
                raise PolysenseError('an IMU mapping has the keys "imu" and "rate" (in Hz)')
            source, rate = source["imu"], source["rate"]
        name = source_name("IMU recording", source)
        if rate is not None and not (isinstance(rate, int | float) and 0 < rate < math.inf):
            raise PolysenseError(f"{name}: its rate must be a positive number of Hz, not {rate!r}")
        if isinstance(source, str | Path):
            source = number_files.read_numbers(source, name, self.limits)
        import pandas as pd

        with one_line_errors(name, number_files.MISNAMED):
            if isinstance(source, pd.DataFrame):
                self.limits.check_values(source.size, name)
                recording = self._from_table(source, rate, name)
            else:
                array = source.numpy() if isinstance(source, torch.Tensor) else np.asarray(source)
                array = number_files.numeric(array, name, self.limits)
                recording = self._from_array(array, rate, name)
        readings = resample(recording, self.samples, self.rate, self.start, name)
        if self.check_units:
            check_plausible(readings, self.accelerometer_unit, self.gyroscope_unit, name)
        unit = GRAVITY if self.accelerometer_unit == "g" else 1.0
        readings[:, :3] /= self.acceleration_scale / unit
        if self.gyroscope_unit == "deg/s":
            readings[:, 3:] *= math.pi / 180
        return torch.from_numpy(np.ascontiguousarray(readings.T, dtype=np.float32))

    def tokenizer(self, width: int) -> nn.Module:
        """One convolution over time, without bias: 391 tokens at the defaults."""
        return MotionTokenizer(width, self.kernel, self.stride)

    def example(self) -> torch.Tensor:
        """A sensor at rest, its z axis upwards."""
        resting = torch.zeros(6, self.samples)
        resting[2] = 1.0
        return resting

    def augment(self, signal: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Turn the sensor by up to 15 degrees, scale by 0.9 to 1.1, move by up to 10 % in time,
        and add noise of 0.02."""

        def draw(low: float, high: float) -> float:
            return low + (high - low) * float(torch.rand((), generator=generator))

        axis = torch.nn.functional.normalize(torch.randn(3, generator=generator), dim=0)
        x, y, z = (axis * math.radians(draw(-15, 15))).tolist()
        rotation = torch.linalg.matrix_exp(torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]]))
        moved = torch.arange(self.samples) + round(draw(-0.1, 0.1) * self.samples)
        signal = signal[:, moved.clamp(0, self.samples - 1)]
        turned = torch.cat([rotation @ signal[:3], rotation @ signal[3:]]) * draw(0.9, 1.1)
        return turned + 0.02 * torch.randn(signal.shape, generator=generator)

    def visualize(self, signal: torch.Tensor) -> Image.Image:
        """Draw a signal's six traces in two panels, 320 x 200 pixels."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(3.2, 2.0), dpi=100, layout="constrained")
        times = np.arange(signal.shape[1]) / self.rate
        panels = figure.subplots(2, 1, sharex=True)
        for panel, label, traces in zip(panels, ("g", "rad/s"), signal.split(3), strict=True):
            for trace, colour in zip(traces, ("#e8590c", "#2b8a3e", "#3b5bdb"), strict=True):
                panel.plot(times, trace.cpu().numpy(), color=colour, linewidth=0.8)
            panel.set_ylabel(label, fontsize=6)
            panel.tick_params(labelsize=5)
        panels[1].set_xlabel("s", fontsize=6)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")

    def _from_table(self, table: pd.DataFrame, rate: float | None, name: str) -> Recording:
        """Find a table's columns; its times come from the mapping's rate or the time column."""

        columns = list(self.columns) or motion_columns.sensor_columns(table, name)
        if missing := [column for column in columns if column not in table.columns]:
            listed = ", ".join(map(str, table.columns[:20]))
            raise PolysenseError(f"{name} has no column {missing[0]!r}; columns: {listed}")
        for part, option in ((columns[:3], "accelerometer_unit"), (columns[3:], "gyroscope_unit")):
            motion_columns.check_unit(part, getattr(self, option), option, name)
        readings = number_files.numeric_columns(table[columns], name)
        column = motion_columns.time_column(table, columns)
        if rate is None and column is None and self.source_rate is None:
            motion_columns.check_times_understood(list(table.columns), columns, name)
        if rate is not None or column is None:
            return self._from_array(readings, rate, name, rows=True)
        moments: Any = table[column]
        untimed = moments.isna().to_numpy()
        if (untimed & np.isfinite(readings).any(axis=1)).any():
            row = int(untimed.argmax()) + 1
            raise PolysenseError(f"{name}: row {row} has no time in column {column!r}")
        readings = readings[~untimed]  # a row of separators alone
        times = motion_columns.seconds(moments[~untimed], name)
        if not np.isfinite(times).all() or (np.diff(times) < 0).any():
            raise PolysenseError(f"{name}: the times in column {column!r} do not grow")
        times, kept = np.unique(times, return_index=True)  # of equal times, the first reading
        return Recording(self._six(readings[kept], name), times)

    def _from_array(
        self, array: np.ndarray, rate: float | None, name: str, rows: bool = False
    ) -> Recording:
        """Orient an array and give its readings times by their rate."""
        sides = (6, 3) if self.allow_missing_gyroscope or rows else (6,)
        if array.ndim == 2 and array.shape[1] not in sides and array.shape[0] in sides:
            array = array.T
        if array.ndim != 2 or array.shape[1] not in sides:
            hint = ": set imu.allow_missing_gyroscope" if 3 in array.shape else ""
            raise PolysenseError(f"{name} must be [T, 6] or [6, T], not {list(array.shape)}{hint}")
        rate = rate or self.source_rate or (self.rate if len(array) == self.samples else None)
        if rate is None:
            raise PolysenseError(
                f"{name} does not say its rate: give it a time column, set imu.source_rate, or "
                'pass {"imu": ..., "rate": Hz}'
            )
        return Recording(self._six(array, name), np.arange(len(array)) / rate)

    def _six(self, readings: np.ndarray, name: str) -> np.ndarray:
        """Return [T, 6]: zeros for a gyroscope that may be missing, else an error."""
        if readings.shape[1] == 6:
            return readings
        if not self.allow_missing_gyroscope:
            raise PolysenseError(
                f"{name} has an accelerometer but no gyroscope: set imu.allow_missing_gyroscope="
                "true to read its rotations as zero, or name the six in imu.columns"
            )
        return np.pad(readings, ((0, 0), (0, 3)))


class MotionTokenizer(nn.Module):
    """[N, 6, samples] -> tokens [N, F, width]: OneLLM's Conv1d(6, width, k10, s1, no bias)."""

    def __init__(self, width: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(6, width, kernel, stride, bias=False)

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        """Convolve over time; positions become rows."""
        return self.convolution(signal).transpose(1, 2)
