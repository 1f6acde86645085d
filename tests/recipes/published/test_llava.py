"""LLaVA's stages are those of its papers (2304.08485, 2310.03744), VILA's of its scripts."""

from fixtures.schedules import model_of, schedule

from polysense.recipes.published.llava import llava, llava_15, vila


def test_schedules():
    assert schedule(llava) == [(128, 2e-3, 1), (32, 2e-5, 3)]
    assert schedule(llava_15) == [(256, 1e-3, 1), (128, 2e-5, 1)]
    assert schedule(vila) == [(256, 1e-3, 1), (1024, 5e-5, 1), (128, 2e-5, 1)]


def test_clip_is_read_one_layer_before_its_last_without_class_token():
    for recipe, kind in ((llava, "linear"), (llava_15, "mlp"), (vila, "linear")):
        model = model_of(recipe)
        assert (model.encoder.layer, model.encoder.class_token) == (-2, False)
        assert (model.connector.kind, model.connector.norm) == (kind, False)
        assert model.llm.template == "llava"
