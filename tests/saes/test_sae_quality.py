"""Quality figures on a tiny random model, with dictionaries whose figures are known beforehand."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from trimtab.errors import TrimtabError
from trimtab.forward.capture import Prompt
from trimtab.forward.hooks import capture, replace
from trimtab.forward.sites import ATTENTION_OUT, MLP_OUT, RESIDUAL, Sites
from trimtab.saes.geometry import DENSITY_EDGES, Geometry, nearest_cosines
from trimtab.saes.quality import failed_gates, measure
from trimtab.saes.sae import SAE, TopKActivation
from trimtab.settings.saes import GateSettings

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
    return SAE(both.T.contiguous(), torch.zeros(2 * D), both, b_dec, TopKActivation(D))


def blind(b_dec):
    """No latent ever fires: the reconstruction is the bias."""
    sae = perfect(b_dec)
    return SAE(sae.W_enc, torch.full((2 * D,), -1e6), sae.W_dec, b_dec, TopKActivation(1))


def figures_of(model, saes, documents=DOCUMENTS, baselines=None):
    return measure(model, saes, documents, baselines or {layer: {} for layer in saes})


def rows_behind_the_first(model, layer):
    return torch.cat([capture(model, [layer], input_ids=torch.tensor([d]))[layer][0, 1:] for d in IDS if len(d) > 2])


def test_an_exact_dictionary_loses_nothing(model):
    figures = figures_of(model, {1: perfect(torch.zeros(D))})[1]
    assert figures.kept.n_tokens == 8 + 29 + 4 + 16
    assert figures.kept.explained_variance == pytest.approx(1)
    assert figures.kept.normalised_mse == pytest.approx(0, abs=1e-9)
    assert figures.kept.l0 == pytest.approx(D)
    assert figures.sae.cross_entropy == pytest.approx(figures.clean, abs=1e-5)
    assert figures.loss_recovered == pytest.approx(1, abs=1e-4)
    assert figures.kept.dense_share == 1


def test_a_blind_dictionary_is_the_ablation(model):
    mean = rows_behind_the_first(model, 1).mean(0)
    figures = figures_of(model, {1: blind(mean)})[1]
    assert figures.kept.explained_variance == pytest.approx(0, abs=1e-6)
    assert figures.loss_recovered == pytest.approx(0, abs=1e-6)
    assert (figures.kept.l0, figures.kept.dead_share, figures.kept.dense_share) == (0, 1, 0)


def test_variance_is_taken_about_the_mean_not_about_the_bias(model):
    rows = rows_behind_the_first(model, 0)
    bias = rows.mean(0) + 3
    error = (rows - bias).square().sum() / (rows - rows.mean(0)).square().sum()
    figures = figures_of(model, {0: blind(bias)})[0]
    assert figures.kept.explained_variance == pytest.approx(1 - float(error), rel=1e-4)


def test_clean_cross_entropy_equals_the_models_own_document_by_document(model):
    total, tokens = 0.0, 0
    for document in IDS:
        if len(document) > 2:
            ids = torch.tensor([document])
            losses = torch.nn.functional.cross_entropy(model(ids).logits[0, 1:-1], ids[0, 2:], reduction="none")
            total, tokens = total + float(losses.sum()), tokens + len(losses)
    figures = figures_of(model, {0: perfect(torch.zeros(D))})[0]
    assert figures.clean == pytest.approx(total / tokens, rel=1e-5)


def test_a_context_is_read_but_neither_measured_nor_replaced(model):
    ids = IDS[1]
    split = [Prompt("a", ids[10:], tuple(ids[:10]))]
    mean = rows_behind_the_first(model, 1).mean(0)
    figures = figures_of(model, {1: blind(mean)}, split)[1]
    assert figures.kept.n_tokens == 20

    def ablate(stream):
        stream[:, 10:] = mean
        return stream

    with replace(model, 1, ablate):
        logits = model(torch.tensor([ids])).logits[0, 10:-1]
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor(ids[11:]))
    assert figures.ablated.cross_entropy == pytest.approx(float(expected), rel=1e-5)


def test_documents_that_predict_nothing_are_refused(model):
    with pytest.raises(TrimtabError, match="three tokens or more"):
        figures_of(model, {0: perfect(torch.zeros(D))}, [Prompt("a", [1]), Prompt("b", [1, 2])])


def test_kl_of_the_edited_model_is_the_definition(model):
    bias = rows_behind_the_first(model, 1).mean(0)
    figures = figures_of(model, {1: blind(bias)}, [Prompt("a", IDS[1])])[1]

    def ablate(stream):
        stream[:, 1:] = bias
        return stream

    untouched = model(torch.tensor([IDS[1]])).logits[0, 1:-1].log_softmax(-1)
    with replace(model, 1, ablate):
        edited = model(torch.tensor([IDS[1]])).logits[0, 1:-1].log_softmax(-1)
    kl = (untouched.exp() * (untouched - edited)).sum(-1).mean()
    assert figures.ablated.kl == pytest.approx(float(kl), rel=1e-4)
    assert figures.kl_recovered == pytest.approx(0, abs=1e-6)
    exact = figures_of(model, {1: perfect(torch.zeros(D))})[1]
    assert exact.sae.kl == pytest.approx(0, abs=1e-6)
    assert exact.kl_recovered == pytest.approx(1, abs=1e-5)


def test_a_dictionary_that_halves_its_rows_is_seen_to_shrink():
    sae = perfect(torch.zeros(D))
    geometry = Geometry(SAE(sae.W_enc, sae.b_enc, sae.W_dec / 2, sae.b_dec, sae.activation), {})
    geometry.add(torch.randn(50, D, generator=torch.Generator().manual_seed(0)))
    assert geometry.kept().norm_ratio == pytest.approx(0.5)
    assert geometry.kept().shrinkage == pytest.approx(1)


def test_density_counts_each_latent_that_ever_fires_once():
    """Of 1,000 rows latent 0 fires on all, latent 1 on 50 (10^-1.3), latent 2 on one (10^-3), the others never."""
    rows = torch.zeros(1000, D)
    rows[:, 0], rows[:50, 1], rows[0, 2] = 3, 2, 1
    geometry = Geometry(perfect(torch.zeros(D)), {})
    geometry.add(rows)
    by_edge = dict(zip(DENSITY_EDGES[:-1], geometry.density(), strict=True))
    assert {edge: n for edge, n in by_edge.items() if n} == {-0.5: 1, -1.5: 1, -3.0: 1}


def test_nearest_cosines_find_doubles_and_never_a_row_itself():
    rows = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    assert nearest_cosines(rows).tolist() == pytest.approx([1, 1, 0, 0])


def test_gates_that_fail_are_named_with_their_figures(model):
    figures = figures_of(model, {1: perfect(torch.zeros(D))})[1]

    def failed(these, dead_share):
        return failed_gates(these, GateSettings(explained_variance=0.35, loss_recovered=0.7, dead_share=dead_share))

    assert failed(figures, 1.0) == []
    worse = figures._replace(kept=figures.kept._replace(dead_share=0.5))
    assert failed(worse, 0.4) == ["dead_share 0.5 (gate: at most 0.4)"]
    undefined = figures._replace(kept=figures.kept._replace(explained_variance=float("nan")))
    assert failed(undefined, 1.0) == ["explained_variance nan (gate: at least 0.35)"]


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize(("kind", "module"), [(RESIDUAL, ""), (MLP_OUT, "mlp"), (ATTENTION_OUT, "self_attn")])
def test_a_dictionary_stands_in_for_what_is_at_its_site(model, kind, module, layer):
    """An exact one loses nothing, and a blind one what a plain hook loses that puts the mean there, whatever other
    layers are measured beside it."""
    sites = Sites(kind, (module,) * 3 if module else ())
    rows = [capture(model, [sites.at(layer)], input_ids=torch.tensor([d]))[layer][0, 1:] for d in IDS if len(d) > 2]
    mean = torch.cat(rows).mean(0)
    saes = {each: perfect(torch.zeros(D)) for each in (2, 0, 1)}
    nothing = {each: {} for each in saes}
    exact = measure(model, saes, DOCUMENTS, nothing, sites)
    assert all(each.kept.explained_variance == pytest.approx(1) for each in exact.values())
    assert all(each.sae.cross_entropy == pytest.approx(each.clean, abs=1e-5) for each in exact.values())

    def put(part, given, output):
        stream = output if isinstance(output, torch.Tensor) else output[0]
        # the first token is left alone
        stream = torch.cat([stream[:, :1], mean.expand_as(stream[:, 1:])], dim=1)
        return stream if isinstance(output, torch.Tensor) else (stream, *output[1:])

    blinded = measure(model, {**saes, layer: blind(mean)}, DOCUMENTS, nothing, sites)[layer]
    handle = model.model.layers[layer].get_submodule(module).register_forward_hook(put)
    total, tokens = 0.0, 0
    for document in IDS:
        if len(document) > 2:
            logits = model(torch.tensor([document])).logits[0, 1:-1]
            total += float(torch.nn.functional.cross_entropy(logits, torch.tensor(document[2:]), reduction="sum"))
            tokens += len(logits)
    handle.remove()
    assert blinded.sae.cross_entropy == pytest.approx(total / tokens, rel=1e-5)
    assert blinded.sae.cross_entropy != pytest.approx(blinded.clean, abs=1e-3)
