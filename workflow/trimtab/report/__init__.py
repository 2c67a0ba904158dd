"""One self-contained page and its figures, made from a finished run's artifacts."""
