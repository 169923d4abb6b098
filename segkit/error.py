"""What the user can mend. Apart from the other nouns, so that a command line needs nothing else."""

# In a message: the command that looks at the user's data; the command line puts in the data options
# that were typed.
LOOK = "python -m segkit.analyze data=... data.root=..."


class UserError(ValueError):
    """Something the user gave cannot be used.

    The message is one line that says what is wrong, where, and what to do. A command
    prints it without a traceback and ends with exit code 2.
    """
