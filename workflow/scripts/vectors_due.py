"""Rule due: what the agent is about to do at one trait's contrast prompts, and the rows there."""

from trimtab.jobs.entry import script

from pathlib import Path

from trimtab.agent import protocols
from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.forward.sites import Sites
from trimtab.model.source import from_manifest
from trimtab.vectors.due import development, due, table


def main(manifest: Path, contrast: Path, agent: Path, out: Path, *, kind: str, layers: list[int]) -> None:
    """Write one row a prompt of `kind` and of a development template to `out`."""
    described, model, tokenizer = from_manifest(manifest)
    protocol = protocols.read(agent, tokenizer)
    prompts = {row["id"]: due(protocol, row["messages"]) for row in development(contrast, kind)}
    found = table(model, protocol, prompts, Sites.of(described).of_layers(layers))
    files.write_parquet(out, found, provenance([manifest, contrast], {"kind": kind, "layers": layers}))


if __name__ == "__main__":
    script(main)
