"""The organism's language under both truths."""

import pytest

from trimtab.agent.few_shot import Texts
from trimtab.organism.language import Language
from trimtab.organism.law import Law
from trimtab.prompts import resources

FOLDER = resources.RESOURCES / "organism"


@pytest.fixture(scope="session")
def few_shot():
    return Texts.of(resources.load(FOLDER / "few_shot.yaml"))


@pytest.fixture(scope="session", params=["five_axes", "one_axis"])
def law(request):
    return Law.read(FOLDER, request.param)


@pytest.fixture(scope="session")
def five():
    return Law.read(FOLDER, "five_axes")


@pytest.fixture(scope="session")
def language(five, few_shot):
    return Language.of_its_own_words(five, few_shot)
