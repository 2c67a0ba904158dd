"""Rule preflight: does this stack compute what the later stages take for granted?"""

from dataclasses import asdict
from pathlib import Path

import torch

from trimtab import files
from trimtab.entry import script
from trimtab.errors import TrimtabError
from trimtab.model.preflight import preflight
from trimtab.model.source import from_manifest
from trimtab.prompts import resources
from trimtab.provenance import provenance
from trimtab.rollouts.calibration import prompts_of
from trimtab.rollouts.protocol import FewShotProtocol

PROMPTS = 4


def main(manifest: Path, few_shot: Path, tasks: Path, out: Path, *, layers: list[int]) -> None:
    """Write every check and its figure to `out`; a failed check fails the rule."""
    _, model, tokenizer = from_manifest(manifest)
    protocol = FewShotProtocol.read(few_shot, tokenizer)
    prompts = [[*p.context[-64:], *p.tokens] for p in prompts_of(protocol, resources.tasks(tasks)["calibration"])]
    checks = preflight(model, sorted(prompts, key=len)[:: max(1, len(prompts) // PROMPTS)], layers)
    failed = [check for check in checks if not check.passed]
    if failed:
        raise TrimtabError(
            "\n".join(
                f"{manifest}: preflight, {c.name}: {c.detail} {c.figure:.3g}, expected at most {c.tolerance:.3g}"
                for c in failed
            )
        )
    stack = {
        "torch": torch.__version__,
        "attention": model.config._attn_implementation,
        "cuda": torch.cuda.is_available(),
    }
    files.write_json(
        out,
        {
            "checks": [asdict(c) for c in checks],
            "stack": stack,
            "provenance": provenance([manifest], {"layers": layers}),
        },
    )


if __name__ == "__main__":
    script(main)
