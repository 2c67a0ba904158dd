"""Stage rollouts: the agent, its environment, the conditions and their outcomes.

One thing has a name at each of three levels: a *condition* is a row of the design (`conditions`), an *arm* is that
condition made ready for one model, vector read and instruction found (`arms`, `episode.Arm`), and a *push* is what the
arm adds to the residual stream (`trimtab.steering.steering.Push`).
"""
