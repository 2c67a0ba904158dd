"""Stage prompts: contrast pairs, scenarios and the text corpus, from the project's resources and installed packages."""
