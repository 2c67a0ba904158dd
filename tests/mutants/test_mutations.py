"""Mutations are of today's code: each one's text is in its file, once, so that `make mutants` can put another there."""

import pytest
from mutants.mutations import MUTATIONS, Mutation
from project import ROOT


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: f"{mutation.file}: {mutation.what}")
def test_a_mutations_text_is_in_its_file_once(mutation: Mutation) -> None:
    text = (ROOT / "workflow/trimtab" / mutation.file).read_text()
    assert text.count(mutation.old) == 1
    assert mutation.old != mutation.new
    assert all((ROOT / path).is_file() for path in mutation.tests)
