"""Make a model ready to be called, and put it back as it was."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from neurointerp.errors import ModelError

if TYPE_CHECKING:
    import torch

SAMPLED = 64
"""Values per tensor that go into the fingerprint of a model."""


@dataclass(frozen=True)
class Run:
    """A model made ready to be called."""

    model: torch.nn.Module
    weights: dict[str, torch.Tensor] | None
    dtype: torch.dtype
    device: torch.device
    accepts: frozenset[str]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run one pass."""
        import torch

        if "use_cache" in self.accepts:
            kwargs["use_cache"] = False
        if self.weights is None:
            return self.model(*args, **kwargs)
        return torch.func.functional_call(self.model, self.weights, args, kwargs)


@contextmanager
def ready(model: torch.nn.Module, dtype: Any, device: Any) -> Iterator[Run]:
    """Put a model into evaluation mode, and back.

    Another dtype or device gets copies of the weights that are lent to each pass, so that the model's own
    never change (casting them there and back would round them).
    """
    import torch

    wanted = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if dtype is not None and not (isinstance(wanted, torch.dtype) and wanted.is_floating_point):
        raise ModelError(f"dtype {dtype!r} is not a floating-point type of torch, such as 'float32'")
    own = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    where = own.device if device is None else usable_device(device)
    weights = None
    if dtype is not None or device is not None:
        tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        weights = {name: cast(tensor.detach(), wanted, where) for name, tensor in tensors.items()}
    with evaluating(model):
        accepts = frozenset(inspect.signature(model.forward).parameters)
        yield Run(model, weights, own.dtype if wanted is None else wanted, where, accepts)


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Have all modules in evaluation mode (no dropout), then each in its own again."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def cast(tensor: torch.Tensor, dtype: torch.dtype | None, device: torch.device) -> torch.Tensor:
    """Move a tensor, and cast it where it holds floating-point numbers."""
    return tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else None)


def usable_device(device: Any) -> torch.device:
    """Give a device of torch that is there, or say why it cannot be used."""
    import torch

    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise ModelError(f"device {str(device)!r} cannot be used: {str(error).splitlines()[0]}") from error


def fingerprint(model: torch.nn.Module) -> str:
    """Give a text that tells a model's weights from others.

    Names, shapes and dtypes, 64 values of each tensor, evenly spaced, and the sum of the bits of all: one neuron that
    was silenced by hand makes another model.
    """
    import torch

    digest = hashlib.sha256(type(model).__name__.encode())
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        whole = tensor.detach()
        flat = (torch.view_as_real(whole.resolve_conj()) if whole.is_complex() else whole).reshape(-1)
        some = flat[:: max(flat.numel() // SAMPLED, 1)]
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(some.cpu().double().numpy().tobytes())
        digest.update(str(_bit_sum(flat)).encode())
    return digest.hexdigest()


def _bit_sum(flat: torch.Tensor) -> int:
    """Sum the bits of values, read as integers: exact, so that the order of adding up does not matter."""
    import torch

    as_int = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[flat.element_size()]
    return int(flat.contiguous().view(as_int).sum(dtype=torch.int64))
