"""What the user can mend. Apart from the other nouns, so that a command line needs nothing else."""

# In a command that a message proposes: the command line puts in the data options that were typed.
DATA_OPTIONS = "data=... data.root=..."
LOOK = f"python -m segkit.analyze {DATA_OPTIONS}"
DIVIDE = f"python -m segkit.split {DATA_OPTIONS}"


def plural(count: int, noun: str) -> str:
    """A number with its noun: ``1 file``, ``3 files``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


class UserError(ValueError):
    """Something the user gave cannot be used.

    The message is one line that says what is wrong, where, and what to do. A command
    prints it without a traceback and ends with exit code 2.
    """


class ShortOfResources(UserError):
    """The machine has run out of something (memory, open files): no fault of the file being read.

    Never a reason to leave a picture out.
    """
