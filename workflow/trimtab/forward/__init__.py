"""Token rows through one transformers model: hooks, attention over shared headers, masks, rows that grow.

Knows no steering and no agent.
"""
