"""What a method is charged for: all that it asks, as if no other had asked before, and nothing else."""

from dataclasses import replace

import pytest
from material_of import material
from recorded import record

from trimtab.forward.sites import Site
from trimtab.vectors.contract import make
from trimtab.vectors.cost import Cost, Metered
from trimtab.vectors.curves import Looked, Margin
from trimtab.vectors.record import Opened, Record


class Told:
    """One reading that is read once, and one that is read at each call."""

    def __init__(self):
        self.spent = {}
        self._known = None

    @property
    def entropies(self):
        if self._known is None:
            self._known = 1.5
            self.spent["entropies"] = Cost(10)
        return self._known

    def after(self, layer):
        return Told()

    def at(self, site, fails=False):
        self.spent["at"] = self.spent.get("at", Cost()) + Cost(4, 1)
        if fails:
            raise ValueError
        return site


def test_each_method_pays_for_all_that_it_asks():
    told = Told()
    first, second, third = (Metered(told) for _ in range(3))
    assert (first.entropies, second.entropies, first.entropies) == (1.5, 1.5, 1.5)
    second.at(Site(1))
    second.at(Site(2))
    assert [each.cost for each in (first, second, third)] == [Cost(10), Cost(18, 2), Cost()]


def test_what_is_read_for_another_layer_is_on_the_same_account():
    metered = Metered(Told())
    metered.at(Site(1))
    assert metered.after(3).entropies == metered.after(4).entropies
    assert metered.cost == Cost(24, 1)


def test_a_method_that_reads_the_model_is_charged_and_one_of_rows_is_not():
    parts = material()
    parts.readings.spent["entropies"] = Cost(16)
    metered = [Metered(parts.readings) for _ in range(2)]
    for name, each in zip(("east", "mean_difference"), metered, strict=True):
        make(name, replace(parts, readings=each))
    assert [each.cost for each in metered] == [Cost(16), Cost()]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"cost": Cost(3, 1), "openings": (Opened(0, 5, 2, 0.25),)},
        {"training": (Looked(0, 0, 0, None, 0.7, 0.0, 0),), "margins": (Margin("fit", 5, -1.5, 2.0),)},
    ],
)
def test_a_record_keeps_its_cost_openings_and_training_and_one_of_before_has_none(more):
    known = record(**more)
    texts = known.texts()
    assert Record.of("v", texts) == known
    assert texts.keys() >= more.keys()
    assert ("cost" in more) == ("cost" in texts)
