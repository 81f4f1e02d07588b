"""Tokens read off the weights, against the model's own passes."""

import numpy as np
import pytest
import xarray as xr

import neurointerp as ni
from neurointerp import models
from neurointerp.analyses import factorization, features
from neurointerp.errors import AnalysisError

torch = pytest.importorskip("torch", reason="torch is not installed")


def result_on(units, features_, **coords):
    rec = ni.recording(
        np.random.default_rng(0).standard_normal((30, units)), modality="activations", units="1", time=np.arange(30),
        coords={name: ("unit", given) for name, given in coords.items()},
    )  # fmt: skip
    res = factorization.pca(rec, len(features_))
    return res.assign(features=res.features.copy(data=np.asarray(features_, dtype=float)))


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma"])
def test_logits_are_the_derivative_of_the_model_with_its_norm_held(family, small_model):
    """Adding a little of a feature at the last layer moves the logits along what the weights say, norm held."""
    pytest.importorskip("transformers")
    model = small_model(family).double()
    last = 2
    width = models.weights(model, "W_out", layer=last).shape[0]
    z = np.random.default_rng(1).standard_normal((2, width))
    found = features.output_tokens(result_on(width, z), model, n=40, site=f"L{last}.mlp.post")
    ids = torch.tensor([[3, 7, 11]])
    if family == "gemma":  # another norm stands behind the down-projection, and logits pass a tanh
        logits = models.weights(model, "W_U").detach().numpy()
        gain = dict(model.named_modules())["model.norm"](torch.ones(1, 16).double())[0].detach().numpy()
        moved = z @ models.weights(model, "W_out", layer=last).detach().numpy() * gain @ logits
    else:
        with models.frozen(model, ids, patterns=False), torch.no_grad():
            clean = model(ids).logits[0, -1].numpy()
            moved = []
            for row in z:
                with models.intervene(model, [models.add(f"L{last}.mlp.post", row)]):
                    moved.append(model(ids).logits[0, -1].numpy() - clean)
    moved = np.stack(list(moved))
    moved -= moved.mean(axis=1, keepdims=True)
    for k in range(2):
        order = found.top_id.values[k]
        assert sorted(order) == list(range(40))
        ratio = moved[k][order] / found.top_logit.values[k]
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-6)  # the scale of the norm alone is left out
        assert ratio[0] > 0
        assert found.bottom_id.values[k].tolist() == order[::-1].tolist()


def test_names_part_of_the_units_and_their_place_are_read_off_the_recording():
    from neurointerp.models import gpt

    model = gpt.GPT(gpt.Config(layers=2, width=8, heads=2, vocab_size=5))
    model.tokenizer = gpt.Tokenizer(("<unk>", " a", " b", " c", " d"))
    index = np.arange(0, 32, 3)
    z = np.random.default_rng(0).standard_normal((1, len(index)))
    res = result_on(len(index), z, site=["mlp.post"] * len(index), layer=[1] * len(index), index=index)
    found = features.output_tokens(res, model, n=2)
    whole = np.zeros((1, 32))
    whole[:, index] = z
    xr.testing.assert_allclose(found, features.output_tokens(result_on(32, whole), model, n=2, site="L1.mlp.post"))
    assert found.top_token.values[0, 0] == model.tokenizer.pieces[int(found.top_id[0, 0])]


def test_other_places_are_refused():
    from neurointerp.models import gpt

    model = gpt.GPT(gpt.Config(layers=1, width=8, heads=2))
    res = result_on(32, np.ones((1, 32)))
    with pytest.raises(AnalysisError, match="units have no coordinates 'layer' and 'site'"):
        features.output_tokens(res, model)
    with pytest.raises(AnalysisError, match=r"lie at 'L0\.resid\.post'"):
        features.output_tokens(res, model, site="L0.resid.post")
    with pytest.raises(AnalysisError, match="has 32 units, the result has unit 39"):
        features.output_tokens(result_on(40, np.ones((1, 40))), model, site="L0.mlp.post")
    two = result_on(32, np.ones((1, 32)), site=["mlp.post"] * 32, layer=[0] * 16 + [1] * 16)
    with pytest.raises(AnalysisError, match="2 sites"):
        features.output_tokens(two, model)
