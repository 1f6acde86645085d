"""The pictures' lines are the laptop recipe's, and lead from the same folder."""

from PIL import Image

from polysense.recipes.datasets import image as pictures
from polysense.recipes.laptop.weights import STAMPS


def test_pictures_are_the_stamps(tmp_path):
    stamp = tmp_path / "packages/tuxpaint-stamps-default" / STAMPS / "food/pear.png"
    stamp.parent.mkdir(parents=True)
    Image.new("RGB", (8, 8), "red").save(stamp)
    stamp.with_suffix(".txt").write_text("A pear.\n")
    lines = pictures.picture_lines(tmp_path)
    assert [(line["caption"], line["category"]) for line in lines] == [("A pear.", "food")]
    assert all((tmp_path / line["image"]).is_file() for line in lines)
    assert pictures.stamps_folder(tmp_path) == stamp.parent.parent
