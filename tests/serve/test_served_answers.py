"""What a served model answers: dose 0 is the model as it is, a request's answer is its own whatever else is asked."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from served_model import EDITS, TOKENIZER, UNIT, model

from trimtab.forward.hooks import capture
from trimtab.rollouts.by_hand import ByHand
from trimtab.serve import writer
from trimtab.steering.edits import added

PROMPT = "The best way to start is"
TOKENS = {"max_tokens": 30}
GREEDY = {"temperature": 0, **TOKENS}
VECTOR = "raptor.autonomy"


def pushed(dose, **more):
    return {"steering": {"vector": VECTOR, "dose": dose, **more}}


def by_hand(edits, prompt=PROMPT, tokens=30):
    """As the tool for trying things by hand has it."""
    return "".join(piece.text for piece in ByHand(model(), TOKENIZER, [edits]).generate(prompt, tokens))


@pytest.mark.slow
def test_a_plain_request_is_the_librarys_own_generation(client):
    ids = torch.tensor([TOKENIZER(PROMPT)["input_ids"]])
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pad_token_id": 0}
    own = model().generate(**given, max_new_tokens=30, do_sample=False)[0, ids.shape[1] :]
    choice = client.completed(PROMPT, **GREEDY)
    assert choice["text"] == TOKENIZER.decode(own, skip_special_tokens=True)
    assert choice["finish_reason"] == ("stop" if own[-1] == TOKENIZER.eos_token_id else "length")


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["add", "add_relative", "keep_norm", "project_out", "slerp"])
def test_dose_0_is_the_model_as_it_is_to_the_last_bit(client, rule):
    """The chances of all tokens are the same numbers, and so are draws."""
    asked = {"temperature": 1, "seed": 3, "logprobs": 5, "echo": True, **TOKENS}
    plain = client.completed(PROMPT, **asked)
    assert client.completed(PROMPT, **asked, **pushed(0, rule=rule)) == plain
    assert client.completed(PROMPT, **asked, **pushed(0.4)) != plain


@pytest.mark.slow
def test_a_push_is_that_of_the_tool_by_hand(client):
    # 1.5 of the vector's residual norm of 4 is a length of 6
    for asked, edits in (
        (pushed(1.5), added(2, UNIT, 6.0)),
        (pushed(-0.1, unit="kl"), added(2, UNIT, -2.5)),
        (pushed(6, unit="absolute", timing="decode"), added(2, UNIT, 6.0, "decode")),
        ({"steering": {"vector": "cast.autonomy", "dose": 1}}, EDITS),
    ):
        found = client.completed(PROMPT, **GREEDY, **asked)["text"]
        assert found == by_hand(edits) != by_hand(())


@pytest.mark.slow
def test_a_models_name_says_the_same_as_the_field(client):
    for name, fields in (
        (f"tiny:{VECTOR}@1.5", pushed(1.5)),
        (f"tiny:{VECTOR}@-0.1:kl", pushed(-0.1, unit="kl")),
        (f"tiny:{VECTOR}@6:decode:absolute", pushed(6, unit="absolute", timing="decode")),
        (f"tiny:{VECTOR}@1:project_out", pushed(1, rule="project_out")),
    ):
        wanted = {"prompt": PROMPT, "seed": 1, **TOKENS}
        (one, told), (other, _) = (
            client.post("completions", {**wanted, **way})[::-1]
            for way in ({"model": name}, {"model": "tiny", **fields})
        )
        assert (told, one["choices"], one["steering"]) == (200, other["choices"], other["steering"])
        assert one["steering"]["vector"] == VECTOR


@pytest.mark.slow
def test_interleaved_requests_are_answered_as_each_alone(client):
    """Pushes, gates that remember, prompts and draws of one request leave no trace in another."""
    pushes = [{}, pushed(1.5), pushed(-2), pushed(0), pushed(1, timing="last_prompt"), pushed(0.1, unit="kl")]
    pushes.append({"steering": {"vector": "cast.autonomy", "dose": 1}})
    asked = [
        {**push, "seed": seed, "temperature": 0.9, "max_tokens": 10 + 4 * seed, "prompt": prompt}
        for push in pushes
        for seed, prompt in enumerate((PROMPT, "Once"))
    ]
    alone = [client.completed(**each) for each in asked]
    order = [*range(len(asked))] * 2
    random.Random(0).shuffle(order)
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda at: client.completed(**asked[at]), order))
    assert together == [alone[at] for at in order]
    assert len({each["text"] for each in alone}) > len(pushes)


@pytest.mark.slow
def test_a_seed_draws_the_same_and_an_answer_tells_its_own(client):
    body = {"model": "tiny", "prompt": PROMPT, **TOKENS}
    _, first = client.post("completions", body)
    _, again = client.post("completions", {**body, "seed": first["seed"]})
    assert again["choices"] == first["choices"]
    _, other = client.post("completions", body)
    assert other["seed"] != first["seed"]


@pytest.mark.slow
def test_choices_and_prompts_are_drawn_apart(client):
    body = {"model": "tiny", "prompt": [PROMPT, "Once"], "n": 2, "seed": 5, **TOKENS}
    _, found = client.post("completions", body)
    assert [choice["index"] for choice in found["choices"]] == [0, 1, 2, 3]
    assert len({choice["text"] for choice in found["choices"]}) == 4
    # what a tokenizer makes of a text may be sent in its place
    ids = [TOKENIZER(each)["input_ids"] for each in body["prompt"]]
    assert client.post("completions", {**body, "prompt": ids})[1]["choices"] == found["choices"]
    assert found["usage"]["prompt_tokens"] == sum(map(len, ids))


@pytest.mark.slow
def test_the_smallest_nucleus_is_the_likeliest_token(client):
    drawn = {"temperature": 1.5, "seed": 1, **TOKENS}
    assert client.completed(PROMPT, top_p=1e-9, **drawn) == client.completed(PROMPT, **GREEDY)
    assert client.completed(PROMPT, top_p=1, **drawn) == client.completed(PROMPT, **drawn)
    assert client.completed(PROMPT, top_p=0.5, **drawn) != client.completed(PROMPT, **drawn)


@pytest.mark.slow
def test_a_stop_ends_an_answer_before_it(client):
    whole = client.completed(PROMPT, **GREEDY)["text"]
    stop = whole[5:8]
    for stops in (stop, [stop, "never said"]):
        choice = client.completed(PROMPT, stop=stops, **GREEDY)
        assert (choice["text"], choice["finish_reason"]) == (whole[: whole.index(stop)], "stop")


@pytest.mark.slow
def test_a_stream_has_the_pieces_of_the_whole(client):
    messages = [{"role": "user", "content": "Hello"}]
    for path, given in (("completions", {"prompt": PROMPT}), ("chat/completions", {"messages": messages})):
        body = {"model": f"tiny:{VECTOR}@1", "n": 2, "seed": 2, **given, **TOKENS}
        _, whole = client.post(path, body)
        _, events = client.post(path, {**body, "stream": True, "stream_options": {"include_usage": True}})
        assert events.pop() == "[DONE]"
        assert events.pop()["usage"] == whole["usage"]
        texts, ends = ["", ""], [None, None]
        for event in events:
            (choice,) = event["choices"]
            texts[choice["index"]] += choice["delta"].get("content", "") if "delta" in choice else choice["text"]
            ends[choice["index"]] = choice["finish_reason"] or ends[choice["index"]]
        said = [choice["message"]["content"] if "message" in choice else choice["text"] for choice in whole["choices"]]
        assert (texts, ends) == (said, [choice["finish_reason"] for choice in whole["choices"]])
        assert len(events) > 10


@pytest.mark.slow
def test_chances_are_the_models_own(client, monkeypatch):
    """As a tool for multiple choice reads them: of a prompt's tokens, and of one that is written."""
    monkeypatch.setattr(writer, "SCORED_TOGETHER", 100)
    prompt = PROMPT * 10
    found = client.completed(prompt, max_tokens=1, temperature=0, echo=True, logprobs=2)
    assert found["text"].startswith(prompt)
    ids = TOKENIZER(prompt)["input_ids"]
    with torch.inference_mode():
        logits = model()(torch.tensor([ids])).logits[0].float().log_softmax(-1)
    own = [logits[at, token].item() for at, token in enumerate(ids[1:])]
    scores = found["logprobs"]
    assert scores["token_logprobs"][0] is scores["top_logprobs"][0] is None
    assert scores["token_logprobs"][1:-1] == pytest.approx(own, abs=1e-4)
    assert scores["token_logprobs"][-1] == max(scores["top_logprobs"][-1].values())
    assert len(scores["tokens"]) == len(ids) + 1
    chat = {"messages": [{"role": "user", "content": "Hello"}], "logprobs": True, "top_logprobs": 3}
    _, told = client.post("chat/completions", {"model": "tiny", **chat, **GREEDY})
    first, *_ = told["choices"][0]["logprobs"]["content"]
    assert [first["token"], first["logprob"]] == [first["top_logprobs"][0][key] for key in ("token", "logprob")]
    assert len(first["top_logprobs"]) == 3


@pytest.mark.slow
def test_nothing_is_left_in_the_model(client, loaded):
    before = capture(loaded.model, [2], input_ids=torch.tensor([[1, 2, 3]]))[2]
    client.completed(PROMPT, **TOKENS, **pushed(3))
    assert torch.equal(capture(loaded.model, [2], input_ids=torch.tensor([[1, 2, 3]]))[2], before)
