"""What an experiment may say: one model a section of the config, and one a slice of a section that a job is given."""
