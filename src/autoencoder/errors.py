"""InputError, for mistakes that the user can fix."""


class InputError(ValueError):
    """A wrong config value, file or folder; the message says what is wrong, what is allowed, and what to do."""
