"""Trimtab: how a small push inside a language model turns what an agent does.

The library behind the rules. It knows nothing of Snakemake: every stage (`model`, `prompts`, `activations`, `saes`,
`probes`, `vectors`, `rollouts`, `statistics`, `report`) is a package of its name, and `workflow/scripts` holds the
small programs that read artifacts, call it and write the next artifact.
"""
