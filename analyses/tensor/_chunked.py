"""CP of a chunked (dask) tensor: products with it are sums over blocks, computed where the scheduler computes them."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurointerp import backend
from neurointerp.analyses.tensor._alternate import (
    PASSES,
    Problem,
    along,
    contracted,
    khatri_rao_rows,
    model,
    sum_of_squares,
    swept,
)
from neurointerp.device import computed_on
from neurointerp.streaming import added, computed, tree

Floats = NDArray[np.float64]
Place = tuple[slice, ...]


@dataclass(frozen=True)
class Blocks:
    """A tensor in blocks of any grid.

    Attributes
    ----------
    array
        dask, float32 or float64; NaN is missing.
    scale
        What blocks are divided by as they are read.
    """

    array: Any
    scale: float = 1.0

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(map(int, self.array.shape))

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = np.dtype(self.array.dtype)
        return dtype

    def astype(self, dtype: Any) -> Blocks:
        return replace(self, array=self.array.astype(dtype))

    def transpose(self, order: Any) -> Blocks:
        return replace(self, array=self.array.transpose(*map(int, order)))

    @cached_property
    def about(self) -> tuple[Any, ...]:
        """Give, from one pass: how many values each label of each dim has, and the sums over those of the last dim.

        Then how many values are infinite and how many negative, the least and the largest.
        """
        found: tuple[Any, ...] = self.total(partial(_about, shape=self.shape), _joined)
        return found

    @property
    def missing(self) -> int:
        return self.size - int(self.about[0][0].sum())

    def tasks(self, kernel: Callable[..., Any], given: Callable[[Place], Any]) -> list[tuple[Place, Any]]:
        """Give where each block lies and the task `kernel(block, place, given(place))`."""
        from dask.delayed import delayed

        edges = [np.cumsum([0, *sizes]).tolist() for sizes in self.array.chunks]
        places = itertools.product(*[[slice(a, b) for a, b in itertools.pairwise(edge)] for edge in edges])
        blocks = self.array.to_delayed().ravel()
        return [
            (place, delayed(_run)(kernel, self.scale, place, delayed(given(place), traverse=False), block))
            for place, block in zip(places, blocks, strict=True)
            if all(part.stop > part.start for part in place)
        ]

    def total(self, kernel: Callable[..., Any], combine: Callable[..., Any] = added) -> Any:
        """Give the sum of the tuples that `kernel(block, place, None)` makes of every block."""
        return computed([tree([task for _, task in self.tasks(kernel, _nothing)], combine)])[0]

    def summed(self, kernel: Callable[..., Any], given: Callable[[Place], Any], keep: Sequence[int]) -> list[Any]:
        """Give (place along the dims `keep`, sum over blocks of that place) of what a kernel makes of blocks."""
        groups: dict[tuple[tuple[int, int], ...], list[Any]] = {}
        for place, task in self.tasks(kernel, given):
            groups.setdefault(tuple((place[axis].start, place[axis].stop) for axis in keep), []).append(task)
        sums = computed([tree(tasks, _plus) for tasks in groups.values()])
        return [(tuple(slice(*edge) for edge in key), total) for key, total in zip(groups, sums, strict=True)]


@dataclass(frozen=True)
class ChunkedProblem(Problem):
    """What `Problem` is, of `Blocks`; their last dim is the largest. A missing value is NaN there, and `seen` None."""

    whole: bool = True
    device: str | None = None
    precision: str | None = None

    @cached_property
    def power(self) -> float:
        return float(self.X.total(_power)[0])

    @property
    def complete(self) -> bool:
        return self.whole

    def sketch(self, columns: int, rng: np.random.Generator) -> Any:
        return self.image([rng.standard_normal((size, columns)).astype(self.X.dtype) for size in self.X.shape[:-1]])

    def contraction(self, last: Any, begun: list[Any] | None = None) -> Any:
        small = np.zeros((last.shape[1], *self.X.shape[:-1]), self.X.dtype)
        kernel = partial(_contraction, model_of=begun, device=self.device, precision=self.precision)
        for place, part in self.X.summed(kernel, lambda place: last[place[-1]], range(small.ndim - 1)):
            small[(slice(None), *place)] = part
        return small

    def image(self, outer: list[Any], begun: list[Any] | None = None) -> Any:
        found = np.empty((self.X.shape[-1], outer[0].shape[1]), self.X.dtype)

        def given(place: Place) -> list[Any]:
            return [factor[part] for factor, part in zip(outer, place[:-1], strict=True)]

        kernel = partial(_image, model_of=begun, device=self.device, precision=self.precision)
        for (rows,), part in self.X.summed(kernel, given, [len(outer)]):
            found[rows] = part
        return found

    def within(self, bases: list[Any]) -> Any:
        found = np.empty((*[base.shape[1] for base in bases], self.X.shape[-1]), self.X.dtype)

        def given(place: Place) -> list[Any]:
            return [base[part] for base, part in zip(bases, place[:-1], strict=True)]

        kernel = partial(_within, device=self.device, precision=self.precision)
        for (rows,), part in self.X.summed(kernel, given, [len(bases)]):
            found[..., rows] = part
        return found

    def sweep(self, factors: list[Any], power: float, passes: int = PASSES[0]) -> tuple[list[Any], float]:
        if self.whole:
            return swept(self.contraction, self.image, factors, self.rule, power, passes)
        products = partial(self.contraction, begun=factors), partial(self.image, begun=factors)
        found, _ = swept(*products, factors, self.rule, power, passes)
        return found, float(self.X.total(partial(_rest, factors=found))[0]) / power


def explained_variance(X: Blocks, loss: float) -> float:
    """Give what `_labelled.explained_variance` gives."""
    seen, total, *_ = X.about
    power, spread = X.total(partial(_spread, mean=total / np.maximum(seen[-1], 1)))
    return 1 - loss * power / spread if spread > 1e-12 * power else math.nan


def core_of(X: Blocks, factors: list[Floats], inverses: list[Floats]) -> Floats:
    """Give the tensor, completed by the model of `factors`, contracted with an `inverse` (component, size) per dim."""
    core: Floats = X.total(partial(_core, factors=factors, inverses=inverses))[0]
    return core


def _nothing(place: Place) -> None:
    return None


def _plus(*parts: Any) -> Any:
    return reduce(operator.add, parts)


def _run(kernel: Callable[..., Any], scale: float, place: Place, given: Any, block: Any) -> Any:
    dtype = np.dtype(np.float32 if block.dtype == np.float32 else np.float64)
    return kernel(np.ascontiguousarray(block, dtype) / dtype.type(scale), place, given)


def _about(block: Any, place: Place, given: Any, *, shape: tuple[int, ...]) -> tuple[Any, ...]:
    there = ~np.isnan(block)
    axes, seen = range(block.ndim), []
    for axis, part in enumerate(place):
        seen.append(np.zeros(shape[axis], dtype=np.int64))
        seen[-1][part] = there.sum(axis=tuple(other for other in axes if other != axis))
    known = np.where(there, block, 0)
    total = np.zeros(shape[-1])
    total[place[-1]] = known.sum(axis=tuple(axes[:-1]), dtype=np.float64)
    low = float(np.where(there, block, np.inf).min(initial=np.inf))
    high = float(np.where(there, block, -np.inf).max(initial=-np.inf))
    return seen, total, int(np.isinf(block).sum()), int((block < 0).sum()), low, high


def _joined(*parts: tuple[Any, ...]) -> tuple[Any, ...]:
    seen, total, infinite, negative, low, high = zip(*parts, strict=True)
    together = [sum(one) for one in zip(*seen, strict=True)]
    return together, sum(total), sum(infinite), sum(negative), min(low), max(high)


def _power(block: Any, place: Place, given: Any) -> tuple[float]:
    return (sum_of_squares(np.where(np.isnan(block), block.dtype.type(0), block)),)


def _model_at(factors: Sequence[Any], place: Place, shape: tuple[int, ...]) -> Any:
    return model([factor[part] for factor, part in zip(factors, place, strict=True)], shape)


def _completed(block: Any, place: Place, factors: Sequence[Any] | None) -> Any:
    if factors is None:
        return block
    missing = np.isnan(block)
    return np.where(missing, _model_at(factors, place, block.shape), block) if missing.any() else block


def _contraction(
    block: Any, place: Place, last: Any, *, model_of: Sequence[Any] | None, device: str | None, precision: str | None
) -> Any:
    """Give (component, *outer sizes) of the block contracted with its rows of the last factor."""
    flat = np.ascontiguousarray(_completed(block, place, model_of)).reshape(-1, block.shape[-1])
    if device is None:
        found = contracted(flat, np.ascontiguousarray(last))
    else:
        found = computed_on(device, precision, _contracted, flat, last).astype(block.dtype, copy=False)
    return found.reshape(-1, *block.shape[:-1])


def _contracted(flat: Any, last: Any) -> np.ndarray:
    return backend.to_numpy(contracted(flat, backend.like(last, flat)))


def _image(
    block: Any, place: Place, outer: list[Any], *, model_of: Sequence[Any] | None, device: str | None,
    precision: str | None,
) -> Any:  # fmt: skip
    flat = _completed(block, place, model_of).reshape(-1, block.shape[-1])
    if device is None:
        return (khatri_rao_rows(outer) @ flat).T
    return computed_on(device, precision, _imaged, flat, outer).astype(block.dtype, copy=False)


def _imaged(flat: Any, outer: list[Any]) -> np.ndarray:
    return backend.to_numpy((khatri_rao_rows([backend.like(factor, flat) for factor in outer]) @ flat).T)


def _within(block: Any, place: Place, bases: list[Any], *, device: str | None, precision: str | None) -> Any:
    if device is None:
        return _turned(block, bases)
    return computed_on(device, precision, _turned, block, bases).astype(block.dtype, copy=False)


def _turned(block: Any, bases: list[Any]) -> np.ndarray:
    for axis, base in enumerate(bases):
        block = along(block, backend.like(base, block).T, axis)
    return backend.to_numpy(block)


def _rest(block: Any, place: Place, given: Any, *, factors: Sequence[Any]) -> tuple[float]:
    rest = block - _model_at(factors, place, block.shape)
    return (sum_of_squares(np.where(np.isnan(rest), rest.dtype.type(0), rest)),)


def _spread(block: Any, place: Place, given: Any, *, mean: Floats) -> tuple[float, float]:
    wide = block.astype(np.float64)
    about = np.nan_to_num(wide - mean[place[-1]])
    return sum_of_squares(np.nan_to_num(wide)), sum_of_squares(about)


def _core(
    block: Any, place: Place, given: Any, *, factors: Sequence[Floats], inverses: Sequence[Floats]
) -> tuple[Floats]:
    core = _completed(block.astype(np.float64), place, factors)
    for mode in np.argsort(core.shape)[::-1]:
        core = np.moveaxis(np.tensordot(inverses[mode][:, place[mode]], core, axes=(1, mode)), 0, mode)
    return (core,)
