"""The columns of common loggers are found; what could mean two things is asked back."""

import numpy as np
import pandas as pd
import pytest

from polysense.errors import PolysenseError
from polysense.modalities.readers import imu_columns as columns

LOGGERS = [
    "acc_x acc_y acc_z gyro_x gyro_y gyro_z",
    "ax ay az gx gy gz",
    "ax ay az wx wy wz",
    "accel.x accel.y accel.z gyro.x gyro.y gyro.z",
    "AccX AccY AccZ GyrX GyrY GyrZ",
    "X_Acc Y_Acc Z_Acc X_Gyro Y_Gyro Z_Gyro",
    "accelerometerAccelerationX(g) accelerometerAccelerationY(g) accelerometerAccelerationZ(g) "
    "gyroRotationX(rad/s) gyroRotationY(rad/s) gyroRotationZ(rad/s)",
    "userAcceleration.x userAcceleration.y userAcceleration.z rotationRate.x rotationRate.y "
    "rotationRate.z",
    "linear_acceleration_x linear_acceleration_y linear_acceleration_z angular_velocity_x "
    "angular_velocity_y angular_velocity_z",
]


@pytest.mark.parametrize("names", LOGGERS)
def test_loggers(names):
    wanted = names.split()
    others = ["time", "gravity.x", "gravity.y", "gravity.z", "mag_x", "label", "pressure"]
    mixed = [*others, *reversed(wanted)]
    table = pd.DataFrame(np.zeros((2, len(mixed))), columns=mixed)
    assert columns.sensor_columns(table, "it") == wanted
    assert columns.time_column(table, wanted) == "time"


def test_an_accelerometer_alone():
    table = pd.DataFrame(np.zeros((2, 3)), columns=["ax", "ay", "az"])
    assert columns.sensor_columns(table, "it") == ["ax", "ay", "az"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ("a b c", "no column is the x axis of the accelerometer; columns: a, b, c"),
        ("ax ay gx gy gz", "no column is the z axis of the accelerometer"),
        ("ax ay az gx gy", "no column is the z axis of the gyroscope"),
        ("acc_x ax ay az", "acc_x and ax could both be the x axis"),
    ],
)
def test_what_is_not_found_is_listed(names, words):
    table = pd.DataFrame(np.zeros((2, len(names.split()))), columns=names.split())
    with pytest.raises(PolysenseError, match=words):
        columns.sensor_columns(table, "it")


@pytest.mark.parametrize(("width", "first"), [(3, 0), (6, 0), (4, 1), (7, 1)])
def test_tables_without_names(width, first):
    table = pd.DataFrame(np.zeros((2, width)))
    found = columns.sensor_columns(table, "it")
    assert found == list(range(first, width))
    assert columns.time_column(table, found) == (0 if first else None)


@pytest.mark.parametrize(
    ("column", "unit", "said"),
    [("acc_x (g)", "m/s2", "g"), ("acc_x (m/s^2)", "g", "m/s2"), ("acc_x_mps2", "g", "m/s2"),
     ("gyro_x_dps", "rad/s", "deg/s"), ("gyro_x [deg/s]", "rad/s", "deg/s"),
     ("gyro_x (rad/s)", "deg/s", "rad/s")],
)  # fmt: skip
def test_a_unit_in_a_name_is_not_taken_for_another(column, unit, said):
    columns.check_unit([column], said, "some_unit", "it")
    with pytest.raises(PolysenseError, match=rf"says {said}, but imu.some_unit is '{unit}'"):
        columns.check_unit([column], unit, "some_unit", "it")


@pytest.mark.parametrize(
    ("name", "factor"),
    [("time", 1.0), ("time", 1e3), ("timestamp", 1e6), ("t", 1e9), ("time_ms", 1e3),
     ("timestamp (ns)", 1e9), ("Time [s]", 1.0), ("seconds", 1.0), ("timestamp_us", 1e6)],
)  # fmt: skip
@pytest.mark.parametrize("rate", [50, 200, 1000])
def test_every_unit_of_time(name, factor, rate):
    moments = 1_700_000_000 * factor + np.arange(20) * factor / rate
    # An hour-scale clock in fp64 seconds is exact to a microsecond only; the rest is integers.
    series = pd.Series(moments if factor == 1 else np.round(moments).astype(np.int64), name=name)
    found = columns.seconds(series, "it")
    assert found == pytest.approx(np.arange(20) / rate, abs=2e-6 + 0.5 / factor * (factor > 1))


def test_dates_and_times_that_stand_still():
    dates = pd.Series(["2024-01-01T00:00:00.000", "2024-01-01T00:00:00.020"], name="time")
    assert columns.seconds(dates, "it") == pytest.approx([0, 0.02])
    with pytest.raises(PolysenseError, match="do not grow"):
        columns.seconds(pd.Series([5.0, 5.0, 5.0], name="time"), "it")


@pytest.mark.parametrize(
    ("name", "sensor", "axis", "unit", "rest"),
    [
        ("acc_g_x", "accelerometer", "x", "g", None),
        ("X_Acc (m/s²)", "accelerometer", "x", "m/s2", None),
        ("acc axis y [g]", "accelerometer", "y", "g", None),
        ("gx_dps", "gyroscope", "x", "deg/s", None),
        ("g_x", "gyroscope", "x", None, None),
        ("gyroZ (rpm)", "gyroscope", "z", None, "rpm"),
        ("acc_x_std", "accelerometer", "x", None, "std"),
        ("x_acc_std", "accelerometer", "x", None, "std"),
    ],
)
def test_what_a_name_says(name, sensor, axis, unit, rest):
    assert columns.parse(name, columns.SENSORS[sensor]) == (axis, unit, rest)


@pytest.mark.parametrize("name", ["accuracy", "horizontalAccuracy", "gyro_frequency", "max", "vx"])
def test_names_of_other_things(name):
    assert all(columns.parse(name, sensor) is None for sensor in columns.SENSORS.values())


@pytest.mark.parametrize(
    ("name", "unit"),
    [("seconds_elapsed", 1), ("Time since start in ms", 1e-3), ("unix_timestamp_us", 1e-6),
     ("elapsed_time (s)", 1), ("millis", 1e-3), ("sensor time [ns]", 1e-9)],
)  # fmt: skip
def test_times_in_other_words(name, unit):
    table = pd.DataFrame({"label": [1, 2], name: [0.0, 0.01 / unit]})
    assert columns.time_column(table, []) == name
    assert columns.seconds(table[name], "it") == pytest.approx([0, 0.01])


def test_a_step_between_guesses():
    for step, unit in ((0.49, 1), (499, 1e-3), (499_000, 1e-6), (501_000, 1e-9)):
        series = pd.Series([0.0, step], name="time")
        assert columns.seconds(series, "it")[1] == pytest.approx(step * unit)
