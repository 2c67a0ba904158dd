"""Probes: ridge in closed form (`ridge`), honest scores (`nested`), controls (`controls`), and all of it (`report`)."""
