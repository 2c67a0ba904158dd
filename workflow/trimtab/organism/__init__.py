"""A model organism: a tiny model of a real architecture, trained on a language whose truth is known."""
