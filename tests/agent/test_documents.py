"""Which documents of the corpus are trained on and which evaluate, and after what they stand."""

from trimtab.agent.documents import TEXT, TRANSCRIPTS, held_out, training
from trimtab.artifacts import files

ROWS = [
    {"id": "a", "text": "one two three four", "source": "code", "split": "train"},
    {"id": "b", "text": "five", "source": "code", "split": "held_out"},
    {"id": "c", "text": "six", "source": TRANSCRIPTS, "split": "held_out"},
    {"id": "d", "text": "seven", "source": "chat", "split": "held_out"},
    {"id": "e", "text": "no", "source": TRANSCRIPTS, "split": "train"},
]


def test_splits_and_evaluation_sets(tmp_path, protocol):
    corpus = tmp_path / "corpus.jsonl"
    files.write_jsonl(corpus, ROWS)
    trained = list(training(corpus, protocol, max_tokens=2))
    assert [document.id for document in trained] == ["a", "e"]
    assert [len(document.tokens) for document in trained] == [2, 1]
    # an episode was written after the header, text stands alone
    start, header = tuple(protocol.start), tuple(protocol.header_tokens())
    assert [document.context for document in trained] == [start, header]
    sets = held_out(corpus, protocol, max_tokens=9)
    assert {name: [document.id for document in each] for name, each in sets.items()} == {
        TEXT: ["b", "d"],
        TRANSCRIPTS: ["c"],
    }
    assert sets[TRANSCRIPTS][0].context == header
