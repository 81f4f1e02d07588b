"""Sites of a torch model: places where what it computes can be read or changed, found by name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from neurointerp.errors import ModelError
from neurointerp.models._families import SITE_NAMES, Blocks, blocks_of, module_of

if TYPE_CHECKING:
    import torch

SIDES = ("", "input")
_NAMED = re.compile(r"(?:L(?P<layer>[\d*]+)\.)?(?P<name>[a-z.*]+)")
_SPELLED = re.compile(r"(?P<path>[^\[:]*)(?:\[(?P<part>\d)/(?P<of>\d)\])?(?::(?P<side>\w+))?")


@dataclass(frozen=True)
class Site:
    """One place of a model.

    Attributes
    ----------
    path
        Name of the module.
    side
        `output` (the first tensor it returns), `input` (the first it is given), `shared` (that same input, where
        others read the tensor too: a change reaches them) or `pattern` (the weights of its attention).
    name, layer
        What units are named by.
    is_short
        Whether the label of a unit names the layer.
    part
        `(i, n)` where the site is the i-th of n equal parts of the features there, else None.
    heads
        Attention heads that the features are made of, where known.
    layout
        Where the module puts features: `last`, `channels` (behind the batch), `time` (last, and time comes before the
        batch). Empty where it does not tell: then they are last, or of four and more axes behind the batch.
    """

    path: str
    side: str
    name: str
    layer: int | None
    is_short: bool
    part: tuple[int, int] | None = None
    heads: int | None = None
    layout: str = ""

    def label(self, index: int) -> str:
        """Give the unit label of one feature of this site."""
        return f"{self.where}.{index}"

    @property
    def where(self) -> str:
        """Give the site's own label, such as `L3.mlp.post`."""
        return f"L{self.layer}.{self.name}" if self.is_short and self.layer is not None else self.name

    @property
    def is_pattern(self) -> bool:
        """Tell whether it holds (prompt, head, query, key) rather than features."""
        return self.name == "attn.pattern"


def find_sites(modules: Sequence[str], sites: str | Sequence[str] | Mapping[str, str]) -> list[Site]:
    """Match sites with the names of modules.

    Parameters
    ----------
    modules
        Dotted names; `""` is the model itself.
    sites
        Named sites, with (`"L3.mlp.post"`) or without (`"mlp.post"`) a layer, `*` standing for anything
        (`"attn.*"`, `"L*.resid.post"`). Names of modules and globs of them (`*` within one part, `**` across dots,
        `{layer}` a number), each with or without `:input`. Or a mapping from short names to these. A name that is a
        module's is that module.

    Returns
    -------
    list of Site
        In the order asked for and, within a glob, of the modules. The layer is what `{layer}` stands for, else
        the first part of the name that is a number; for named sites the number of the block.

    Raises
    ------
    ModelError
        When a site matches nothing, or one name would stand for two modules.

    Examples
    --------
    >>> [one.label(7) for one in find_sites(["h.0.mlp", "h.1.mlp"], {"mlp.out": "h.{layer}.mlp"})]
    ['L0.mlp.out.7', 'L1.mlp.out.7']
    >>> gpt2 = [f"h.{i}{end}" for i in range(2) for end in ("", ".attn.c_attn", ".mlp.c_proj")]
    >>> [(one.path, one.side, one.layer) for one in find_sites(gpt2, "L1.mlp.post")]
    [('h.1.mlp.c_proj', 'input', 1)]
    """
    if isinstance(sites, str):
        sites = [sites]
    if not isinstance(sites, Sequence | Mapping) or not all(isinstance(one, str) for one in sites):
        raise ModelError(f"sites is {_shown(sites)}: names are needed, such as 'mlp.post' or those of named_modules()")
    asked = list(sites.items()) if isinstance(sites, Mapping) else [(None, site) for site in sites]
    if not asked:
        raise ModelError("sites is empty: name at least one module")
    found: dict[Site, None] = {}
    for short, spelling in asked:
        named = _named(modules, spelling) if short is None else []
        found |= dict.fromkeys(named or _matched(modules, spelling, short))
    _refuse_collisions(found)
    return list(found)


def sites_of(model: torch.nn.Module, sites: str | Sequence[str] | Mapping[str, str]) -> list[Site]:
    """Find sites in a model, with the number of heads where its configuration tells it.

    Parameters
    ----------
    model
        Any module.
    sites
        As `find_sites` takes them.

    Returns
    -------
    list of Site

    Raises
    ------
    ModelError
        As `find_sites`.

    Examples
    --------
    >>> import torch
    >>> [site.where for site in sites_of(torch.nn.Sequential(torch.nn.Linear(2, 3)), "0")]
    ['0']
    """
    modules = dict(model.named_modules())
    found = find_sites(list(modules), sites)
    return [
        replace(site, heads=_heads(model, site) if site.name.startswith("attn.") else None, layout=layout_of(module))
        for site in found
        for module in [modules[site.path]]
    ]


def layout_of(module: torch.nn.Module) -> str:
    """Tell where a module puts features, as `Site.layout` says it; nothing where its kind leaves it open.

    Examples
    --------
    >>> import torch
    >>> layout_of(torch.nn.Conv1d(1, 2, 3)), layout_of(torch.nn.Linear(1, 2)), layout_of(torch.nn.ReLU())
    ('channels', 'last', '')
    """
    from torch import nn

    kind = type(module).__name__
    if kind[-2:] in ("1d", "2d", "3d"):  # convolutions, pools and norms; LayerNorm2d is a LayerNorm by class
        return "channels"
    if isinstance(module, nn.LayerNorm):
        return "last" if len(module.normalized_shape) == 1 else ""
    if isinstance(module, nn.Linear | nn.Embedding) or kind in ("Conv1D", "RMSNorm"):
        return "last"
    inner = module
    if isinstance(inner, nn.TransformerEncoder | nn.TransformerDecoder):
        inner = inner.layers[0]
    if isinstance(inner, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer):
        inner = inner.self_attn
    if isinstance(inner, nn.RNNBase | nn.MultiheadAttention):
        return "last" if inner.batch_first else "time"
    return ""


def site_names(model: torch.nn.Module) -> list[str]:
    """Give the named sites that a model has, without layers; none for a model of no known family.

    Examples
    --------
    >>> import torch
    >>> site_names(torch.nn.Linear(2, 2))
    []
    """
    return _names([name for name, _ in model.named_modules()])


def unit_labels(sites: Sequence[Site], widths: Sequence[int]) -> tuple[list[str], dict[str, Any]]:
    """Give the labels of sites side by side, and their coords `site`, `index` and, where known, `layer`, `head`."""
    labels = [site.label(i) for site, width in zip(sites, widths, strict=True) for i in range(width)]
    names = [site.name for site, width in zip(sites, widths, strict=True) for _ in range(width)]
    index = np.concatenate([np.arange(width) for width in widths])
    coords: dict[str, Any] = {"site": ("unit", names), "index": ("unit", index)}
    layers = [site.layer for site in sites]
    if any(layer is not None for layer in layers):
        known = np.array([np.nan if layer is None else layer for layer in layers])
        coords["layer"] = ("unit", np.repeat(known if None in layers else known.astype(np.int64), widths))
    pairs = list(zip(sites, widths, strict=True))
    if any(site.heads for site in sites):
        heads = [_counted(width, site.heads) for site, width in pairs]
        joined = np.concatenate(heads)
        coords["head"] = ("unit", joined if np.isnan(joined).any() else joined.astype(np.int64))
    if any(site.is_pattern and site.heads for site in sites):
        size = [width // site.heads if site.is_pattern and site.heads else 0 for site, width in pairs]
        keys = [
            np.arange(width) % n if n else np.full(width, np.nan) for (_, width), n in zip(pairs, size, strict=True)
        ]
        joined = np.concatenate(keys)
        coords["key"] = ("unit", joined if np.isnan(joined).any() else joined.astype(np.int64))
    return labels, coords


def spelled_site(spelling: str, name: str, layer: int | None) -> Site:
    """Make a named site of a full spelling (`h.0.attn.c_attn[0/3]`, `h.0.ln_2:shared`)."""
    hit = _SPELLED.fullmatch(spelling)
    assert hit is not None, spelling
    part = None if hit["part"] is None else (int(hit["part"]), int(hit["of"]))
    return Site(hit["path"], hit["side"] or "output", name, layer, True, part)


def _counted(width: int, heads: int | None) -> np.ndarray:
    return np.repeat(np.arange(heads), width // heads).astype(float) if heads else np.full(width, np.nan)


def _named(modules: Sequence[str], spelling: str) -> list[Site]:
    """Give the named sites that are asked for; none where modules are, or the spelling is none of a named site."""
    hit = _NAMED.fullmatch(spelling)
    if not hit or not any(fnmatchcase(name, hit["name"]) for name in SITE_NAMES):
        return []
    if hit["layer"] is None and not hit["name"].strip("*."):  # `*` and `**` stand for modules
        return []
    if any(_regex(spelling).fullmatch(name) for name in modules):
        return []
    sites = [site for site in _all_named(modules) if fnmatchcase(site.name, hit["name"])]
    if hit["layer"] is not None:
        sites = [site for site in sites if site.layer is not None and fnmatchcase(str(site.layer), hit["layer"])]
    if not sites:
        raise _no_such_site(modules, spelling)
    return sites


def _no_such_site(modules: Sequence[str], spelling: str) -> ModelError:
    blocks = blocks_of(modules)
    if blocks is None:
        return ModelError(
            f"site {spelling!r}: the model is of no family with named sites, and no module has this name; the "
            f"modules are {', '.join(map(repr, list(modules)[1:6]))}, ...; name modules, or say which they are: "
            f"sites={{{spelling!r}: 'blocks.{{layer}}.act'}}"
        )
    return ModelError(
        f"site {spelling!r} is not in this {blocks.family.name} model of {len(blocks.paths)} layers; it has "
        f"{', '.join(_names(modules))}"
    )


def _names(modules: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(site.name for site in _all_named(modules)))


def _shown(sites: Any) -> str:
    wrong = (
        sites if not isinstance(sites, Sequence | Mapping) else next(one for one in sites if not isinstance(one, str))
    )
    return f"{wrong!r}" if isinstance(wrong, int | float | type(None)) else f"a {type(wrong).__name__}"


def _all_named(modules: Sequence[str]) -> Iterator[Site]:
    blocks = blocks_of(modules)
    if blocks is None:
        return
    known = set(modules)
    place = partial(blocks.spelled, modules=known)
    yield Site(blocks.paths[0], "input", "embed", None, True)
    for layer in range(len(blocks.paths)):
        for name in SITE_NAMES:
            if spelling := place("sites", name, layer):
                yield spelled_site(spelling, name, layer)
    if spelling := place("ends", "logits", None):
        yield spelled_site(spelling, "logits", None)


def _heads(model: torch.nn.Module, site: Site) -> int | None:
    """Give the number of heads of an attention site; keys and values may have fewer than queries."""
    if site.name not in ("attn.q", "attn.k", "attn.v", "attn.z", "attn.pattern"):
        return None
    attention: Any = model
    for part in module_of(site.path).split("."):
        attention = getattr(attention, part)
        if isinstance(getattr(attention, "heads", None), int):
            return int(attention.heads)
    config: Any = getattr(model, "config", None)
    config = getattr(config, "text_config", config)
    heads = getattr(config, "num_attention_heads", None)
    if site.name in ("attn.k", "attn.v"):
        heads = getattr(config, "num_key_value_heads", None) or heads
    return heads if isinstance(heads, int) else None


def _matched(modules: Sequence[str], spelling: str, short: str | None) -> list[Site]:
    path, _, side = spelling.partition(":")
    if side not in SIDES:
        raise ModelError(f"site {spelling!r} ends in ':{side}': ':input' or nothing is needed")
    hits = [hit for name in modules if (hit := _regex(path).fullmatch(name))]
    if not hits:
        known = [name for name in modules if name]  # without the model itself
        near = difflib.get_close_matches(path, known, n=3, cutoff=0.3) or known[:3]
        blocks = blocks_of(modules)
        named = (
            "" if blocks is None else f"; named sites are {', '.join(_names(modules))}, each with or without L<layer>."
        )
        raise ModelError(f"site {spelling!r} matches no module; the nearest are {', '.join(map(repr, near))}{named}")
    return [_site(hit, side or "output", short) for hit in hits]


def _regex(pattern: str) -> re.Pattern[str]:
    if pattern.count("{layer}") > 1:
        raise ModelError(f"site {pattern!r} has {{layer}} more than once; write * for the others")
    meanings = {"**": ".*", "*": "[^.]*", "{layer}": r"(?P<layer>\d+)"}
    pieces = re.split(r"(\*\*|\*|\{layer\})", pattern)
    return re.compile("".join(meanings.get(piece, re.escape(piece)) for piece in pieces))


def _site(hit: re.Match[str], side: str, short: str | None) -> Site:
    path = hit.string
    layer = hit.groupdict().get("layer") or next((part for part in path.split(".") if part.isdecimal()), None)
    name = short or (path or "model") + (":input" if side == "input" else "")
    return Site(path, side, name, None if layer is None else int(layer), short is not None)


def _refuse_collisions(sites: Mapping[Site, None]) -> None:
    seen: dict[str, Site] = {}
    for site in sites:
        other = seen.setdefault(site.label(0), site)
        if other != site:
            raise ModelError(f"site {site.name!r} matches {other.path!r} and {site.path!r}; narrow the pattern")


def blocks_in(model: torch.nn.Module) -> Blocks:
    """Give the blocks of a model, or say that it is of no known family."""
    blocks = blocks_of([name for name, _ in model.named_modules()])
    if blocks is None:
        raise ModelError(f"{type(model).__name__} is of no family whose parts have names: name the modules")
    return blocks
