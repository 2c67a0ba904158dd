"""The league: every method on many organisms whose truth is known, told apart as far as organisms allow."""
