"""`python -m trimtab.vectors export --format gguf FILE OUT`: vectors and edits for other tools."""

from pathlib import Path

from trimtab.errors import TrimtabError
from trimtab.jobs import entry
from trimtab.vectors import export as tools
from trimtab.vectors import weights


def export(
    file: Path,
    out: Path,
    *,
    format: str,
    length: float | None = None,
    model_type: str = "llama",
    layers: int | None = None,
    dose: float | None = None,
    model: Path | None = None,
) -> None:
    """Write FILE (results/<experiment>/vectors/<method>/<trait>.safetensors) as another tool's file.

    --format, of a vector: gguf, repeng, vllm-lens, easysteer or persona_vectors, with --length: L2 length of what the
    tool adds at strength 1 (1); --model-type: config.json's model_type, a hint for the tool; --layers: the model's
    number of layers (persona_vectors). Edits that all add a vector after a layer go to the same formats, with --dose:
    the share of the edits (1). --format, of edits of weights: peft, a LoRA adapter, or model, the whole model
    with edited weights, each a new folder, with --model: a run's model/manifest.json or the model's folder, and
    --dose.
    """
    if format in weights.FORMATS:
        if model is None or length is not None:
            raise TrimtabError(f"--format {format}: expected --model and a --dose, and no --length")
        weights.export(file, out, format, 1.0 if dose is None else dose, model)
    elif format in tools.FORMATS:
        if model is not None:
            raise TrimtabError(f"--format {format}: expected a --length or, of edits, a --dose, and no --model")
        tools.export(file, out, format, length, dose, model_type, layers)
    else:
        raise TrimtabError(f"--format {format}: expected one of {', '.join([*tools.FORMATS, *weights.FORMATS])}")


if __name__ == "__main__":
    entry.commands(export=export)
