"""Quality figures on a tiny random model, with dictionaries whose figures are known beforehand."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from trimtab.activations.capture import Prompt
from trimtab.errors import TrimtabError
from trimtab.residual import capture, replace
from trimtab.saes.quality import Gates, measure
from trimtab.saes.topk import TopKSAE

D = 16
IDS = [torch.randint(60, (n,), generator=torch.Generator().manual_seed(n)).tolist() for n in (9, 30, 5, 17, 2)]
DOCUMENTS = [Prompt(str(len(ids)), ids) for ids in IDS]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=60, hidden_size=D, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2)
    config.initializer_range = 0.5
    return LlamaForCausalLM(config).eval().requires_grad_(False)


def perfect(b_dec):
    """Each latent and its opposite are a coordinate's two signs: the reconstruction is exact."""
    both = torch.cat([torch.eye(D), -torch.eye(D)])
    return TopKSAE(both.T.contiguous(), torch.zeros(2 * D), both, b_dec, k=D)


def blind(b_dec):
    """No latent ever fires: the reconstruction is the bias."""
    sae = perfect(b_dec)
    return TopKSAE(sae.W_enc, torch.full((2 * D,), -1e6), sae.W_dec, b_dec, k=1)


def rows_behind_the_first(model, layer):
    return torch.cat([capture(model, [layer], input_ids=torch.tensor([d]))[layer][0, 1:] for d in IDS if len(d) > 2])


def test_an_exact_dictionary_loses_nothing(model):
    figures = measure(model, {1: perfect(torch.zeros(D))}, DOCUMENTS)[1]
    assert figures.n_tokens == 8 + 29 + 4 + 16
    assert figures.explained_variance == pytest.approx(1)
    assert figures.normalised_mse == pytest.approx(0, abs=1e-9)
    assert figures.l0 == pytest.approx(D)
    assert figures.ce_sae == pytest.approx(figures.ce_clean, abs=1e-5)
    assert figures.loss_recovered == pytest.approx(1, abs=1e-4)
    assert figures.dense_share == 1


def test_a_blind_dictionary_is_the_ablation(model):
    mean = rows_behind_the_first(model, 1).mean(0)
    figures = measure(model, {1: blind(mean)}, DOCUMENTS)[1]
    assert figures.explained_variance == pytest.approx(0, abs=1e-6)
    assert figures.loss_recovered == pytest.approx(0, abs=1e-6)
    assert (figures.l0, figures.dead_share, figures.dense_share) == (0, 1, 0)


def test_variance_is_taken_about_the_mean_not_about_the_bias(model):
    rows = rows_behind_the_first(model, 0)
    bias = rows.mean(0) + 3
    error = (rows - bias).square().sum() / (rows - rows.mean(0)).square().sum()
    figures = measure(model, {0: blind(bias)}, DOCUMENTS)[0]
    assert figures.explained_variance == pytest.approx(1 - float(error), rel=1e-4)


def test_clean_cross_entropy_equals_the_models_own_document_by_document(model):
    total, tokens = 0.0, 0
    for document in IDS:
        if len(document) > 2:
            ids = torch.tensor([document])
            losses = torch.nn.functional.cross_entropy(model(ids).logits[0, 1:-1], ids[0, 2:], reduction="none")
            total, tokens = total + float(losses.sum()), tokens + len(losses)
    figures = measure(model, {0: perfect(torch.zeros(D))}, DOCUMENTS)[0]
    assert figures.ce_clean == pytest.approx(total / tokens, rel=1e-5)


def test_a_context_is_read_but_neither_measured_nor_replaced(model):
    ids = IDS[1]
    split = [Prompt("a", ids[10:], tuple(ids[:10]))]
    mean = rows_behind_the_first(model, 1).mean(0)
    figures = measure(model, {1: blind(mean)}, split)[1]
    assert figures.n_tokens == 20

    def ablate(stream):
        stream[:, 10:] = mean
        return stream

    with replace(model, 1, ablate):
        logits = model(torch.tensor([ids])).logits[0, 10:-1]
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor(ids[11:]))
    assert figures.ce_ablated == pytest.approx(float(expected), rel=1e-5)


def test_documents_that_predict_nothing_are_refused(model):
    with pytest.raises(TrimtabError, match="three tokens or more"):
        measure(model, {0: perfect(torch.zeros(D))}, [Prompt("a", [1]), Prompt("b", [1, 2])])


def test_gates(model):
    figures = measure(model, {1: perfect(torch.zeros(D))}, DOCUMENTS)[1]
    assert Gates(0.35, 0.7, 0.4).pass_by(figures)
    assert not Gates(0.35, 0.7, 0.4).pass_by(figures._replace(dead_share=0.5))
    assert not Gates(0.35, 0.7, 0.4).pass_by(figures._replace(loss_recovered=float("nan")))
