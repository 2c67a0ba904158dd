"""Methods that go by texts: a concept's words among value vectors, and the written rule that goes with a task."""

from dataclasses import replace

import pytest
import torch
from material_of import VOCABULARY, generator, material
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, TfidfVectorizer
from sklearn.metrics.pairwise import cosine_similarity
from spoken import nothing_due
from tiny import D_MODEL, LAYERS, gemma3, gpt2, llama, mamba, mixtral, qwen3_5_moe

from trimtab.agent.calibration import conversations
from trimtab.agent.few_shot import FewShotProtocol, Texts
from trimtab.agent.names import RULED, UNSTEERED
from trimtab.agent.points import START
from trimtab.errors import TrimtabError
from trimtab.forward.hooks import decoder_layers, hooked
from trimtab.forward.linear import weight_of
from trimtab.forward.neurons import neurons
from trimtab.forward.sites import INPUT, Site
from trimtab.organism.tokenizer import word_tokenizer
from trimtab.prompts import resources
from trimtab.prompts.resources import Rule
from trimtab.steering.changes import Add
from trimtab.steering.edits import Edit
from trimtab.steering.places import Places
from trimtab.steering.replay import Replay
from trimtab.steering.retrieval import opened
from trimtab.steering.steering import Steering
from trimtab.vectors.contract import make
from trimtab.vectors.cost import Cost
from trimtab.vectors.decisions import Situation, decisions
from trimtab.vectors.declared import Declared
from trimtab.vectors.methods import mentor
from trimtab.vectors.readings import ModelReadings
from trimtab.vectors.unmade import CannotBeMade
from trimtab.vectors.written_rules import rule_of

FOLDER = resources.RESOURCES / "organism"
TASKS = conversations(resources.tasks(FOLDER / "tasks.yaml")["calibration"])
DOMAINS = sorted(resources.tasks(FOLDER / "tasks.yaml")["calibration"])
"""In whose order the tasks stand, as many of each."""
RULES = resources.rules(FOLDER / "rules.yaml")["autonomy"]
POLES = [[[*TASKS[0][:1], {"role": "assistant", "content": f"I am very {word}."}]] for word in ("free", "bound")]
LAYER = 1


@pytest.fixture(scope="module")
def protocol():
    texts = Texts.of(resources.load(FOLDER / "few_shot.yaml"))
    said = [message["content"] for messages in [*TASKS, *POLES[0], *POLES[1]] for message in messages]
    said += [text for each in RULES.values() for text in each]
    names = [f" {name}" for name in texts.actions.values()]
    header = FewShotProtocol(texts, word_tokenizer(names)).header()
    return FewShotProtocol(texts, word_tokenizer([*names, header, "\n\nTask:", *(f" {text}" for text in said)]))


@pytest.fixture(scope="module", params=[llama, gpt2], ids=lambda family: family.__name__)
def model(request, protocol):
    made = request.param(vocab_size=len(protocol.tokenizer), max_position_embeddings=1024)
    with torch.no_grad():
        # so that a sentence in the prompt moves what comes after it
        for weight in made.parameters():
            weight *= 10 if weight.ndim == 2 else 1
    return made


def readings(protocol, model, rules=RULES):
    bias = dict.fromkeys(protocol.tools, 0.0)
    told = Declared("autonomy", {}, nothing_due, lambda: model, TASKS, bias, rules=rules)
    return ModelReadings(model, protocol, LAYER, POLES, TASKS, "", bias, told)


def parts(told, **settings):
    rows = torch.zeros(1, D_MODEL)
    return material(layer=LAYER, high=rows, low=rows, readings=told, settings=settings)


# --- what a vocabulary says ---


def test_words_of_the_high_pole_are_those_that_more_of_its_prompts_have():
    """Both have boldly, one begin and one decide; both poles say will, and could is no word of a concept."""
    assert VOCABULARY.leaning == ["boldly", "begin", "decide"]
    both = replace(VOCABULARY, said=[["I could see a Tree."], ["I see."]])
    assert both.leaning == ["tree"]
    found = VOCABULARY.tokens_of(["Boldly", "begin", "fly"])
    assert found.keys() == {"boldly", "begin"}
    assert [VOCABULARY.tokenizer.decode([token]) for token in found["boldly"]] == [" boldly."]
    assert VOCABULARY.pieces[VOCABULARY.tokenizer.unk_token_id] == ""


# --- value vectors ---


def planted(protocol, model, words):
    """The last columns of layer 2's MLP are the unembedding rows of these words; the site, and where they stand."""
    told = readings(protocol, model)
    (site,) = (site for site in told.neurons if site.layer == 2)
    tokens = [token for word in words for token in told.vocabulary.tokens_of([word])[word]]
    module = site.module_of(decoder_layers(model))
    inputs = weight_of(module).shape[1]
    for at, token in enumerate(tokens):
        row = model.get_output_embeddings().weight[token]
        # GPT-2's has inputs first
        (module.weight.T if isinstance(module, torch.nn.Linear) else module.weight)[inputs - 1 - at] = row
    return told, site, [inputs - 1 - at for at in range(len(tokens))]


def test_a_column_that_is_a_words_row_of_the_unembedding_is_chosen_first(protocol, model):
    told, site, columns = planted(protocol, model, ["free", "query"])
    edits = make("value_vectors", parts(told, value_vectors={"words": "free query", "neurons": 2, "value": 3.0}))
    chosen = {Site(2, site.module, INPUT, (at, at + 1)) for at in columns}
    assert {edit.site for edit in edits} == chosen
    # of one word one
    (edit,) = make("value_vectors", parts(told, value_vectors={"words": "Query", "neurons": 1}))
    assert edit.site.columns == (columns[1], columns[1] + 1)


def test_what_the_module_gives_moves_by_each_neurons_column_exactly(protocol, model):
    told, site, columns = planted(protocol, model, ["free", "query"])
    edits = make("value_vectors", parts(told, value_vectors={"words": "free query", "neurons": 2, "value": 3.0}))
    ids = torch.randint(0, 40, (1, 7), generator=generator(0))

    def run(own):
        seen = {}
        steering = Steering([own], model.device)
        steering.locate(torch.zeros_like(ids), torch.zeros_like(ids), ids)
        watched = {
            each: lambda stream, each=each: seen.setdefault(each, stream.clone()) for each in (site, site.inputs)
        }
        with hooked(model, watched), steering.applied(model):
            model(ids)
        return seen

    plain, held = run(()), run(edits)
    weight = weight_of(site.module_of(decoder_layers(model)))
    moved = sum((3.0 - plain[site.inputs][..., at, None]) * weight[:, at] for at in columns)
    torch.testing.assert_close(held[site] - plain[site], moved, rtol=1e-4, atol=1e-5)


def test_a_long_column_is_no_better_for_its_length(protocol, model):
    told, site, columns = planted(protocol, model, ["free"])
    module = site.module_of(decoder_layers(model))
    other = (module.weight.T if isinstance(module, torch.nn.Linear) else module.weight)[0]
    other *= 1000
    (edit,) = make("value_vectors", parts(told, value_vectors={"words": "free", "neurons": 1}))
    other /= 1000
    assert edit.site.columns == (columns[0], columns[0] + 1)


def test_the_concept_is_the_high_poles_and_weights_alone_are_read(protocol, model):
    told = readings(protocol, model)
    own, named = (make("value_vectors", parts(told, **more)) for more in ({}, {"value_vectors": {"words": "free"}}))
    assert [edit.site for edit in own] == [edit.site for edit in named]
    assert len(own) == 10
    assert told.spent == {}


def test_without_a_word_or_a_matrix_there_are_none(protocol, model):
    told = readings(protocol, model)
    with pytest.raises(
        CannotBeMade, match="value vectors of autonomy: none of 2 words of the concept is a token by its"
    ):
        make("value_vectors", parts(told, value_vectors={"words": "zebra crossing"}))
    with pytest.raises(TrimtabError, match=r"value_vectors: most 20 and neurons 0; expected 1 or more"):
        make("value_vectors", parts(told, value_vectors={"neurons": 0}))
    mixture = readings(protocol, mixtral(vocab_size=len(protocol.tokenizer), max_position_embeddings=1024))
    with pytest.raises(CannotBeMade, match=r"no layer's MLP ends in a linear module; .*module may name another"):
        make("value_vectors", parts(mixture))


def test_neurons_are_those_of_the_last_matrix_of_each_mlp(protocol, model):
    named = {"LlamaForCausalLM": "mlp.down_proj", "GPT2LMHeadModel": "mlp.c_proj"}[type(model).__name__]
    assert neurons(model) == [Site(layer, named) for layer in range(LAYERS)]
    assert neurons(gemma3()) == [Site(layer, "mlp.down_proj") for layer in range(LAYERS)]
    # of a mixture the expert that all tokens share, as the organism has one
    assert neurons(qwen3_5_moe()) == [Site(layer, "mlp.shared_expert.down_proj") for layer in range(LAYERS)]
    assert neurons(mixtral()) == neurons(mamba()) == []


def test_a_named_module_is_taken_in_all_layers(protocol, model):
    told = readings(protocol, model)
    named = told.neurons[0].module.replace("mlp.down", "self_attn.o").replace("mlp.c", "attn.c")
    found = make("value_vectors", parts(told, value_vectors={"words": "free", "neurons": 200, "module": named}))
    assert {edit.site.layer for edit in found} == {*range(LAYERS)}
    assert {edit.site.module for edit in found} == {named}


# --- rules ---


def flat(prompt):
    ids = torch.tensor([token for piece in prompt for token in piece.tokens])
    return ids, Places.of(torch.tensor([place for piece in prompt for place in piece.places]))


def test_each_task_gets_the_rule_that_is_about_its_noun(protocol, model):
    edits = make("mentor", parts(readings(protocol, model)))
    assert len(edits) == len(RULES) == 4
    for at, messages in enumerate(TASKS):
        domain = DOMAINS[at * len(DOMAINS) // len(TASKS)]
        stands = [bool(opened(edit.gate, *flat(protocol.prompt(messages)))) for edit in edits]
        assert [name for name, is_open in zip(RULES, stands, strict=True) if is_open] == [domain]
    # with a rule's own words in the header, which are no task's
    asked = protocol.prompt([{"role": "system", "content": RULES["data"].text}, *TASKS[0]])
    assert [bool(opened(edit.gate, *flat(asked))) for edit in edits] == [name == DOMAINS[0] for name in RULES]


def test_a_rules_vector_is_what_its_sentence_adds(protocol, model):
    told = readings(protocol, model)
    edits = make("mentor", parts(told))
    for edit, each in zip(edits, RULES.values(), strict=True):
        gaps = []
        for messages in TASKS[::3]:
            with_it = protocol.prompt([{"role": "system", "content": each.rule}, *messages])
            rows = [Replay(model, [prompt], LAYER) for prompt in (with_it, protocol.prompt(messages))]
            ours, plain = (replay.at(Site(LAYER), replay.ends)[0] for replay in rows)
            gaps.append(ours - plain)
        wanted = torch.stack(gaps).mean(0)
        torch.testing.assert_close(edit.strength * edit.change.unit, wanted, rtol=1e-3, atol=1e-5)
    assert told.spent == {"under": Cost(5 * len(TASKS[::3]))}


def test_the_task_is_steered_by_its_rules_vector_from_its_end_on(protocol, model):
    edits = make("mentor", parts(readings(protocol, model)))
    prompts = [protocol.prompt(messages) for messages in TASKS[::6]]
    replay = Replay(model, prompts, LAYER)
    found, plain = replay.logits([edits, ()], replay.ends)
    for at, prompt in enumerate(prompts):
        own = edits[[*RULES].index(DOMAINS[at])]
        by_hand = tuple(Edit(own.site, Add(own.change.unit), own.strength, when) for when in ("last_prompt", "decode"))
        single = Replay(model, [prompt], LAYER)
        torch.testing.assert_close(found[at], single.logits([by_hand], single.ends)[0, 0], rtol=1e-3, atol=1e-5)
        assert not torch.allclose(found[at], plain[at], atol=1e-5)


def test_a_rule_that_says_nothing_is_refused_and_no_rule_is_told(protocol, model):
    silent = {**RULES, "none": Rule("the query.", "")}
    with pytest.raises(CannotBeMade, match="MENTOR of autonomy, layer 1: rule none moves nothing"):
        make("mentor", parts(readings(protocol, model, silent)))
    with pytest.raises(CannotBeMade, match=r"MENTOR of autonomy: rules\.yaml has no rule for it"):
        make("mentor", parts(readings(protocol, model, {})))
    unknown = {"one": Rule("nothing", "the")}
    with pytest.raises(CannotBeMade, match="its rules hold no word by which a task could be told"):
        make("mentor", parts(readings(protocol, model, unknown)))


def test_the_rule_in_the_prompt_is_the_one_whose_vector_is_added(protocol, model):
    edits = make("mentor", parts(readings(protocol, model)))
    read = [Situation(START, str(at), messages) for at, messages in enumerate(TASKS[::6])]
    sentences = [each.rule for each in RULES.values()]
    offsets = {START: dict.fromkeys(protocol.tools, 0.0)}
    ruled = rule_of(edits, sentences)
    found = decisions(model, protocol, offsets, read, {"mentor": edits}, "Be very free.", {}, ruled)
    assert [*found] == [UNSTEERED, "mentor", "prompt", RULED]
    for at, each in enumerate(read):
        asked = protocol.prompt([{"role": "system", "content": RULES[DOMAINS[at]].rule}, *each.messages])
        replay = Replay(model, [asked], LAYER)
        scores = protocol.action_scores(replay.logits([()], replay.ends)[0, 0]).double()
        torch.testing.assert_close(found[RULED][at], torch.softmax(scores, -1), rtol=1e-3, atol=1e-5)
    assert rule_of((), sentences)(protocol.prompt(TASKS[0])) == ""


@pytest.mark.parametrize("trait", resources.rules())
def test_sums_over_tokens_order_rules_as_the_cosine_of_tf_idf_does(trait):
    """Against scikit-learn's own vectors of whole words, on the tasks and rules of the default resources."""
    texts = [each.text for each in resources.rules()[trait].values()]
    tasks = [task for some in resources.tasks()["calibration"].values() for task in some]
    fitted = TfidfVectorizer(token_pattern=r"[a-z]+", stop_words=[*ENGLISH_STOP_WORDS])
    vectors = fitted.fit_transform(texts)
    words = fitted.build_tokenizer()
    pieces = sorted({word for text in [*texts, *tasks] for word in words(text.lower())})
    ids, weights = mentor.similarity([words(text.lower()) for text in texts], pieces)
    full = torch.zeros(len(pieces), len(texts)).index_copy(0, ids, weights)
    told = 0
    for task in tasks:
        sums = sum(full[pieces.index(word)] for word in words(task.lower()))
        cosines = torch.from_numpy(cosine_similarity(fitted.transform([task]), vectors)[0])
        assert bool(sums.any()) == bool(cosines.any())
        if bool(cosines.any()):
            told += 1
            torch.testing.assert_close(sums.double() / sums.norm(), cosines / cosines.norm(), rtol=0.01, atol=0.002)
    # tasks that have a word of a rule
    assert told >= 0.8 * len(tasks)


@pytest.mark.parametrize("folder", [resources.RESOURCES, FOLDER], ids=lambda path: path.name)
def test_every_trait_of_the_resources_has_rules(folder):
    traits = resources.traits(folder / "traits.yaml").keys() - {resources.NULL}
    found = resources.rules(folder / "rules.yaml")
    assert found.keys() == traits
    assert all(own.keys() == {*resources.DOMAINS} for own in found.values())
    texts = {one["task"] for one in resources.scenarios(folder / "scenarios.yaml")}
    assert not texts & {each.about for own in found.values() for each in own.values()}


def test_two_rules_of_one_sentence_are_a_mistake(tmp_path):
    (tmp_path / "rules.yaml").write_text("bold: {a: {about: x, rule: Go.}, b: {about: y, rule: Go.}}\n")
    with pytest.raises(TrimtabError, match=r"rules\.yaml, bold: rule 'Go\.' stands twice"):
        resources.rules(tmp_path / "rules.yaml")


def test_rules_are_of_the_trait_alone():
    found = make("mentor", replace(material(), layer=2))
    assert [edit.gate.own for edit in found] == [0, 1]
