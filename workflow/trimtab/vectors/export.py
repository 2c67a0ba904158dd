"""A vector as a file of another tool.

Layers count from 0 here, and a vector belongs to the output of its layer. GGUF control vectors (llama.cpp, repeng,
EasySteer) and vllm-lens count the same way; persona_vectors keeps a row for the embedding first. llama.cpp refuses a
whole file that holds layer 0. These tools add what they are given, so a vector leaves at the length asked for.
"""

import base64
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from trimtab.artifacts import files
from trimtab.errors import TrimtabError
from trimtab.vectors.artifact import Vector, read_vector

ARCHITECTURE = "controlvector"


def export(source: Path, target: Path, form: str, length: float, model_type: str, layers: int | None) -> None:
    """Write the vector at `source` to `target`.

    Args:
        form: a name in FORMATS.
        length: L2 length of what the tool will add, in the units of the residual stream.
        model_type: what `transformers` calls the model's kind (`llama`); only a hint to the tools.
        layers: the model's number of layers, for persona_vectors.

    Raises:
        TrimtabError: a layer that the format can't hold, or a length that isn't finite and above 0.
    """
    vector = read_vector(source)
    scaled = (length * vector.unit.double()).float()
    # a length may be a number and overflow in the files' float32, or vanish there
    if not (length > 0 and scaled.isfinite().all() and scaled.any()):
        raise TrimtabError(f"--length {length:g}: expected a length above 0 that float32 holds")
    with files.atomic(target) as temporary:
        FORMATS[form](temporary, vector, scaled.numpy(), model_type, layers)


def _gguf(
    path: Path, vector: Vector, scaled: Float[np.ndarray, " d_model"], model_type: str, layers: int | None
) -> None:
    if vector.layer == 0:
        raise TrimtabError(f"{vector.path}: is of layer 0, which llama.cpp's control vectors can't hold")
    _write_gguf(path, vector, scaled, model_type, {})


def _easysteer(
    path: Path, vector: Vector, scaled: Float[np.ndarray, " d_model"], model_type: str, layers: int | None
) -> None:
    _write_gguf(path, vector, scaled, model_type, {"method": vector.method})


def _write_gguf(
    path: Path, vector: Vector, scaled: Float[np.ndarray, " d_model"], model_type: str, more: dict[str, str]
) -> None:
    from gguf import GGUFWriter

    writer = GGUFWriter(path, ARCHITECTURE)
    writer.add_string(f"{ARCHITECTURE}.model_hint", model_type)
    writer.add_uint32(f"{ARCHITECTURE}.layer_count", 1)
    for key, value in more.items():
        writer.add_string(f"{ARCHITECTURE}.{key}", value)
    writer.add_tensor(f"direction.{vector.layer}", scaled)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _vllm_lens(
    path: Path, vector: Vector, scaled: Float[np.ndarray, " d_model"], model_type: str, layers: int | None
) -> None:
    data = base64.b64encode(scaled.astype("<f4").tobytes()).decode()
    record = {
        "activations": {"data": data, "dtype": "float32", "shape": [1, len(scaled)]},
        "layer_indices": [vector.layer],
        "scale": 1.0,
        "norm_match": False,
        "position_indices": None,
    }
    path.write_text(files.canonical(record) + "\n")


def _persona_vectors(
    path: Path, vector: Vector, scaled: Float[np.ndarray, " d_model"], model_type: str, layers: int | None
) -> None:
    if layers is None or not vector.layer < layers:
        raise TrimtabError(
            f"--layers {layers}: {vector.path} is of layer {vector.layer}; give the model's number of layers"
        )
    table = torch.zeros(layers + 1, len(scaled))
    table[vector.layer + 1] = torch.from_numpy(scaled)
    buffer = io.BytesIO()
    torch.save(table, buffer)
    path.write_bytes(buffer.getvalue())


Writer = Callable[[Path, Vector, np.ndarray, str, int | None], None]
FORMATS: dict[str, Writer] = {
    "gguf": _gguf,
    "repeng": _gguf,
    "vllm-lens": _vllm_lens,
    "easysteer": _easysteer,
    "persona_vectors": _persona_vectors,
}
