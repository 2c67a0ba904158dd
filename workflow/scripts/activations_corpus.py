"""Rule corpus_cache: every hooked layer's rows of one shard of the corpus."""

from trimtab.jobs.entry import script

from pathlib import Path

from trimtab.activations.shards import write_shard
from trimtab.agent import protocols
from trimtab.agent.documents import documents
from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.model.source import from_manifest
from trimtab.settings.activations import CaptureSettings


def main(
    manifest: Path,
    corpus: Path,
    agent: Path,
    out: Path,
    *,
    shard: int,
    shards: int,
    max_tokens: int,
    layers: list[int],
    settings: CaptureSettings,
) -> None:
    """Write the shard's rows to `out`; documents go round the shards one by one."""
    described, model, tokenizer = from_manifest(manifest)
    protocol = protocols.read(agent, tokenizer)
    prompts = list(documents(files.read_jsonl(corpus)[shard::shards], protocol, max_tokens))
    origin = provenance([manifest, corpus], {**settings.record(), "layers": layers, "shard": shard, "shards": shards})
    write_shard(out, model, prompts, layers, "all", described, settings, origin)


if __name__ == "__main__":
    script(main)
