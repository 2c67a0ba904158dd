"""Stage rollouts: the agent, its environment, the conditions and their outcomes.

One thing has a name at each of three levels: a *condition* is a row of the design (`conditions`), an *arm* is that
condition made ready for one model, vector read and instruction found (`arms`, `episode.Arm`), and its *edits* are what
the arm does to the model's rows (`trimtab.steering.edits`).
"""
