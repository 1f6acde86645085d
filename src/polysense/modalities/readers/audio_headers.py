"""How long a sound is by its header, whatever the file holds.

libsndfile and FFmpeg go by what is there, where a WAV, a W64 or a CAF is cut; so the sizes that
their headers promise are read here. FFmpeg says it of all other formats.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from polysense.errors import PolysenseError
from polysense.modalities.readers.media_container import duration, open_container

UNKNOWN_SIZE = 0x7F000000  # bytes: what a WAV's header says and more stands for "unknown"
W64_CHUNK = b"\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"  # ends names of chunks
HEAD = 2**16  # bytes in which a header ends


def header_seconds(file: BinaryIO) -> float:
    """Return the seconds that a file's header promises, whatever it holds; 0 where unknown."""
    own = own_header_seconds(file)
    if own is not None:
        return own
    file.seek(0)
    try:
        with open_container(file, "") as container:
            return duration(container, container.streams.audio[0]) or 0.0
    except (PolysenseError, IndexError):
        return 0.0


def own_header_seconds(file: BinaryIO) -> float | None:
    """The same of the formats that are read here; None of others."""
    file.seek(0)
    head = file.read(HEAD)
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return wav_seconds(head)
    if head[:4] == b"riff" and head[24:28] == b"wave":
        return w64_seconds(head)
    return caf_seconds(head) if head[:4] == b"caff" else None


def wav_seconds(head: bytes) -> float:
    """WAV: the size of its data by the bytes of a second."""
    form, data = head.find(b"fmt "), head.find(b"data", 12)
    if min(form, data) < 0 or len(head) < data + 8:
        return 0.0
    (per_second,) = struct.unpack_from("<I", head, form + 16)
    (size,) = struct.unpack_from("<I", head, data + 4)
    # Programs that write into a pipe put the largest numbers there.
    return size / per_second if per_second and size < UNKNOWN_SIZE else 0.0


def w64_seconds(head: bytes) -> float:
    """Sony's W64: chunks of a name of 16 bytes and a size that counts the 24 bytes of both."""
    per_second = 0
    for name, start, size in chunks(head, 40, ">16s", "<q"):
        if name == b"fmt " + W64_CHUNK[:12]:
            (per_second,) = struct.unpack_from("<I", head, start + 8)
        if name == b"data" + W64_CHUNK[:12]:
            return (size - 24) / per_second if per_second else 0.0
    return 0.0


def caf_seconds(head: bytes) -> float:
    """Apple's CAF: a description with the rate and the packets, then data; a size of -1 is none."""
    seconds_of_byte = 0.0
    for name, start, size in chunks(head, 8, ">4s", ">q"):
        if name == b"desc" and len(head) >= start + 24:
            rate, _, _, packet, frames = struct.unpack_from(">d4sIII", head, start)
            seconds_of_byte = frames / (packet * rate) if packet and rate > 0 else 0.0
        if name == b"data":
            return max(0, size - 4) * seconds_of_byte  # the edit count comes first
    return 0.0


def chunks(head: bytes, place: int, name: str, size: str) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name, where its content starts, size as written) of the chunks from `place` on.

    A W64's sizes count the chunk's own head, and chunks start at multiples of 8 bytes.
    """
    header = struct.calcsize(name) + struct.calcsize(size)
    counted, step = (header, 8) if size.startswith("<") else (0, 1)
    while place + header <= len(head):
        (called,) = struct.unpack_from(name, head, place)
        (long,) = struct.unpack_from(size, head, place + struct.calcsize(name))
        yield called, place + header, long
        if long < counted:
            return
        place += header - counted + -(-long // step) * step
