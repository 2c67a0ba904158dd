"""Rule contrast_cache: every hooked layer at the last token of one trait's contrast prompts."""

from trimtab.jobs.entry import script

from pathlib import Path

from trimtab.activations.shards import write_shard
from trimtab.agent import protocols
from trimtab.agent.calibration import as_prompt
from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.model.source import from_manifest
from trimtab.settings.activations import CaptureSettings


def main(
    manifest: Path, contrast: Path, agent: Path, out: Path, *, kind: str, layers: list[int], settings: CaptureSettings
) -> None:
    """Write one row a prompt of `kind` and layer to `out`."""
    described, model, tokenizer = from_manifest(manifest)
    protocol = protocols.read(agent, tokenizer)
    rows = [row for row in files.read_jsonl(contrast) if row["kind"] == kind]
    prompts = [as_prompt(row["id"], protocol.prompt(row["messages"])) for row in rows]
    origin = provenance([manifest, contrast], {**settings.record(), "kind": kind, "layers": layers})
    write_shard(out, model, prompts, layers, "last", described, settings, origin)


if __name__ == "__main__":
    script(main)
