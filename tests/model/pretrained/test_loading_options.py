"""from_pretrained and save_pretrained: each argument is followed, or refused by name."""

import pytest
import torch
from fixtures.tiny_model import tiny_config
from PIL import Image
from transformers import AutoModelForCausalLM

from polysense import PolysenseModel
from polysense.errors import PolysenseError
from polysense.model.pretrained import checkpoint_files
from polysense.model.pretrained.loading_options import NEUTRAL, REFUSED, LoadingOptions
from polysense.training.run import build, resolve


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("options")
    torch.manual_seed(0)
    model, processor = build(resolve(tiny_config(folder / "parts")))
    model.save_pretrained(folder / "saved")
    shown = {"type": "image", "image": Image.new("RGB", (30, 20), "red")}
    said = [{"role": "user", "content": [shown, {"type": "text", "text": "What?"}]}]
    return folder / "saved", processor.apply_chat_template(said)


@pytest.mark.parametrize("family", [PolysenseModel, AutoModelForCausalLM])
@pytest.mark.parametrize("name", ["dtype", "torch_dtype"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (torch.bfloat16, torch.bfloat16),
        ("bfloat16", torch.bfloat16),
        ("float32", torch.float32),
        ("auto", torch.float32),  # as the config says
        (None, torch.float32),
    ],
)
def test_a_dtype_is_followed(saved, family, name, value, expected):
    folder, batch = saved
    model = family.from_pretrained(folder, **{name: value})
    assert model.dtype == model.llm.dtype == model.encoder.network.dtype == expected
    assert {p.dtype for p in model.connector.parameters()} == {torch.float32}
    assert model(**batch).logits.dtype == expected
    assert PolysenseModel.from_pretrained(folder).dtype == torch.float32


@pytest.mark.parametrize("family", [PolysenseModel, AutoModelForCausalLM])
@pytest.mark.parametrize("name", ["eager", "sdpa"])
def test_an_attention_is_followed(saved, family, name):
    model = family.from_pretrained(saved[0], attn_implementation=name)
    assert model.llm.config._attn_implementation == name
    assert model.llm.model.layers[0].self_attn.config._attn_implementation == name


@pytest.mark.parametrize("device", ["cpu", "auto", {"": "cpu"}, torch.device("cpu")])
def test_one_device_is_followed(saved, device):
    model = PolysenseModel.from_pretrained(saved[0], device_map=device)
    expected = torch.device("cpu")
    if device == "auto":
        expected = torch.accelerator.current_accelerator() or expected
    assert model.device.type == expected.type


def test_a_device_is_read():
    def read(value):
        return LoadingOptions.read({"device_map": value}, is_local=True).device

    assert read("cuda:1") == torch.device("cuda:1")
    assert read("meta") == torch.device("meta")
    assert read({"": "cuda:0"}) == torch.device("cuda:0")
    assert read({"llm": "cpu", "encoder": "cpu"}) == torch.device("cpu")
    assert read(None) is None


@pytest.mark.parametrize("device", ["balanced", "sequential", "disk", {"llm": 0, "": "cpu"}, {}])
def test_a_model_in_pieces_is_refused_by_name(saved, device):
    with pytest.raises(PolysenseError, match=r"from_pretrained\(device_map=.* one device"):
        PolysenseModel.from_pretrained(saved[0], device_map=device)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": torch.float16}, r"\(dtype=torch\.float16\) is not .* 'bfloat16'"),
        ({"dtype": "int8"}, r"\(dtype=int8\)"),
        ({"attn_implementation": "nonsense"}, r"\(attn_implementation='nonsense'\)"),
        ({"revision": "v1"}, r"\(revision='v1'\): a folder has no revisions"),
        ({"encodr": "x"}, r"argument of from_pretrained 'encodr'; did you mean 'encoder'"),
        ({"devce_map": "auto"}, "did you mean 'device_map'"),
        *(({name: {"a": 1}}, rf"\({name}=\.\.\.\) is not possible") for name in REFUSED
          if name != "adapter_kwargs"),
        ({"adapter_kwargs": {"_adapter_model_path": "x"}}, r"\(adapter_kwargs=\.\.\.\)"),
    ],
)  # fmt: skip
def test_what_is_not_followed_is_refused_by_name(saved, options, message):
    with pytest.raises(PolysenseError, match=message):
        PolysenseModel.from_pretrained(saved[0], **options)


def test_automodel_passes_typos_on(saved):
    with pytest.raises(PolysenseError, match="did you mean 'device_map'"):
        AutoModelForCausalLM.from_pretrained(saved[0], devce_map="auto")


def test_what_says_no_more_than_what_happens_is_taken(saved):
    quiet = {"revision": "main", "token": None, "quantization_config": None, **NEUTRAL}
    PolysenseModel.from_pretrained(saved[0], **quiet)


def test_a_config_that_is_given_stays_as_it_was(saved):
    config = checkpoint_files.read_config(saved[0])
    before = config.to_dict()
    PolysenseModel.from_pretrained(saved[0], config=config, dtype="bfloat16")
    assert config.to_dict() == before


def test_the_hubs_arguments_reach_the_download(saved, monkeypatch):
    asked = []

    def download(name, **options):
        asked.append((name, options))
        return str(saved[0])

    monkeypatch.setattr(checkpoint_files, "snapshot_download", download)
    hub = {"revision": "v1", "token": "secret", "cache_dir": "there", "local_files_only": True}
    PolysenseModel.from_pretrained("someone/model", **hub)
    assert asked == [("someone/model", hub)]


@pytest.mark.parametrize("name", ["max_shard_size", "safe_serialisation", "token", "repo_id"])
def test_what_saving_would_not_do_is_refused_by_name(saved, tmp_path, name):
    model = PolysenseModel.from_pretrained(saved[0])
    with pytest.raises(PolysenseError, match=rf"save_pretrained\({name}=\.\.\.\)"):
        model.save_pretrained(tmp_path / "again", **{name: "x"})
    assert not (tmp_path / "again").exists()
    with pytest.raises(PolysenseError, match=r"save_pretrained\(safe_serialization="):
        model.save_pretrained(tmp_path / "again", safe_serialization=False)


def test_only_the_main_process_writes_and_a_gathered_state_is_used(saved, tmp_path):
    model = PolysenseModel.from_pretrained(saved[0])
    model.save_pretrained(tmp_path / "other", is_main_process=False)
    assert not (tmp_path / "other").exists()
    state = {n: t + 1 if n.startswith("connector.") else t for n, t in model.state_dict().items()}
    model.save_pretrained(tmp_path / "main", state_dict=state, safe_serialization=True)
    again = PolysenseModel.from_pretrained(tmp_path / "main").state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in state.items())


def test_auto_is_the_best_device_there_is():
    best = torch.accelerator.current_accelerator() or torch.device("cpu")
    assert LoadingOptions.read({"device_map": "auto"}, True).device == best
