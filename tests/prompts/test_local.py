"""A user's own files as a source of the corpus, in each of their kinds."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import spoilt

from trimtab.artifacts import schemas
from trimtab.errors import TrimtabError
from trimtab.prompts import local, sources, texts

TURNS = [{"from": "human", "value": "hi"}, {"from": "gpt", "value": None}, {"from": "gpt", "value": "ho"}]
SPOKEN = "User: hi\nAssistant: ho"
LINES = [{"text": "one"}, {"text": None}, {"text": " two\n"}]


def found(folder, files, column=None, seed=1):
    source = {"share": 0.5, "folder": "own", "files": files} | ({} if column is None else {"column": column})
    assert schemas.problems(
        {"min_tokens": 1, "sources": {"local_mine": source}, "transcript_tasks": {"tasks": ["x"]}},
        "corpus.schema.json",
        "corpus.yaml",
    ) == []  # fmt: skip
    documents = sources.documents("local_mine", source, folder, folder, folder, seed)
    return {document.id: document.text for document in documents}


@pytest.fixture
def own(tmp_path):
    (tmp_path / "own/deep").mkdir(parents=True)
    return tmp_path / "own"


def test_plain_texts_are_a_document_a_file(own, tmp_path):
    (own / "a.txt").write_text(" A text.\n\nOf lines. \n")
    (own / "deep/a.md").write_text("# Notes")
    (own / "blank.txt").write_text(" \n")
    wanted = {"a.txt/0": "A text.\n\nOf lines.", "deep/a.md/0": "# Notes"}
    assert found(tmp_path, "**/*") == wanted
    assert found(tmp_path, "*.txt") == {"a.txt/0": "A text.\n\nOf lines."}


def test_tables_are_a_document_a_row(own, tmp_path):
    (own / "a.jsonl").write_text("\n".join(map(json.dumps, LINES)) + "\n\n")
    (own / "b.json").write_text(json.dumps([{"conversations": TURNS}, {"conversations": []}]))
    pq.write_table(pa.table({"text": ["three", None]}), own / "c.parquet")
    assert found(tmp_path, "*.jsonl", "text") == {"a.jsonl/0": "one", "a.jsonl/2": "two"}
    assert found(tmp_path, "*.json", "conversations") == {"b.json/0": SPOKEN}
    assert found(tmp_path, "*.parquet", "text") == {"c.parquet/0": "three"}


def test_what_other_programs_put_into_files_is_no_text(own, tmp_path):
    """The mark of UTF-8, a name's end in capitals, and half a character, which no file could hold again."""
    (own / "a.TXT").write_text("one", encoding="utf-8-sig")
    (own / "b.JSONL").write_text('{"text": "two \\ud800."}', encoding="utf-8-sig")
    assert found(tmp_path, "*.TXT") == {"a.TXT/0": "one"}
    assert found(tmp_path, "*.JSONL", "text") == {"b.JSONL/0": "two \ufffd."}


def test_the_order_of_files_is_the_seeds(own, tmp_path):
    for name in "abc":
        (own / f"{name}.txt").write_text(name)
    assert list(found(tmp_path, "*.txt")) == list(found(tmp_path, "*.txt"))
    assert len({tuple(found(tmp_path, "*.txt", seed=seed)) for seed in range(8)}) > 1


@pytest.mark.parametrize(
    ("files", "column", "said"),
    [
        ("*.csv", None, r"corpus\.yaml, sources\.local_mine\.files: '\*\.csv' matches no file of .*own"),
        ("z.bin", None, r"sources\.local_mine\.files: .*z\.bin: expected files that end in \.txt, \.md, \.jsonl, "),
        ("a.jsonl", None, r"sources\.local_mine\.column: expected the name under which the rows of .*a\.jsonl hold"),
        ("a.jsonl", "body", r"sources\.local_mine\.column: body is none of text \(.*a\.jsonl, line 1\)"),
        ("cut.jsonl", "text", r"cut\.jsonl, line 2: not JSON"),
        ("list.jsonl", "text", r"list\.jsonl, line 1: expected an object, found list \[1\]"),
        ("object.json", "text", r"object\.json: expected a list of rows, found dict"),
        ("cut.json", "text", r"cut\.json: not JSON"),
        ("latin.txt", None, r"latin\.txt: not UTF-8 text"),
        ("latin.jsonl", "text", r"latin\.jsonl, line 1: not JSON"),
        ("pointer.txt", None, r"pointer\.txt: a git-lfs pointer"),
        ("a**.txt", None, r"sources\.local_mine\.files: 'a\*\*\.txt'; expected a pattern below the folder"),
    ],
)
def test_what_cannot_be_read_is_one_line(own, tmp_path, files, column, said):
    (own / "z.bin").write_bytes(b"\x00")
    (own / "a.jsonl").write_text("\n".join(map(json.dumps, LINES)))
    (own / "cut.jsonl").write_text('{"text": "a"}\n{"text": "b')
    (own / "list.jsonl").write_text("[1]")
    (own / "object.json").write_text('{"text": "a"}')
    (own / "cut.json").write_text('[{"text": ')
    (own / "latin.txt").write_bytes("é".encode("latin-1"))
    (own / "latin.jsonl").write_bytes('{"text": "é"}'.encode("latin-1"))
    (own / "pointer.txt").write_text("version https://git-lfs.github.com/spec/v1\noid")
    with pytest.raises(TrimtabError, match=said) as caught:
        found(tmp_path, files, column)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.parquet"])
def test_a_spoilt_file_is_read_or_one_line(own, name):
    rows = [{"text": "one"}, {"text": "two"}] * 20
    if name.endswith("parquet"):
        pq.write_table(pa.Table.from_pylist(rows), own / name)
    else:
        (own / name).write_text(json.dumps(rows) if name == "a.json" else "\n".join(map(json.dumps, rows)))
    assert spoilt.told(own / name, lambda path: list(texts.texts(path, "text", "corpus.yaml, sources.local_mine")))


def test_which_files_count(own, tmp_path):
    (own / "a.txt").write_text("a")
    named = {"local_mine": {"folder": "own", "files": "*.txt"}, "transcripts": {"share": 1}}
    assert local.paths(named, tmp_path) == {"local_mine": [own / "a.txt"]}
    named["local_mine"]["folder"] = str(own)
    assert local.paths(named, tmp_path / "elsewhere") == {"local_mine": [own / "a.txt"]}


def test_what_lies_beside_a_model_is_the_users_own_too(own, tmp_path):
    (own / "a.txt").write_text("a")
    named = {"local_mine": {"folder": "own", "files": "*.txt"}, "beside_model": {"share": 1, "file": "own.jsonl"}}
    assert local.own_files(named, tmp_path, own) == [own / "a.txt", own / "own.jsonl"]
    # of the hub, or in a package
    assert local.own_files(named, tmp_path, tmp_path / "none") == [own / "a.txt"]


def test_a_source_without_files_is_told_before_any_is_read(own, tmp_path):
    with pytest.raises(TrimtabError, match=r"sources\.local_mine\.files: '\*\.txt' matches no file of .*own"):
        local.own_files({"local_mine": {"folder": "own", "files": "*.txt"}}, tmp_path, own)
