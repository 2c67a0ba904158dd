"""The whole config: checked before the first job, and the files that say what may stand in it.

`trimtab.settings` says what each key is. Here are the check of a config (`check`), its messages (`complaints`) and what
is generated from the models (`generated`): config.yaml, the JSON schema and docs/config.md. After a change of the
models, `python -m trimtab.config write` writes the three again.
"""
