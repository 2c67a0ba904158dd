"""Contrast prompts of a few words in the few-shot protocol, and a toy model that reads them."""

from tiny import gpt2, llama

from trimtab.agent.calibration import conversations
from trimtab.agent.few_shot import FewShotProtocol, Texts
from trimtab.organism.tokenizer import word_tokenizer
from trimtab.prompts import resources
from trimtab.vectors.readings import Declared, ModelReadings

FOLDER = resources.RESOURCES / "organism"
TASKS = conversations(resources.tasks(FOLDER / "tasks.yaml")["calibration"])[:2]
POLES = [
    [[*task, {"role": "assistant", "content": f"I am very {word}."}] for task, word in zip(TASKS, words, strict=True)]
    for words in (("bold", "keen and bold"), ("meek", "shy"))
]
LAYER = 1


def nothing_due(site):
    """For readings that go by no behaviour."""
    raise AssertionError(f"behaviour was asked for at {site}")


def protocol_of(poles):
    """With a tokenizer that knows all that is said."""
    texts = Texts.of(resources.load(FOLDER / "few_shot.yaml"))
    said = [message["content"] for pole in poles for messages in pole for message in messages]
    names = [f" {name}" for name in texts.actions.values()]
    header = FewShotProtocol(texts, word_tokenizer(names)).header()
    return FewShotProtocol(texts, word_tokenizer([*names, header, "\n\nTask:", *(f" {text}" for text in said)]))


def built(protocol, family=llama, **more):
    made = family(vocab_size=len(protocol.tokenizer), max_position_embeddings=1024, **more).requires_grad_(False)
    if family is not gpt2:
        # of length sqrt(d): as large as what layers make of them
        made.get_input_embeddings().weight.mul_(50)
    return made


def readings(protocol, model, poles=POLES):
    told = Declared("deference", {}, nothing_due, lambda: model, [], {})
    return ModelReadings(model, protocol, LAYER, poles, TASKS, "", {}, told)
