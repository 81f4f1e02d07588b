"""Data in the pickled `.npy` files of suite2p, read without unpickling: the stream is walked, nothing is called."""

from __future__ import annotations

import pickletools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from neurointerp.errors import LoaderError
from neurointerp.loaders import files

MARK = object()
PUSHED = re.compile(r"(BIN)?INT[12]?|LONG[14]?|(BIN)?FLOAT|(SHORT_)?BINUNICODE8?|UNICODE|(SHORT_)?BINBYTES8?|.*STRING")
"""Operations that put the number, text or bytes beside them on the stack."""
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
ARRAY, SCALAR = (
    {f"numpy.core.multiarray {name}", f"numpy._core.multiarray {name}"} for name in ("_reconstruct", "scalar")
)
NUMBERS = re.compile(r"[biuf][1248]")


@dataclass(eq=False)
class Call:
    """What a stream would call, kept as data: a name, its arguments and the state set afterwards."""

    name: Any
    arguments: Any
    state: Any = None


def entries(path: Path) -> list[Any]:
    """Give the objects of a `.npy` file of dtype object: plain containers, numbers and texts, the rest as `Call`."""
    with files.reading(path, "an array of objects"), path.open("rb") as stream:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        _, _, dtype = read(stream)
        if not dtype.hasobject:
            raise LoaderError(f"{path}: objects are needed, found dtype {dtype}")
        held = _walk(stream)
        if not isinstance(held, Call) or held.name not in ARRAY or not isinstance(held.state[4], list):
            raise LoaderError(f"{path}: holds no array of objects")
        return held.state[4]


def numbers(value: Any) -> np.ndarray:
    """Give a number, list of numbers or array of the stream as a numpy array; anything else raises."""
    if isinstance(value, Call) and value.name in ARRAY:
        _, shape, dtype, fortran, data = value.state
        return np.frombuffer(_bytes(data), dtype=_dtype(dtype)).reshape(shape, order="F" if fortran else "C")
    if isinstance(value, Call) and value.name in SCALAR:
        return np.frombuffer(_bytes(value.arguments[1]), dtype=_dtype(value.arguments[0])).reshape(())
    if isinstance(value, list | tuple):
        return np.array([numbers(item) for item in value])
    if isinstance(value, bool | int | float):
        return np.array(value)
    raise ValueError(f"no number: {value.name if isinstance(value, Call) else type(value).__name__}")


def _dtype(value: Any) -> Any:
    if not (isinstance(value, Call) and value.name == "numpy dtype" and NUMBERS.fullmatch(str(value.arguments[0]))):
        raise ValueError("the array holds no numbers")
    order = value.state[1] if value.state else "="
    return np.dtype(value.arguments[0]).newbyteorder("=" if order == "|" else order)


def _bytes(value: Any) -> bytes:
    """Give bytes, which older protocols write as text in latin-1."""
    if isinstance(value, Call) and value.name == "_codecs encode":
        value = value.arguments[0]
    return value.encode("latin-1") if isinstance(value, str) else bytes(value)


def _walk(stream: IO[bytes]) -> Any:
    """Follow the operations of a pickle; whatever they would call stays a `Call`."""
    stack: list[Any] = []
    memo: dict[Any, Any] = {}
    for operation, argument, _ in pickletools.genops(stream):
        name = operation.name
        if name == "STOP":
            return stack.pop()
        if name in ("PROTO", "FRAME"):
            continue
        if PUSHED.fullmatch(name) or name in CONSTANTS:
            stack.append(CONSTANTS.get(name, argument))
        elif name == "MARK":
            stack.append(MARK)
        elif name.endswith("PUT") or name == "MEMOIZE":
            memo[len(memo) if name == "MEMOIZE" else argument] = stack[-1]
        elif name.endswith("GET"):
            stack.append(memo[argument])
        elif name in ("GLOBAL", "STACK_GLOBAL", "REDUCE", "NEWOBJ", "BUILD"):
            _call(name, argument, stack)
        else:
            _contain(name, stack)
    raise ValueError("the stream has no end")


def _call(name: str, argument: Any, stack: list[Any]) -> None:
    if name == "GLOBAL":
        stack.append(argument)
        return
    last = stack.pop()
    if name == "BUILD":
        if isinstance(stack[-1], Call):
            stack[-1].state = last
    elif name == "STACK_GLOBAL":
        stack[-1] = f"{stack[-1]} {last}"
    else:
        stack[-1] = Call(stack[-1], last)


def _contain(name: str, stack: list[Any]) -> None:
    """Make or fill a list, a dict or a tuple."""
    if name in ("EMPTY_LIST", "EMPTY_DICT", "EMPTY_TUPLE"):
        stack.append({"L": [], "D": {}, "T": ()}[name[6]])
    elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
        size = int(name[-1])
        stack[-size:] = [tuple(stack[-size:])]
    elif name in ("APPEND", "SETITEM"):
        size = 1 if name == "APPEND" else 2
        items = stack[-size:]
        del stack[-size:]
        _fill(stack[-1], items)
    elif name in ("TUPLE", "LIST", "DICT", "APPENDS", "SETITEMS"):
        begin = len(stack) - 1 - stack[::-1].index(MARK)
        items = stack[begin + 1 :]
        del stack[begin:]
        if name in ("APPENDS", "SETITEMS"):
            _fill(stack[-1], items)
        else:
            stack.append(tuple(items) if name == "TUPLE" else _fill([] if name == "LIST" else {}, items))
    else:
        raise ValueError(f"the operation {name} is not read")


def _fill(held: Any, items: list[Any]) -> Any:
    if isinstance(held, dict):
        held.update(zip(items[::2], items[1::2], strict=True))
    else:
        held.extend(items)
    return held
