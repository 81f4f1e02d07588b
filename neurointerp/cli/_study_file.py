"""A study in a YAML file: which recordings, how they are matched, and which groups they form."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from neurointerp.errors import AnalysisError

if TYPE_CHECKING:
    import typer
    import xarray as xr
    import yaml

BESIDE = ("sources", "out", "mirror", "cache", "workers", "as_json")
"""What `compare` takes beside a study file, which does not state it."""


class Member(BaseModel):
    """One recording of a study: a dataset or a path, what a raw file does not state, its group and its subject."""

    model_config = ConfigDict(extra="forbid")
    source: str
    group: str | None = None
    subject: str | None = None
    modality: str | None = None
    units: str | None = None
    rate: float | None = None
    bin_width: float | None = None


class Study(BaseModel):
    """What a study file holds."""

    model_config = ConfigDict(extra="forbid")
    recordings: dict[str, Member | str] = Field(min_length=1)
    units: int = Field(ge=1)
    samples: int = Field(ge=1)
    nulls: int = Field(default=20, ge=2)
    resamples: int = Field(default=10, ge=0)
    rate: float | Literal["slowest"] | None = None
    quality: Literal["repeats", "units"] | None = None
    reliability: float | None = Field(default=None, gt=0, le=1)
    sensitivity: bool = False
    seed: int = 0

    def members(self) -> dict[str, Member]:
        """Give every recording in its long form."""
        return {name: Member(source=one) if isinstance(one, str) else one for name, one in self.recordings.items()}

    def labels(self, of: Literal["group", "subject"]) -> dict[str, str] | None:
        """Give the group or the subject of each recording, or None where none has one."""
        found = {name: getattr(one, of) for name, one in self.members().items()}
        given = {name: label for name, label in found.items() if label is not None}
        if given and len(given) < len(found):
            alone = next(name for name, label in found.items() if label is None)
            raise AnalysisError(f"study: {alone!r} has no {of}, and others have; give one to all or to none")
        return given or None


def is_study(sources: list[str] | None) -> bool:
    """Tell whether the arguments of `compare` are one study file."""
    return bool(sources) and len(sources or []) == 1 and Path((sources or [""])[0]).suffix in (".yaml", ".yml")


def read_study(path: str) -> Study:
    """Read and check a study file; every mistake in it is named at once."""
    import yaml

    try:
        text = Path(path).read_text("utf-8")
        if repeated := _repeated(yaml.compose(text, yaml.SafeLoader)):
            raise AnalysisError(f"study {path}: {repeated!r} is there twice; give each its own name")
        return Study.model_validate(yaml.safe_load(text))
    except OSError as error:
        raise AnalysisError(f"study {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise AnalysisError(f"study {path} is not YAML: {error}") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise AnalysisError(f"study {path}: {wrong}") from error


def _repeated(node: yaml.Node | None) -> str | None:
    """Give a key that a mapping of a file holds twice, of which YAML would keep the last without a word."""
    if not isinstance(getattr(node, "value", None), list):
        return None
    pairs = [one if isinstance(one, tuple) else (None, one) for one in node.value]  # type: ignore[union-attr]
    keys = [str(key.value) for key, _ in pairs if key is not None]
    here = next((key for key in keys if keys.count(key) > 1), None)
    return here or next(filter(None, (_repeated(value) for _, value in pairs)), None)


def refuse_beside(context: typer.Context) -> None:
    """Refuse options that a study states itself, also where they say what is the default: they would do nothing."""
    sources = {one: context.get_parameter_source(one.name or "") for one in context.command.params}
    given = [one.opts[0] for one, source in sources.items()
             if one.name not in BESIDE and source is not None and source.name == "COMMANDLINE"]  # fmt: skip
    if given:
        raise AnalysisError(f"compare: {', '.join(given)} beside a study file: it states them itself, change it there")


def recordings_of(study: Study, folder: Path, mirror: str | None) -> dict[str, xr.DataArray]:
    """Load the recordings of a study; paths are relative to its file."""
    from neurointerp import manifest
    from neurointerp.cli._sources import source_of

    known = manifest.datasets()
    out = {}
    for name, one in study.members().items():
        local = one.source.partition(":")[0] not in known and not Path(one.source).is_absolute()
        source = str(folder / one.source) if local else one.source
        rec = source_of(
            source, mirror=mirror, modality=one.modality, units=one.units, rate=one.rate, bin_width=one.bin_width
        )
        out[name] = rec.rename(name)
    return out
