"""The layers that probes chose, most chosen first."""

from trimtab.probes.layers import chosen_layers


def test_most_chosen_first_then_the_lowest():
    probes = [("risk", 26), ("deference", 5), ("autonomy", 16), ("tools", 26), ("persistence", 16), ("other", 4)]
    assert chosen_layers(probes) == [
        {"layer": 16, "traits": ["autonomy", "persistence"]},
        {"layer": 26, "traits": ["risk", "tools"]},
        {"layer": 4, "traits": ["other"]},
        {"layer": 5, "traits": ["deference"]},
    ]
