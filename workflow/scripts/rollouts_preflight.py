"""Rule engine_preflight: does vLLM, on this machine, compute what transformers computes, steered and not?"""

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
from trimtab.model.reference import reference
from trimtab.model.source import DTYPES, plain_of
from trimtab.model.tokenizer import tokenizer_of
from trimtab.prompts import resources
from trimtab.rollouts.served.client import VllmServer
from trimtab.rollouts.served.preflight import served_checks
from trimtab.settings.engine import EngineSettings
from trimtab.settings.model import PreflightSettings

PROMPTS, TOKENS = 4, 64


def main(
    manifest: Path,
    agent: Path,
    tasks: Path,
    out: Path,
    *,
    layers: list[int],
    settings: PreflightSettings,
    engine: EngineSettings,
) -> None:
    """Write every check and its figure to `out`; a failed check that isn't accepted fails the rule."""
    described = Manifest.read(manifest)
    protocol, sites = protocols.read(agent, tokenizer_of(manifest)), Sites.of(described)
    spare = prompts_of(protocol, resources.tasks(tasks)["calibration"])[:PROMPTS]
    prompts = [[*each.context[-TOKENS:], *each.tokens] for each in spare]
    wanted = reference(plain_of(manifest), prompts, layers, sites)
    longest = max(map(len, prompts)) + 1
    server = VllmServer(Path(described.path), described.dtype, longest, engine)
    found = served_checks(server, prompts, wanted, described.d_model, DTYPES[described.dtype], sites)
    checks = judge(found, None, settings.accepted_failures, str(manifest))
    origin = provenance([manifest], {**settings.record(), **engine.record(), "layers": layers})
    files.write_json(out, {"checks": [asdict(check) for check in checks], "provenance": origin})


if __name__ == "__main__":
    script(main)
