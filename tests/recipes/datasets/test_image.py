"""The stamps: captions as written, duplicates once, drawings too, variants in one group."""

from PIL import Image

from polysense.data.datasets import read_manifest
from polysense.recipes.datasets import image


def stamp(folder, name, colour, caption=None):
    path = folder / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGBA", (8, 8), colour).save(path)
    if caption is not None:
        path.with_suffix(".txt").write_text(f"{caption}\nfr.utf8=Rien.\n", encoding="utf-8")


def test_stamps_have_their_first_line_and_folder_and_are_taken_once(tmp_path):
    stamps = tmp_path / "packages/stamps"
    stamp(stamps, "animals/birds/gull", "red", "A “silver” gull—in flight…")
    stamp(stamps, "animals/birds/gull_again", "red", "The same pixels.")
    stamp(stamps, "animals/bare", "green")
    stamp(stamps, "animals/empty", "blue", "")
    lines = image.stamp_lines(stamps, tmp_path)
    assert lines == [
        {
            "image": "packages/stamps/animals/birds/gull.png",
            "caption": 'A "silver" gull, in flight...',
            "category": "animals/birds",
            "key": "animals/birds/gull.png",
            "source": "stamps",
        }
    ]


def test_drawings_are_taken_where_no_picture_has_their_name(tmp_path):
    stamps = tmp_path / "stamps"
    stamp(stamps, "a/one", "red", "One.")
    (stamps / "a/two.txt").write_text("Two.\n")
    for name in ("one", "two"):
        (stamps / f"a/{name}.svg").write_text(f"<svg>{name}</svg>")
    lines = image.stamp_lines(stamps, tmp_path)
    assert [line["key"] for line in lines] == ["a/one.png", "a/two.svg"]


def test_the_manifest_is_one_that_training_reads(tmp_path, monkeypatch):
    stamps = tmp_path / "packages/tuxpaint-stamps-default" / image.STAMPS
    stamp(stamps, "a/one", "red", "One.")
    manifest = image.prepare_pictures(tmp_path)
    records = read_manifest(manifest, ["image"])
    assert [(r.key, r.caption) for r in records] == [("a/one.png", "One.")]


def test_variants_of_a_drawing_are_one_group_found_once(tmp_path, monkeypatch):
    stamps = tmp_path / "packages/tuxpaint-stamps-default" / image.STAMPS
    for name, corner in (("top", "white"), ("top again", "#fefefe"), ("other", "black")):
        picture = Image.new("RGB", (96, 96), "white")
        for place in range(4):
            colour = ("red", "lime", "blue", "yellow")[place if name != "other" else -place]
            picture.paste(colour, (24 * place, 24 * place, 24 * place + 24, 96))
        picture.putpixel((90, 2), tuple(Image.new("RGB", (1, 1), corner).tobytes()))
        (stamps / "a").mkdir(parents=True, exist_ok=True)
        picture.save(stamps / f"a/{name}.png")
        (stamps / f"a/{name}.txt").write_text(f"{name}.\n")
    (stamps / "a/bad.png").write_bytes(b"no picture")
    (stamps / "a/bad.txt").write_text("Bad.\n")
    first = image.prepare_pictures(tmp_path).read_text()
    groups = {r.key: r.group for r in read_manifest(tmp_path / "pictures.jsonl", ["image"])}
    assert groups["a/top.png"] == groups["a/top again.png"] != ""
    assert groups.keys() == {"a/top.png", "a/top again.png", "a/other.png"}
    assert groups["a/other.png"] == "a/other.png"
    monkeypatch.setattr(image, "drawing_groups", lambda *_: 1 / 0)
    assert image.prepare_pictures(tmp_path).read_text() == first


def test_pictures_are_the_stamps(tmp_path):
    stamp = tmp_path / "packages/tuxpaint-stamps-default" / image.STAMPS / "food/pear.png"
    stamp.parent.mkdir(parents=True)
    Image.new("RGB", (8, 8), "red").save(stamp)
    stamp.with_suffix(".txt").write_text("A pear.\n")
    lines = image.picture_lines(tmp_path)
    assert [(line["caption"], line["category"]) for line in lines] == [("A pear.", "food")]
    assert all((tmp_path / line["image"]).is_file() for line in lines)
    assert image.stamps_folder(tmp_path) == stamp.parent.parent
