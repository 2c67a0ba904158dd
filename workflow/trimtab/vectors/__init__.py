"""Steering vectors: one unit direction a method and trait, with everything needed to apply it at a stated dose."""
