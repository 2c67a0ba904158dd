"""Stage rollouts: the agent, its environment, the conditions and their outcomes."""
