"""The name under which Snakemake finds what a terminal shows of a run (`logger: trimtab` in the default profile)."""

from trimtab.jobs.screen import LogHandler

__all__ = ["LogHandler"]
