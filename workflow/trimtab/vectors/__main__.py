"""`python -m trimtab.vectors export --format gguf FILE OUT`: vectors for other tools, from the command line."""

from pathlib import Path

from trimtab.jobs import entry
from trimtab.vectors import export as tools


def export(
    file: Path, out: Path, *, format: str, length: float = 1.0, model_type: str = "llama", layers: int | None = None
) -> None:
    """Write FILE (results/<experiment>/vectors/<method>/<trait>.safetensors) as another tool's file.

    --format: gguf, repeng, vllm-lens, easysteer or persona_vectors; --length: L2 length of what the tool adds at
    strength 1; --model-type: config.json's model_type, a hint for the tool; --layers: the model's number of layers
    (persona_vectors).
    """
    tools.export(file, out, format, length, model_type, layers)


if __name__ == "__main__":
    entry.commands(export=export)
