"""Tried by hand, doses side by side: `python -m trimtab.steering generate|chat MODEL VECTOR --dose 0 0.4`."""

from trimtab.jobs.entry import commands

from importlib import import_module

SHOWN = "trimtab.rollouts.side_by_side"
"""Run by its name: it needs models and vectors, of rooms that build on this one and that nothing here may import."""

if __name__ == "__main__":
    found = import_module(SHOWN)
    commands(generate=found.generate, chat=found.chat)
