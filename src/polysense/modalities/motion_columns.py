"""Which columns of a table are the accelerometer, the gyroscope and the time.

Every logger writes other names: acc_x, ax, accel.x, accelerometerAccelerationX(G), gyro_x, gx, wx,
rotationRate.x. What the names say of units is read too, so that a unit is not taken for another.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from polysense.errors import PolysenseError

if TYPE_CHECKING:
    import pandas as pd  # costs a second, so it is imported where it is used

AXES = "xyz"
ACCELERATION = re.compile(r"acc|^a$")
ROTATION = re.compile(r"gyr|angular_?vel|rotation_?rate|omega|^[gw]$")
# What a name may carry behind the axis, and the unit it stands for.
UNITS = {
    "g": "g", "m_s2": "m/s2", "m_s_2": "m/s2", "ms2": "m/s2", "mps2": "m/s2", "m_s": "m/s2",
    "rad_s": "rad/s", "rads": "rad/s", "rps": "rad/s",
    "deg_s": "deg/s", "degs": "deg/s", "dps": "deg/s",
}  # fmt: skip
AXIS_LAST = re.compile(rf"^(?P<sensor>.+?)_?(?P<axis>[xyz])(?:_(?P<unit>{'|'.join(UNITS)}))?$")
AXIS_FIRST = re.compile(r"^(?P<axis>[xyz])_(?P<sensor>.+)$")

TIME = re.compile(
    r"^(?:time|timestamp|time_?stamp|t|datetime|elapsed|seconds?|sec|s|ms|us|ns)"
    r"(?:_(?P<unit>s|sec|seconds|ms|milliseconds|us|microseconds|ns|nanoseconds))?$"
)
SECONDS = {
    "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "milliseconds": 1e-3,
    "us": 1e-6, "microseconds": 1e-6, "ns": 1e-9, "nanoseconds": 1e-9,
}  # fmt: skip


def plain(name: object) -> str:
    """Return a column's name in lower case, words joined by _: "Gyro.X (deg/s)" -> gyro_x_deg_s."""
    text = str(name).replace("²", "2").replace("µ", "u").replace("^", "")
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def find_sensor(columns: Sequence[str], sensor: re.Pattern[str]) -> dict[str, list[str]]:
    """Return {axis: the columns that measure it} for the sensor whose names match."""
    found: dict[str, list[str]] = {axis: [] for axis in AXES}
    for column in columns:
        match = AXIS_LAST.match(plain(column)) or AXIS_FIRST.match(plain(column))
        if match and sensor.search(match["sensor"]):
            found[match["axis"]].append(column)
    return found


def sensor_columns(table: pd.DataFrame, name: str) -> list[str]:
    """Return the names of the six columns ax ay az gx gy gz, or of three without a gyroscope.

    A table without names has 3 or 6 columns in this order, or 4 or 7 with the time first. Raises
    PolysenseError that lists the columns where they are not found, or two would do.
    """
    columns = list(table.columns)
    if all(isinstance(column, int | np.integer) for column in columns):
        if len(columns) in (3, 6):
            return columns
        if len(columns) in (4, 7):
            return columns[1:]
    listed = ", ".join(map(str, columns[:20]))
    chosen = []
    for label, pattern in (("accelerometer", ACCELERATION), ("gyroscope", ROTATION)):
        found = find_sensor(columns, pattern)
        if label == "gyroscope" and not any(found.values()):
            return chosen
        for axis, names in found.items():
            if len(names) != 1:
                what = "no column is" if not names else f"{' and '.join(names)} could both be"
                raise PolysenseError(
                    f"{name}: {what} the {axis} axis of the {label}; columns: {listed}. Call them "
                    "acc_x ... gyro_z, or name the six in imu.columns"
                )
            chosen.append(names[0])
    return chosen


def check_unit(columns: Sequence[str], unit: str, option: str, name: str) -> None:
    """Refuse columns whose names say another unit than the option does."""
    for column in columns:
        match = AXIS_LAST.match(plain(column))
        said = UNITS.get(match["unit"] or "") if match else None
        if said and said != unit:
            raise PolysenseError(
                f"{name}: column {column!r} says {said}, but imu.{option} is {unit!r}: set it"
            )


def time_column(table: pd.DataFrame, sensors: Sequence[str]) -> str | int | None:
    """Return the column that holds the time, if one does."""
    if all(isinstance(column, int | np.integer) for column in table.columns):
        return 0 if len(table.columns) in (4, 7) and 0 not in sensors else None
    return next((c for c in table.columns if c not in sensors and TIME.match(plain(c))), None)


def seconds(times: pd.Series, name: str) -> np.ndarray:
    """Return a time column as seconds since its first row, fp64.

    Numbers are in the unit that the column's name ends with (time_ms, "timestamp (ns)"); without
    one, in that which puts the median step between 0.5 ms and 0.5 s: below 0.5 seconds, below 500
    milliseconds, below 500,000 microseconds, else nanoseconds. Text is read as dates.
    """
    import pandas as pd

    if not pd.api.types.is_numeric_dtype(times):
        times = pd.to_datetime(times, format="ISO8601")
        return (times - times.iloc[0]).dt.total_seconds().to_numpy(np.float64)
    values = times.to_numpy()
    if values.dtype.kind in "iu":
        values = values.astype(np.int64)  # nanoseconds since 1970 do not fit a float
    since = (values - values[0]).astype(np.float64)
    match = TIME.match(plain(times.name))
    unit = (match["unit"] or plain(times.name)) if match else ""
    if unit in SECONDS:
        return since * SECONDS[unit]
    step = float(np.median(np.diff(since))) if len(since) > 1 else 0.0
    if not np.isfinite(step) or step <= 0:
        raise PolysenseError(f"{name}: the times in column {times.name!r} do not grow")
    scale = 1.0 if step < 0.5 else 1e-3 if step < 500 else 1e-6 if step < 5e5 else 1e-9
    return since * scale
