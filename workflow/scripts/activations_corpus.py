"""Rule corpus_cache: every hooked layer's rows of one shard of the corpus."""

from trimtab.jobs.entry import script

from pathlib import Path

from trimtab.activations.shards import write_shard
from trimtab.agent import protocols
from trimtab.agent.documents import documents
from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.model.rows import reader_of
from trimtab.settings.activations import CaptureSettings
from trimtab.settings.engine import EngineSettings


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
    engine: EngineSettings,
    checks: list[Path],
) -> None:
    """Write the shard's rows to `out`; documents go round the shards one by one."""
    described, reader, tokenizer = reader_of(manifest, engine)
    protocol = protocols.read(agent, tokenizer)
    prompts = list(documents(files.read_jsonl(corpus)[shard::shards], protocol, max_tokens))
    told = settings.record() | {"engine": engine.record(), "layers": layers, "shard": shard, "shards": shards}
    origin = provenance([manifest, corpus, *checks], told)
    write_shard(out, reader, prompts, layers, "all", described, settings, origin)


if __name__ == "__main__":
    script(main)
