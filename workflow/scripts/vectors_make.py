"""Rule vectors: every method's direction for one trait at the layer its probe chose, with its doses calibrated."""

import json
from pathlib import Path
from typing import Any

from trimtab import files, tensors
from trimtab.activations.reader import require_all
from trimtab.entry import script
from trimtab.model.source import from_manifest
from trimtab.prompts import resources
from trimtab.provenance import provenance
from trimtab.rollouts.calibration import segments_of
from trimtab.rollouts.protocol import FewShotProtocol
from trimtab.vectors.dose import CalibrationPrompts, measured_doses
from trimtab.vectors.makers import make
from trimtab.vectors.material import gather, held_out_gap


def main(
    manifest: Path,
    contrast: Path,
    cache: Path,
    probe: Path,
    weights: Path,
    few_shot: Path,
    tasks: Path,
    folder: Path,
    *,
    trait: str,
    methods: list[str],
    saes: Path,
    kind: str,
    doses: list[float],
    unit: str,
    seed: int,
) -> None:
    """Write `<folder>/<method>/<trait>.safetensors` for every method; `saes` is the folder of all layers' SAEs."""
    described, model, tokenizer = from_manifest(manifest)
    require_all([cache], described)
    protocol = FewShotProtocol.read(few_shot, tokenizer)
    material = gather(trait, files.read_json(probe), weights, contrast, cache, saes, kind, seed)
    # every other task: the KL of two dozen pushes is most of this job's time
    prompts = CalibrationPrompts(model, segments_of(protocol, resources.tasks(tasks)["calibration"])[::2])
    norm = described["residual_norm"][str(material.layer)]
    dictionary = saes / str(material.layer) / "sae_weights.safetensors"
    origin = provenance([manifest, contrast, cache, probe, weights, dictionary], {"kind": kind, "unit": unit}, seed)
    for method in methods:
        direction = make(method, material)
        calibrated = measured_doses(prompts, direction, material.layer, doses, unit, norm["centred_mean"])
        metadata: dict[str, Any] = {
            "method": method,
            "trait": trait,
            "layer": material.layer,
            "model": described["model"],
            "sign": "a positive dose moves towards the high pole",
            "raw_norm": direction.raw_norm,
            "residual_norm": norm,
            "dose_calibration": calibrated,
            "held_out_gap": held_out_gap(direction, contrast, cache, material.layer, kind),
            "provenance": origin,
        }
        texts = {key: value if isinstance(value, str) else files.canonical(value) for key, value in metadata.items()}
        tensors.save(folder / method / f"{trait}.safetensors", {f"direction.{material.layer}": direction.unit}, texts)
        print(json.dumps({"method": method, "layer": material.layer, "doses": calibrated}))


if __name__ == "__main__":
    script(main)
