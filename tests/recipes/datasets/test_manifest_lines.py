"""Lines are written once, paths lead from the data folder, and whole groups are held out."""

from polysense.recipes.datasets import manifest_lines as lines


def test_a_modality_is_written_once_and_its_paths_lead_from_the_root(tmp_path):
    calls = []

    def write(inside):
        calls.append(inside)
        (inside / "a.csv").write_text("1")
        return [{"imu": "a.csv", "caption": "Someone is walking.", "source": "a.csv"}]

    first = lines.placed_lines(tmp_path, "imu", "Making", write)
    assert lines.placed_lines(tmp_path, "imu", "Making", write) == first
    assert first == [
        {"imu": "imu/a.csv", "caption": "Someone is walking.", "source": "a.csv"},
    ]
    assert len(calls) == 1
    assert (tmp_path / first[0]["imu"]).read_text() == "1"


def by_hash(group):
    return lines.digest(group[0])


def test_of_each_class_a_share_of_groups_is_held_out_and_single_ones_never():
    groups = [(f"chair {n}", "chair") for n in range(20)] + [("bed 0", "bed"), ("bed 1", "bed")]
    chosen = lines.held_out_groups([*groups, ("vase 0", "vase")])
    chairs = [name for name in chosen if name.startswith("chair")]
    assert set(chairs) == {name for name, _ in sorted(groups[:20], key=by_hash)[:3]}
    assert sum(name.startswith("bed") for name in chosen) == 1
    assert "vase 0" not in chosen
    assert chosen == lines.held_out_groups(reversed([*groups, ("vase 0", "vase")]))


def test_names_fix_the_draws():
    one, again, other = (lines.generator(name).integers(2**40) for name in ("a", "a", "b"))
    assert one == again != other


def test_captions_read_as_english():
    words = lines.with_article("insect"), lines.with_article("fish")
    assert [lines.sentence(each) for each in words] == ["An insect.", "A fish."]
