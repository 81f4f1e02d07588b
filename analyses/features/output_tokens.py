"""What components write: the tokens that they make likelier, read off the model's weights."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurointerp.analyses.features._language import place_of, require_torch, token_names, tokenizer_of
from neurointerp.analyses.features._reading import component_coords, features_of, require_whole
from neurointerp.errors import AnalysisError, ModelError
from neurointerp.models.parameters import weights
from neurointerp.models.sites import blocks_in
from neurointerp.result import result as build

if TYPE_CHECKING:
    import torch

NAME = "features.output_tokens"


def output_tokens(
    result: xr.Dataset,
    model: torch.nn.Module,
    *,
    n: int = 50,
    site: str | None = None,
    tokenizer: Any = None,
    seed: int = 0,
) -> xr.Dataset:
    """Project each component through the down-projection and the unembedding, and give its top and bottom tokens.

    The logits are `norm(z W_out) W_U` for the feature `z`, where `norm` is the linear part of the model's last norm:
    its gain, and for a LayerNorm the mean over the width taken off.

    Parameters
    ----------
    result
        Of a factorization of `mlp.post` of one layer: `features(component, unit)`.
    model
        The model that was recorded, of a known family with an unembedding.
    n
        Tokens at either end.
    site
        Where the units lie, such as `"L3.mlp.post"`; default: their coordinates `layer` and `site`.
    tokenizer
        Names the tokens; default `model.tokenizer`, else tokens are numbered.
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        - `top_token(component, rank)`, `bottom_token(component, rank)`: names, from the most extreme on;
          `top_id`, `bottom_id`.
        - `top_logit(component, rank)`, `bottom_logit(component, rank)`: about their mean over all tokens.

    Raises
    ------
    AnalysisError
        When the units are not `mlp.post` of one layer.
    ModelError
        When the model has no such weights.

    Notes
    -----
    This is the direct path alone: what later layers make of the component is not in it. The norm's division by the
    size of the stream and its bias are the same for every component, and left out. Features of a model whose blocks
    are followed by their norms (BERT) pass no norm.

    References
    ----------
    Geva et al. (2022), arXiv:2203.14680. Shafran, Geiger, Geva (2025), arXiv:2506.10920: 50 to 75 tokens at either
    end; their code passes the component through the whole norm, for some models only.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import factorization
    >>> from neurointerp.models import gpt
    >>> model = gpt.GPT(gpt.Config(layers=1, width=8, heads=2))
    >>> values = np.random.default_rng(0).standard_normal((50, 32))
    >>> rec = ni.recording(values, modality="activations", units="1", time=np.arange(50))
    >>> found = output_tokens(factorization.semi_nmf(rec, 3, max_iter=5), model, n=2, site="L0.mlp.post")
    >>> found.top_token.shape
    (3, 2)
    """
    torch = require_torch(NAME)
    require_whole(n, "n", NAME)
    values = features_of(result, NAME)
    where, index = place_of(result, site, NAME)
    hit = re.fullmatch(r"L(\d+)\.mlp\.post", where)
    if hit is None:
        raise AnalysisError(f"{NAME}: the units lie at {where!r}; what the down-projection reads, mlp.post, is needed")
    with torch.no_grad():
        down = weights(model, "W_out", layer=int(hit[1])).double().cpu().numpy()
        unembed = weights(model, "W_U").double().cpu().numpy()
        gain = _gain(model)
    if index.max(initial=-1) >= len(down):
        raise AnalysisError(f"{NAME}: {where} has {len(down)} units, the result has unit {int(index.max())} of it")
    written = values @ down[index]
    if gain is not None:
        scale, centred = gain
        written = (written - written.mean(axis=1, keepdims=True) * centred) * scale
    logits = written @ unembed
    logits -= logits.mean(axis=1, keepdims=True)
    n = min(n, logits.shape[1])
    names = tokenizer_of(model, tokenizer)
    coords = {**component_coords(result), "rank": np.arange(n)}
    found: dict[str, Any] = {}
    for end, sign in (("top", -1), ("bottom", 1)):
        ids = np.argsort(sign * logits, axis=1, kind="stable")[:, :n]
        for name, array in (
            ("token", token_names(ids, names)),
            ("id", ids),
            ("logit", np.take_along_axis(logits, ids, axis=1)),
        ):
            found[f"{end}_{name}"] = xr.DataArray(array, dims=("component", "rank"), coords=coords)
    return build(found, analysis=NAME, recording=result, parameters={"n": n, "site": where}, seed=seed)


def _gain(model: torch.nn.Module) -> tuple[np.ndarray, bool] | None:
    """Give the gain of the last norm and whether it takes off the mean; None where the family has none."""
    import torch

    try:
        gain = weights(model, "norm")
    except ModelError:
        return None
    blocks, modules = blocks_in(model), dict(model.named_modules())
    norm = modules[str(blocks.spelled("ends", "norm", None, modules))]
    if isinstance(norm, torch.nn.LayerNorm):
        return gain.detach().double().cpu().numpy(), True
    # RMS norms differ in their gain (some add 1 to the weight): on ones it is what they give, but for eps.
    ones = torch.ones(1, gain.shape[0], dtype=gain.dtype, device=gain.device)
    return norm(ones)[0].detach().double().cpu().numpy(), False
