"""The manifest: what the model is, by hash and by measurement, for every later artifact to cite (model/manifest.json).

It is made once, by `trimtab.model.manifest`; whether the model's folder is still as it says is seen by
`trimtab.model.folder`, and which sites it means, by `trimtab.forward.sites`. Nothing here needs torch: the workflow's
start and jobs without a model read manifests.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

from trimtab.artifacts import files
from trimtab.errors import TrimtabError


@dataclass(frozen=True)
class ResidualNorm:
    """L2 norms of a layer's rows, sinks left out (`trimtab.model.norms`)."""

    mean: float
    centred_mean: float
    """Mean distance from the layer's mean row: what a dose of 1 comes to."""
    quantiles: dict[str, float]
    """Of the plain norm."""
    sink_share: float
    top_dimension_share: float
    """Share of the variance that the most variable dimension holds; near 1 means a constant dominates the layer."""
    rows: int


@dataclass(frozen=True)
class ReadAt:
    """Sites that an experiment reads and steers, where they aren't the residual stream."""

    kind: str
    """One of the names in `modules`."""
    modules: Mapping[str, tuple[str, ...]]
    """Of each kind of such sites, the module of every layer whose output it is."""

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> "ReadAt":
        """From the file's entry `site`."""
        return cls(entry["kind"], {name: tuple(own) for name, own in entry.items() if name != "kind"})

    def record(self) -> dict[str, Any]:
        """The file's entry."""
        return {"kind": self.kind, **{name: list(own) for name, own in self.modules.items()}}


@dataclass(frozen=True)
class Manifest:
    model: str
    """The config's `model.source`."""
    revision: str | None
    """The commit of a hub id."""
    path: str
    """The local folder that it is loaded from."""
    weights: Mapping[str, str]
    """SHA-256 of each file of weights, by its name."""
    architecture: str
    """The class of `transformers` that runs it."""
    parameters: int
    layers: int
    """How many decoder layers it has."""
    d_model: int
    """Width of the residual stream."""
    vocabulary: int
    context_length: int | None
    """Tokens of the longest sequence; None for a model that reads sequences of any length."""
    dtype: str
    device: str
    """cpu, cuda or auto."""
    chat_template: bool
    """Whether its tokenizer has one."""
    protocol: str
    """How the agent is asked on whose prompts norms were measured: a resource's name."""
    residual_norm: Mapping[int, ResidualNorm]
    """Of every layer, on the calibration prompts."""
    provenance: Mapping[str, Any]
    files: Mapping[str, str] | None = None
    """SHA-256 of each other file that makes the model; None in a manifest of an earlier version."""
    site: ReadAt | None = None
    """None for the residual stream."""

    @property
    def weights_digest(self) -> str:
        """One digest of all its files of weights: what later artifacts say of the model that they are of."""
        return hashlib.sha256(files.canonical(self.weights).encode()).hexdigest()

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """
        Raises:
            TrimtabError: the file holds something else.
        """
        found = files.read_json(path)
        for field in fields(cls):
            if field.default is MISSING and field.name not in found:
                raise TrimtabError(f"{path}: has no {field.name}; expected a run's model/manifest.json")
        known = {field.name: found[field.name] for field in fields(cls) if field.name in found}
        norms = {int(layer): ResidualNorm(**norm) for layer, norm in found["residual_norm"].items()}
        site = ReadAt.of(found["site"]) if "site" in found else None
        return cls(**known | {"residual_norm": norms, "site": site})

    def record(self) -> dict[str, Any]:
        """As the file holds it."""
        found = asdict(self)
        found["residual_norm"] = {str(layer): norm for layer, norm in found["residual_norm"].items()}
        found["site"] = None if self.site is None else self.site.record()
        # keys of what there may not be
        absent = {field.name for field in fields(self) if field.default is None and found[field.name] is None}
        return {name: value for name, value in found.items() if name not in absent}

    def write(self, path: Path) -> None:
        files.write_json(path, self.record())
