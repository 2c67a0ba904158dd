"""Rule contrast_cache: every hooked layer at the last token of one trait's contrast prompts."""

from trimtab.jobs.entry import script

from pathlib import Path

from trimtab.activations.shards import write_shard
from trimtab.agent import protocols
from trimtab.agent.calibration import as_prompt
from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.model.rows import reader_of
from trimtab.settings.activations import CaptureSettings
from trimtab.settings.engine import EngineSettings


def main(
    manifest: Path,
    contrast: Path,
    agent: Path,
    out: Path,
    *,
    kind: str,
    layers: list[int],
    settings: CaptureSettings,
    engine: EngineSettings,
    checks: list[Path],
) -> None:
    """Write one row a prompt of `kind` and layer to `out`."""
    described, reader, tokenizer = reader_of(manifest, engine)
    protocol = protocols.read(agent, tokenizer)
    rows = [row for row in files.read_jsonl(contrast) if row["kind"] == kind]
    prompts = [as_prompt(row["id"], protocol.prompt(row["messages"])) for row in rows]
    told = settings.record() | {"engine": engine.record(), "kind": kind, "layers": layers}
    origin = provenance([manifest, contrast, *checks], told)
    write_shard(out, reader, prompts, layers, "last", described, settings, origin)


if __name__ == "__main__":
    script(main)
