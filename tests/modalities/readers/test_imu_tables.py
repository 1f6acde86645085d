"""Tables of motion as loggers and spreadsheets write them: read as written, or refused."""

import math

import numpy as np
import pandas as pd
import pytest

from polysense.errors import PolysenseError
from polysense.modalities.imu import ImuModality

NAMES = "acc_x,acc_y,acc_z,gyro_x,gyro_y,gyro_z"
MODALITY = ImuModality(samples=10, rate=10.0, kernel=2, acceleration_scale=1.0)
FIRST = [1, 2, 3, 4, 5, 6]


def lines(form="{t},1,2,3,4,5,6\n", count=10):
    return "".join(form.format(t=i / 10) for i in range(count))


def read(text, tmp_path, encoding="utf-8", modality=MODALITY):
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    return modality.read(tmp_path / "a.csv")[:, 0].tolist()


@pytest.mark.parametrize(
    "text",
    [
        f"{NAMES},temperature\n" + lines("1,2,3,4,5,6,30,\n"),
        f"time,{NAMES}\n" + lines() + ",,,,,,\n",
        f"time,{NAMES}\n{lines(count=5)},,,,,,\n{lines()[len(lines(count=5)) :]}",
        f"time,{NAMES},temperature (°C)\n" + lines("{t},1,2,3,4,5,6,30\n"),
        f"gyro_z,time,{NAMES[:-7]},horizontalAccuracy\n" + lines("6,{t},1,2,3,4,5,9\n"),
        f"date,{NAMES}\n" + lines("1,1,2,3,4,5,6\n"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_read_as_written(text, encoding, tmp_path):
    if "date" in text:
        with pytest.raises(PolysenseError, match="source_rate"):
            read(text, tmp_path, encoding)
        return
    assert read(text, tmp_path, encoding) == FIRST


def test_decimal_commas(tmp_path):
    text = lines("{t};1,5;2;3;4;5;6\n").replace(".", ",")
    assert read(f"time;{NAMES.replace(',', ';')}\n{text}", tmp_path)[0] == 1.5
    assert read(text, tmp_path)[0] == 1.5


@pytest.mark.parametrize("unit", ["°/s", "deg/sec", "degrees/s", "º/s", "dps", "°·s⁻¹"])
def test_degrees(unit, tmp_path):
    names = ",".join(["time", "acc_x", "acc_y", "acc_z", *(f"gyro_{a} ({unit})" for a in "xyz")])
    text = f"{names}\n{lines()}"
    with pytest.raises(PolysenseError, match=r"says deg/s, but imu\.gyroscope_unit is 'rad/s'"):
        read(text, tmp_path)
    degrees = ImuModality(10, 10.0, kernel=2, gyroscope_unit="deg/s", acceleration_scale=1.0)
    found = read(text, tmp_path, modality=degrees)
    assert found == pytest.approx([1, 2, 3, *np.radians([4, 5, 6])])


@pytest.mark.parametrize("missing", [False, True])
def test_an_unknown_unit_makes_no_missing_gyroscope(missing, tmp_path):
    names = "time,acc_x,acc_y,acc_z,gyro_x (rpm),gyro_y (rpm),gyro_z (rpm)"
    modality = ImuModality(10, 10.0, kernel=2, allow_missing_gyroscope=missing)
    with pytest.raises(PolysenseError, match=r"'gyro_x \(rpm\)' seems to be the x axis of the g"):
        read(f"{names}\n{lines()}", tmp_path, modality=modality)


def test_a_rate_that_is_given_comes_before_the_times():
    """A clock that ticks in another unit does not matter then, nor one that is unreadable."""
    ramp = np.arange(20.0)
    frame = pd.DataFrame(dict.fromkeys(NAMES.split(","), ramp + 100))
    for times in (ramp / 5, ramp[::-1], ["noon"] * 20):
        source = {"imu": frame.assign(time=times), "rate": 10}
        found = ImuModality(10, 10.0, kernel=2, start="begin", check_units=False).read(source)
        assert np.allclose(found[5], ramp[:10] + 100)
    slow = ImuModality(10, 10.0, kernel=2, start="begin", check_units=False, source_rate=10)
    found = slow.read(frame.assign(time=ramp / 5))  # the table's times before source_rate
    assert np.allclose(found[5], ramp[:10] / 2 + 100)


def test_the_options_of_units_are_checked_and_the_check_can_be_left_out():
    resting = np.zeros((10, 6))
    resting[:, 2] = 1
    with pytest.raises(PolysenseError, match=r"as in g: set imu\.accelerometer_unit=g"):
        MODALITY.read(resting)
    turning = np.full((10, 6), 5.0)
    turning[:, 3:] = 200
    with pytest.raises(PolysenseError, match="as in deg/s"):
        MODALITY.read(turning)
    free = ImuModality(10, 10.0, kernel=2, check_units=False, acceleration_scale=1.0)
    assert free.read(resting)[2].tolist() == [1] * 10
    assert math.isclose(float(free.read(turning)[3, 0]), 200)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"when_timed,{NAMES}\n{lines()}", "when_timed may hold times"),
        (f"time,{NAMES}\n{lines()}\n,7,2,3,4,5,6\n", "row 11 has no time in column 'time'"),
        (
            f"time,{NAMES}\n" + lines("noon,1,2,3,4,5,6\n"),
            "neither numbers nor ISO dates .* 'noon'",
        ),
        (f"time_ns,{NAMES}\n{lines()}", r"by the times in column 'time_ns' it has 1e\+10 readings"),
        (f"time_s,{NAMES}\n" + "0,1,2,3,4,5,6\n20,1,2,3,4,5,6\n", "it has 0.05 readings a second"),
        (f"time,{NAMES}\n" + lines("{t},1,2,3,4,5,high\n"), "'high' in column 'gyro_z', row 1, is"),
        (f"time,{NAMES},acc_x\n{lines()}", "two columns called 'acc_x'"),
    ],
)
def test_what_is_refused_is_not_called_damaged(text, words, tmp_path):
    with pytest.raises(PolysenseError, match=words) as caught:
        read(text, tmp_path)
    assert "damaged" not in str(caught.value)
