"""The one kind of exception that a user is meant to read."""


class TrimtabError(Exception):
    """A user's mistake or unusable data; the message is complete in itself.

    Each line of the message names the file, the key or line, the offending value and what was expected. Scripts print
    it without a stack trace (`trimtab.jobs.entry`); any other exception is a bug and keeps its trace.
    """
