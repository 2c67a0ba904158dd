"""The corpus: whole text in pieces, nothing twice, nothing on both sides of the split."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.artifacts import files
from trimtab.errors import TrimtabError
from trimtab.prompts import corpus, resources, sources
from trimtab.prompts.sources import Document


def count(text):
    """A stand-in tokenizer: words, and every four characters of a long one."""
    return sum(-(-len(word) // 4) for word in text.split())


def assemble(given_documents, tokens=60, held_out=0.3, seed=1, **shares):
    streams = {name: iter(documents) for name, documents in given_documents.items()}
    return corpus.assemble(
        streams, shares, count, tokens=tokens, min_tokens=2, max_tokens=8, held_out=held_out, seed=seed
    )


def numbered(name, how_many, words=6):
    return [Document(str(n), " ".join(f"{name}{n % 10}{w}" for w in range(words)) + f" {n}") for n in range(how_many)]


def test_pieces_of_a_small_text():
    assert corpus.pieces("one two\nsix ten all", 3, count) == ["one two", "six ten all"]
    assert corpus.pieces("  one  ", 3, count) == ["one"]
    assert corpus.pieces("", 3, count) == []


def test_a_long_word_is_cut():
    assert "".join(corpus.pieces("x" * 50, 3, count)) == "x" * 50


@pytest.mark.parametrize(
    "text", ["x" * 5000, "汉字" * 2500, "ภาษาไทย" * 700, "漢字かな交じり文。" * 500], ids=["dna", "zh", "th", "ja"]
)
def test_text_without_spaces_is_cut_at_its_limit(text):
    """Three characters a token, so that all pieces but the last are full."""
    cut = corpus.pieces(text, 64, lambda one: -(-len(one) // 3))
    assert {len(piece) for piece in cut[:-1]} == {3 * 64}
    assert "".join(cut) == text


def test_paragraphs_without_spaces_fill_a_piece():
    paragraph = "字" * 40
    cut = corpus.pieces("\n".join([paragraph] * 20), 50, len)
    # the second half of a piece of 50 has the line's end at 41
    assert [len(piece) for piece in cut] == [40] * 20
    assert len(corpus.pieces("字" * 30 + " " + "字" * 30, 50, len)[0]) == 50


def test_the_cost_of_cutting_grows_with_the_text():
    def asked(length):
        sizes = []
        corpus.pieces("x" * length, 64, lambda one: sizes.append(len(one)) or -(-len(one) // 3))
        return sum(sizes)

    # halving each long word anew was quadratic: four times the text asked for 16 times the characters
    assert asked(40_000) < 5 * asked(10_000)


def test_one_character_that_does_not_fit():
    with pytest.raises(TrimtabError, match="max_tokens: 1 is too small"):
        corpus.pieces("ab", 1, lambda text: 2 * len(text))


@given(st.text(alphabet="ab \n\té", max_size=200), st.integers(1, 12))
def test_pieces_fit_and_lose_nothing(text, limit):
    cut = corpus.pieces(text, limit, count)
    assert all(piece and count(piece) <= limit for piece in cut)
    assert re.sub(r"\s", "", "".join(cut)) == re.sub(r"\s", "", text)


def test_budget_follows_shares_and_a_lack_is_made_up():
    made = assemble({"few": numbered("f", 2), "many": numbered("m", 40)}, few=0.5, many=0.5)
    assert made.sources["few"].documents == 2
    total = sum(tally.tokens for tally in made.sources.values())
    assert 60 <= total < 60 + 8


def test_too_little_text():
    with pytest.raises(TrimtabError, match=r"prompts\.corpus\.tokens: 60 is more than the sources hold"):
        assemble({"few": numbered("f", 2)}, few=1.0)


def test_repeated_text_is_dropped_across_sources():
    twice = Document("again", "  F00 f01 f02 f03 f04 f05\n0 ")
    made = assemble({"a": numbered("f", 8), "b": [twice, *numbered("m", 40)]}, a=0.5, b=0.5)
    assert made.sources["b"].duplicates == 1
    texts = [" ".join(row["text"].split()).casefold() for row in made.rows]
    assert len(set(texts)) == len(texts)


def test_documents_are_held_out_whole_and_from_every_source():
    long = [Document(str(n), " ".join(f"w{n}{w}" for w in range(20))) for n in range(10)]
    made = assemble({"long": long, "short": numbered("s", 40)}, tokens=200, long=0.5, short=0.5)
    sides = {}
    for row in made.rows:
        sides.setdefault(row["id"].rpartition("#")[0], set()).add(row["split"])
    assert all(len(split) == 1 for split in sides.values())
    assert {row["source"] for row in made.rows if row["split"] == "held_out"} == {"long", "short"}
    assert len({row["id"] for row in made.rows}) == len(made.rows)


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.floats(0, 0.9))
def test_same_seed_same_rows_and_splits_are_disjoint(seed, share):
    one, two = (assemble({"m": numbered("m", 40)}, held_out=share, seed=seed, m=1.0) for _ in range(2))
    assert one == two
    train = {row["text"] for row in one.rows if row["split"] == "train"}
    assert train.isdisjoint(row["text"] for row in one.rows if row["split"] == "held_out")


def test_a_missing_package_names_the_command():
    with pytest.raises(TrimtabError, match=r"not installed; pip install --no-deps nothing-here==1\.0$"):
        sources.folder("nothing_here", "nothing-here==1.0")


def test_docstrings_come_from_the_syntax_tree(tmp_path):
    source = b'"""Module."""\nimport nothing_like_this\ndef f():\n    """\n    Of f.\n\n      more\n    """\n'
    assert list(sources._docstrings(source)) == ["Module.", "Of f.\n\n  more"]


@pytest.fixture
def prompts(tmp_path):
    """A package folder with three prompts, two of them about the same tool."""
    tool = {"name": "add", "description": "Adds.", "parameters": {"properties": {"a": {"type": "integer"}}}}
    entries = [
        {"id": "p0", "question": [[{"role": "user", "content": "Add 1."}]], "function": [tool]},
        {"id": "p1", "question": [[{"role": "user", "content": "Add 2."}]], "function": [tool]},
        {"id": "p2", "question": [[{"role": "user", "content": "Talk."}]]},
    ]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "BFCL_v4_small.json").write_text("\n".join(map(json.dumps, entries)))
    return tmp_path


def test_questions_about_the_same_tools_are_one_document(prompts):
    found = {document.id: document.text for document in sources.tool_prompts(prompts, ["small"], 0)}
    assert found == {"p0": "Tools:\nadd: Adds.\n  a (integer): \n\nUser: Add 1.\n\nUser: Add 2.", "p2": "User: Talk."}


def test_dialogues(tmp_path):
    (tmp_path / "data" / "english").mkdir(parents=True)
    (tmp_path / "data" / "english" / "tea.yml").write_text("conversations:\n- - Tea?\n  - Yes.\n  - Milk?\n")
    assert [one.text for one in sources.dialogues(tmp_path, ["tea"], 0)] == ["User: Tea?\nAssistant: Yes.\nUser: Milk?"]


def test_transcripts(tmp_path):
    files.write_jsonl(tmp_path / "t.jsonl", [{"id": "e0", "text": "Thought: <|im_end|> & <b>"}])
    assert list(sources.written_documents(tmp_path / "t.jsonl")) == [Document("e0", "Thought: <|im_end|> & <b>")]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            '{"id": "a", "text": "x"}\n{"text": "y"}\n',
            'row 1: expected an object with an id and a text, found {"text": "y"}',
        ),
        ('{"id": 1, "text": "x"}\n', "row 0: expected an object with an id and a text"),
        ('["a", "b"]\n', "row 0: expected an object with an id and a text"),
        ("version https://git-lfs.github.com/spec/v1\n", "a git-lfs pointer"),
    ],
)
def test_what_lies_beside_a_model_and_is_no_text_of_its_own_is_one_line(tmp_path, text, line):
    (tmp_path / "t.jsonl").write_text(text)
    with pytest.raises(TrimtabError) as caught:
        list(sources.written_documents(tmp_path / "t.jsonl"))
    assert line in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "t.jsonl"))
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def recipe():
    return resources.load(resources.RESOURCES / "corpus.yaml")


@pytest.mark.slow
def test_tasks_for_transcripts(recipe, scenarios):
    pytest.importorskip("bfcl_eval")
    tasks = sources.transcript_tasks(80, 1, recipe["transcript_tasks"])
    assert len({one["text"] for one in tasks}) == len({one["id"] for one in tasks}) == 80
    assert tasks == sources.transcript_tasks(80, 1, recipe["transcript_tasks"])
    assert tasks != sources.transcript_tasks(80, 2, recipe["transcript_tasks"])
    assert {one["text"] for one in tasks}.isdisjoint(one["task"] for one in scenarios)
    with pytest.raises(TrimtabError, match=r"transcripts: 100000 is more than the \d+ tasks there are"):
        sources.transcript_tasks(100_000, 1, recipe["transcript_tasks"])


def test_no_question_of_the_transcripts_is_in_the_corpus(recipe):
    used = set(recipe["sources"]["tool_prompts"]["files"])
    assert used.isdisjoint(recipe["transcript_tasks"]["files"])


@pytest.mark.slow
def test_documentation_interleaves_packages():
    found = sources.documentation({"jsonschema": "jsonschema", "yaml": "PyYAML"}, 1, 0)
    first = [next(found).id for _ in range(4)]
    assert {name.partition("/")[0] for name in first[:2]} == {"jsonschema", "yaml"}
    again = sources.documentation({"jsonschema": "jsonschema", "yaml": "PyYAML"}, 1, 0)
    assert first == [next(again).id for _ in range(4)]
