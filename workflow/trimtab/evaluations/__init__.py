"""Evaluators: what steering does besides what the rollouts count, measured item by item under the same conditions.

An evaluator is one file of `evaluators`. Its rows have the keys of rollouts/outcomes.parquet, an item in place of a
scenario, so whatever compares conditions over scenarios compares them over items (`trimtab.statistics`).
"""
