"""Settings of the stage `report`."""

from trimtab.settings.base import Count, Settings, Some, default
from trimtab.settings.saes import GateSettings
from trimtab.settings.statistics import Statistics


class Report(Settings):
    """The report."""

    title: str = default("Trimtab: what a small push inside a model does to an agent")
    """Title of the page."""

    transcripts: Count = default(6)
    """Scenarios whose episodes are printed, each under several conditions."""


class FigureSettings(Settings):
    """What the figures depend on."""

    seed: Count
    """The experiment's seed."""

    gates: GateSettings
    """Those of the dictionaries."""

    methods: Some[str]
    """Makers of vectors; figures list them in this order."""

    statistics: Statistics
