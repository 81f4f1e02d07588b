"""What a model holds as it learns: the same inputs, recorded again and again."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import xarray as xr

from neurointerp import store
from neurointerp.errors import LoaderError
from neurointerp.recordings import recording

if TYPE_CHECKING:
    import torch


def over_training(
    model: torch.nn.Module | None,
    inputs: Any,
    *,
    sites: str | Sequence[str] | Mapping[str, str],
    every: int = 1,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    **options: Any,
) -> Watch:
    """Record the same inputs over and over while a model is trained.

    Parameters
    ----------
    model
        The model that is trained; None where each call brings it.
    inputs, sites
        As `record` takes them: what to run it on (not what it is trained on), and where to look.
    every
        Steps from one recording to the next; steps between them are passed over.
    out, overwrite
        Path of a store to write step by step, in bounded memory; it appears when the recording is asked for.
    **options
        Further options of `record` (`tokenizer`, `batch_size`, `pool`, ...).

    Returns
    -------
    Watch
        Call it with the number of the step, inside the training loop, or hand it over as a callback
        `(step, model)`; `recording()` gives what it saw.

    Raises
    ------
    LoaderError
        When `every` is below 1, or (at the first step) as `record`.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Linear(2, 1)
    >>> watch = over_training(model, torch.eye(2), sites={"out": ""}, every=5)
    >>> for step in range(11):
    ...     watch(step)
    ...     with torch.no_grad():
    ...         _ = model.bias.add_(1.0)
    >>> rec = watch.recording()
    >>> rec.dims, rec.time.values.tolist(), rec.values[0, :, 0].round(3) - rec.values[0, 0, 0].round(3)
    (('trial', 'time', 'unit'), [0, 5, 10], array([ 0.,  5., 10.], dtype=float32))
    """
    if every < 1:
        raise LoaderError(f"every is {every}: at least 1 is needed")
    return Watch(model, inputs, {"sites": sites, **options}, every, out, overwrite=overwrite)


class Watch:
    """A callback for training loops; made by `over_training`. As a context it drops what was not asked for."""

    def __init__(
        self,
        model: torch.nn.Module | None,
        inputs: Any,
        options: Mapping[str, Any],
        every: int,
        out: str | os.PathLike[str] | None,
        *,
        overwrite: bool,
    ) -> None:
        self._model, self._inputs, self._options, self._every = model, inputs, dict(options), every
        self._out, self._overwrite = out, overwrite
        self._blocks: list[xr.DataArray] = []
        self._last: int | None = None
        self._writer: store.Writer | None = None
        self._stored: os.PathLike[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.abort()

    def __call__(self, step: int, model: torch.nn.Module | None = None) -> None:
        """Record the model as it is now, if this is a step to be recorded.

        Parameters
        ----------
        step
            Number of steps made so far; it must grow.
        model
            The model, where `over_training` was not given it.
        """
        if step % self._every:
            return
        if self._stored is not None:
            raise LoaderError(
                f"step {step}: the recording was asked for, and {self._stored} is whole; begin a new watch"
            )
        if self._last is not None and step <= self._last:
            raise LoaderError(f"step {step} comes after step {self._last}: steps must grow (begin a new watch)")
        network = self._model if model is None else model
        if network is None:
            raise LoaderError("which model? Pass it to over_training, or with each step")
        block = self._at(int(step), network)
        self._last = int(step)
        if self._out is None:
            self._blocks.append(block)
            return
        if self._writer is None:
            self._writer = store.writer(self._out, block[:, :0], overwrite=self._overwrite)
        self._writer.append(block)

    def recording(self) -> xr.DataArray:
        """Give what was seen.

        Returns
        -------
        xarray.DataArray
            `(trial, time, unit)`: `time` counts training steps (units `step`), a trial is a token kept (with
            `sequence`, `position`, `token_id`, ...) or a row of the tensor. Even steps state a `sampling_rate`. Lazy
            where a store was written, which states none: its steps were not known when it was begun. That store is then
            whole, and takes no further step.

        Raises
        ------
        LoaderError
            When nothing was recorded.
        """
        if self._writer is not None:
            self._stored = self._writer.commit() if self._stored is None else self._stored
            stored: xr.DataArray = store.open(self._stored)
            return stored
        if not self._blocks:
            raise LoaderError("no step was recorded: call this with the number of each step while training")
        whole = xr.concat(self._blocks, "time", combine_attrs="override")
        whole.attrs = dict(self._blocks[0].attrs)
        if len(self._blocks) > 1 and len(set(np.diff(whole["time"].values))) == 1:
            whole.attrs["sampling_rate"] = 1.0 / float(np.diff(whole["time"].values)[0])
        return whole

    def _at(self, step: int, model: torch.nn.Module) -> xr.DataArray:
        from neurointerp.loaders.activations import record

        rec = record(model, self._inputs, **self._options)
        if rec.ndim != 2:
            raise LoaderError(f"one value per trial and unit is needed, found {rec.dims}: pass pool=")
        sample = rec.dims[0]
        coords: dict[str, Any] = {}
        for name, coord in rec.coords.items():
            if name in ("time", "trial", "segment"):
                continue
            dims = tuple("trial" if dim == sample else dim for dim in coord.dims)
            coords[str(name)] = (dims, coord.values)
        attrs = {key: value for key, value in rec.attrs.items() if key not in ("sampling_rate", "modality", "units")}
        return recording(
            rec.values[:, None, :],
            modality="activations",
            units="1",
            dims=("trial", "time", "unit"),
            time=("time", np.array([step]), {"units": "step"}),
            unit=list(coords.pop("unit")[1]),
            coords=coords,
            attrs=attrs,
        )
