"""`polysense ask`: a damaged, huge, missing or wrong file is one line; examples are shown first."""

import struct
import zlib

from fixtures.command_line import fails, succeeds
from PIL import Image


def png_header(width, height):
    """A PNG file of these dimensions with hardly any content."""

    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99))


def test_truncated_png(capsys, run, tmp_path):
    Image.effect_noise((64, 64), 50).save(tmp_path / "cut.png")
    data = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(data[: len(data) // 2])
    assert "damaged or cut short" in fails(capsys, "ask", run, tmp_path / "cut.png", "What?")


def test_decompression_bomb(capsys, run, tmp_path):
    (tmp_path / "bomb.png").write_bytes(png_header(100_000, 100_000))
    error = fails(capsys, "ask", run, tmp_path / "bomb.png", "What?")
    assert "bomb.png" in error
    assert "100000 x 100000" in error or "10000000000 pixels" in error


def test_text_named_png(capsys, run, tmp_path):
    (tmp_path / "text.png").write_text("I am no image")
    error = fails(capsys, "ask", run, tmp_path / "text.png", "What?")
    assert "text.png" in error
    assert "not a" in error


def test_missing_file_and_missing_question(capsys, run, tmp_path):
    assert "does not exist" in fails(capsys, "ask", run, tmp_path / "none.png", "What?")
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    assert "no question" in fails(capsys, "ask", run, tmp_path / "a.png")


def test_examples_are_checked_and_shown(capsys, run, tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    prompt = ("ask", run, tmp_path / "a.png", "What?", "--example")
    assert "does not exist" in fails(capsys, *prompt, tmp_path / "none.png", "A line.")
    succeeds(capsys, *prompt, tmp_path / "a.png", "A line.", "--example", "2 + 2?", "4")


def test_settings_change_how_a_file_is_read(capsys, run, tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    prompt = ("ask", run, tmp_path / "a.png", "What?", "--set")
    assert "this run has image only" in fails(capsys, *prompt, "imge.size=9")
    assert "changes the signal" in fails(capsys, *prompt, "image.size=56")
