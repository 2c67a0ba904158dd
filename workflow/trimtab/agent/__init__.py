"""How an agent speaks and what its world answers: protocols, replies, environment, action calibration."""
