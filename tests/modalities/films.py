"""Small real videos and sounds for the tests, written by FFmpeg's encoders."""

from fractions import Fraction

import av
import numpy as np


def write_video(
    path, levels, rate=10, size=(64, 48), codec="libx264", pixels="yuv420p", times=None,
    container_options=None, sound=None, aspect=None, **options,
):  # fmt: skip
    """Write frames of one grey level each; `times` are in ms, otherwise `rate` a second."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        if aspect:
            stream.sample_aspect_ratio = aspect
        voice = container.add_stream("aac", rate=16_000, layout="mono") if sound else None
        for index, level in enumerate(levels):
            picture = level if isinstance(level, np.ndarray) else flat(level, size)
            frame = av.VideoFrame.from_ndarray(picture)
            frame.pts, frame.time_base = index, Fraction(1, rate)
            if times:
                frame.pts, frame.time_base = times[index], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if voice:
            wave = np.sin(np.arange(16_000 * sound) / 10).astype(np.float32)[None]
            frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            frame.sample_rate = 16_000
            container.mux(voice.encode(frame))
            container.mux(voice.encode())
    return path


def flat(level, size):
    return np.full((size[1], size[0], 3), level, np.uint8)


def write_sound(path, codec, waveform, rate, layout="mono"):
    """Encode a float waveform [samples] with FFmpeg."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        values = np.asarray(waveform, np.float32)[None]
        frame = av.AudioFrame.from_ndarray(values, format="fltp", layout="mono")
        frame.sample_rate = rate
        to_codec = av.AudioResampler(format=stream.codec_context.format, layout=layout, rate=rate)
        for converted in to_codec.resample(frame):
            container.mux(stream.encode(converted))
        container.mux(stream.encode())
    return path
