"""The error that the command line tools show as one line."""


class UserInputError(ValueError):
    """Something that the user can mend: a path, a config value, a checkpoint.

    The message is one line that names the offending value, what was expected and what to do about it. The tools print
    it as ``error: <message>`` and exit with code 1.
    """
