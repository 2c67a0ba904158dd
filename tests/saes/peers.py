"""Run by test_interop beside the peers' own packages, once: what their readers make of our dictionaries, and theirs."""

import json
import os
import sys
from pathlib import Path

os.environ["SPARSIFY_DISABLE_TRITON"] = "1"

import torch
from safetensors.torch import load_file, save_file


def saelens(path, rows):
    from sae_lens import SAE

    sae = SAE.load_from_disk(path, device="cpu")
    return sae.encode(rows), sae(rows)


def saelens_from_sparsify(path, rows):
    from sae_lens import SAE
    from sae_lens.loading.pretrained_sae_loaders import sparsify_disk_loader

    sae = SAE.load_from_disk(path, device="cpu", converter=sparsify_disk_loader, dtype="float32")
    return sae.encode(rows), sae(rows)


def sparsify(path, rows):
    from sparsify import SparseCoder

    sae = SparseCoder.load_from_disk(path)
    out = sae(rows)
    latents = torch.zeros(len(rows), sae.num_latents).scatter(1, out.latent_indices, out.latent_acts)
    return latents, out.sae_out


def dictionary_learning(path, rows):
    from dictionary_learning.dictionary import JumpReluAutoEncoder
    from dictionary_learning.trainers.top_k import AutoEncoderTopK

    kind = json.loads((Path(path) / "config.json").read_text())["trainer"]["dict_class"]
    classes = {"AutoEncoderTopK": AutoEncoderTopK, "JumpReluAutoEncoder": JumpReluAutoEncoder}
    sae = classes[kind].from_pretrained(str(Path(path) / "ae.pt"))
    return sae.encode(rows), sae(rows)


def write_theirs(folder):
    """Dictionaries as the peers themselves save them, each with what it makes of the same rows."""
    from dictionary_learning.trainers.batch_top_k import BatchTopKSAE
    from dictionary_learning.trainers.top_k import AutoEncoderTopK
    from sae_lens import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig, TopKTrainingSAE, TopKTrainingSAEConfig
    from sparsify import SparseCoder, SparseCoderConfig

    torch.manual_seed(0)
    rows = 3 * torch.randn(50, 6)
    results = {"rows": rows}

    def shake(module):
        for parameter in module.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)

    sae = SparseCoder(6, SparseCoderConfig(num_latents=20, k=4))
    shake(sae)
    sae.save_to_disk(folder / "sparsify")
    results["sparsify"] = sae(rows).sae_out

    for name, kind in (("AutoEncoderTopK", AutoEncoderTopK), ("BatchTopKSAE", BatchTopKSAE)):
        sae = kind(6, 20, 4)
        shake(sae)
        sae.threshold.fill_(0.5)
        (folder / name).mkdir()
        torch.save(sae.state_dict(), folder / name / "ae.pt")
        (folder / name / "config.json").write_text(json.dumps({"trainer": {"dict_class": name}}))
        results[name] = sae(rows)

    for name, sae in {
        "saelens_topk": TopKTrainingSAE(TopKTrainingSAEConfig(d_in=6, d_sae=20, k=4)),
        "saelens_batchtopk": BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(d_in=6, d_sae=20, k=4)),
    }.items():
        shake(sae)
        if name == "saelens_batchtopk":
            sae.topk_threshold.fill_(0.5)
        sae.save_inference_model(str(folder / name))
        results[name] = saelens(folder / name, rows)[1]
    save_file({name: tensor.detach().contiguous() for name, tensor in results.items()}, folder / "results.safetensors")


READERS = {"saelens": saelens, "sparsify": sparsify, "dictionary_learning": dictionary_learning}


def main(folder):
    """Read what lies in `ours`, write `theirs`, and say what SAELens makes of a dictionary of sparsify."""
    rows = load_file(folder / "rows.safetensors")["rows"]
    for path in sorted((folder / "ours").iterdir()):
        latents, reconstruction = READERS[path.name.partition(".")[0]](path, rows)
        found = {"latents": latents.to_dense().contiguous(), "reconstruction": reconstruction.contiguous()}
        save_file(found, folder / f"{path.name}.safetensors")
    (folder / "theirs").mkdir()
    write_theirs(folder / "theirs")
    try:
        saelens_from_sparsify(folder / "layers.5", rows)
    except Exception as error:
        (folder / "misread").write_text(str(error))


if __name__ == "__main__":
    with torch.no_grad():
        main(Path(sys.argv[1]))
