"""Rule preflight: does this stack compute what the later stages take for granted?"""

from trimtab.jobs.entry import script

from dataclasses import asdict
from pathlib import Path

from trimtab.agent import protocols
from trimtab.agent.calibration import prompts_of
from trimtab.artifacts import files
from trimtab.artifacts.manifest import Manifest
from trimtab.artifacts.provenance import provenance
from trimtab.forward.sites import Sites
from trimtab.model.judged import judge
from trimtab.model.manifest import check_layers
from trimtab.model.preflight import preflight
from trimtab.model.products import products
from trimtab.model.reference import reference
from trimtab.model.source import from_manifest, plain_of
from trimtab.model.stack import stack
from trimtab.model.tokenizer import tokenizer_of
from trimtab.prompts import resources
from trimtab.settings.model import PreflightSettings

PROMPTS = 4


def main(
    manifest: Path, agent: Path, tasks: Path, out: Path, *, layers: list[int], settings: PreflightSettings
) -> None:
    """Write every check and its figure to `out`; a failed check that isn't accepted fails the rule."""
    entry = Manifest.read(manifest)
    check_layers(layers, entry)
    sites = Sites.of(entry)
    protocol = protocols.read(agent, tokenizer_of(manifest))
    prompts = [[*p.context[-64:], *p.tokens] for p in prompts_of(protocol, resources.tasks(tasks)["calibration"])]
    ordered = sorted(prompts, key=len)[:: max(1, len(prompts) // PROMPTS)]
    # gone before the next is loaded, so that no two models stand in memory
    wanted = reference(plain_of(manifest), ordered, layers, sites)
    described, model, _ = from_manifest(manifest)
    found = preflight(model, ordered, layers, wanted, sites, Sites.beside(described))
    found += products(model, ordered[0], described)
    checks = judge(found, model, settings.accepted_failures, str(manifest))
    files.write_json(
        out,
        {
            "checks": [asdict(c) for c in checks],
            "stack": stack(model),
            "provenance": provenance([manifest], {**settings.record(), "layers": layers}),
        },
    )


if __name__ == "__main__":
    script(main)
