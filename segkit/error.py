"""What the user can mend. Apart from the other nouns, so that a command line needs nothing else."""

import logging
import re

# Characters that end a line, move the cursor, turn the direction of writing, or are no text at all.
UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

# In a command that a message proposes: the command line puts in the data options that were typed.
DATA_OPTIONS = "data=... data.root=..."
LOOK = f"python -m segkit.analyze {DATA_OPTIONS}"
MOST = 2000  # characters of a message
DIVIDE = f"python -m segkit.split {DATA_OPTIONS}"


def plural(count: int, noun: str) -> str:
    """A number with its noun: ``1 file``, ``3 files``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def visible(text: str) -> str:
    """A text in one line: what a terminal would obey instead of showing it is written as an escape."""
    return UNSEEN.sub(lambda m: m[0].encode("unicode_escape", "surrogatepass").decode(), text)


class OneLine(logging.Formatter):
    """Messages whose names of files cannot make lines, colours or titles of their own."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Put the message into its line; a traceback behind it keeps its lines."""
        record.message = visible(record.message)
        return super().formatMessage(record)


class UserError(ValueError):
    """Something the user gave cannot be used.

    The message is one line that says what is wrong, where, and what to do. A command
    prints it without a traceback and ends with exit code 2.

    Args:
        message: The line. It may quote what came from files and their names: characters that
            are not printed, line ends among them, are escaped, and the middle of a very long
            one is left out.
    """

    def __init__(self, message: str) -> None:
        super().__init__(_short(visible(_end(message))))


class ShortOfResources(UserError):
    """The machine has run out of something (memory, open files): no fault of the file being read.

    Never a reason to leave a picture out.
    """


def _end(message: str) -> str:
    """A worker process hands its error over wrapped in a traceback; the user gets the end."""
    if "Original Traceback" not in message:
        return message
    return re.split(r"^segkit\.error\.\w+: ", message.strip(), flags=re.MULTILINE)[-1]


def _short(text: str) -> str:
    return text if len(text) <= MOST else f"{text[: MOST - 400]} ... {text[-400:]}"
