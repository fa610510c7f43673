"""The one class of errors that the user can put right."""


class InputError(ValueError):
    """What is wrong with a config value, a file or a folder, what is allowed, and what to do."""
