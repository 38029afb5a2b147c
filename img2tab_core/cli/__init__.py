"""The verbs for a terminal, one file for each wing; thin: a wing has the function."""
