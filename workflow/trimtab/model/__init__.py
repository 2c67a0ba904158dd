"""The model: where it comes from, what it is, and whether its numbers can be trusted on this machine."""
