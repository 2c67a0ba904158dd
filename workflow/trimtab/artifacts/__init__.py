"""What lies on disk: whole files, tensors, schemas, locks, and where each artifact came from."""
