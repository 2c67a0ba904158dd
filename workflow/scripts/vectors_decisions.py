"""Rule decisions: the decisions in all scenarios under one trait's vectors, at the same KL."""

from trimtab.jobs.entry import script

from pathlib import Path

from trimtab.agent import protocols
from trimtab.agent.calibration import Calibration, dose_conversations
from trimtab.agent.points import Decisions
from trimtab.agent.scenario import read_scenarios
from trimtab.artifacts import files
from trimtab.artifacts.kept import Kept
from trimtab.artifacts.provenance import provenance
from trimtab.forward.sites import Sites
from trimtab.model.source import from_manifest
from trimtab.prompts import resources
from trimtab.vectors import nulls
from trimtab.vectors.decisions import as_table, at_kl, charged, decisions, situations, under_draws
from trimtab.vectors.decoding import weights
from trimtab.vectors.written_rules import rule_of


def main(
    manifest: Path,
    calibration: Path,
    scenarios: Path,
    agent: Path,
    data: Path,
    out: Path,
    *,
    trait: str,
    vectors: list[Path],
    rules: list[Path],
    kl: float,
    decoding: list[str],
    kept: Path,
    code: str,
) -> None:
    """Write one row a method and scenario at each of its points, a numbered draw's at the trait's own; what never has
    this KL, or could not be made, is left out, as the log says. `rules` is at most one file."""
    described, model, tokenizer = from_manifest(manifest)
    protocol, passes = protocols.read(agent, tokenizer), Kept.of(kept, described, code)
    offsets, known = Calibration.read(calibration).offsets, Decisions.read(data / "decisions.yaml")
    read = situations(known.points, read_scenarios(scenarios))
    own = [each for each in read if each.point == known.point_of(trait)]
    edits, costs = at_kl(vectors, kl, Sites.of(described))
    request, free = resources.requests(data / "traits.yaml")[trait], resources.tasks(data / "tasks.yaml")["calibration"]
    sentences = [each.rule for path in rules for each in resources.rules(path).get(trait, {}).values()]
    ruled = rule_of(edits["mentor"], sentences) if "mentor" in edits else None
    baselines = weights(decoding, model, protocol, dose_conversations(free), request, kl)
    drawn = {name: edits.pop(name) for name in [*edits] if nulls.is_draw(name)}
    decided = decisions(model, protocol, offsets, read, edits, request, baselines, ruled, passes)
    under = under_draws(model, protocol, offsets, own, drawn, passes)
    told = [as_table(decided, trait, read, protocol.tools), as_table(under, trait, own, protocol.tools)]
    files.write_parquet(out, charged(told, costs), provenance([manifest, calibration, scenarios, *vectors], {"kl": kl}))
    passes.tidy()


if __name__ == "__main__":
    script(main)
