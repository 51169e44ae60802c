"""The one error class of the package."""


class UserError(ValueError):
    """A mistake that the user can mend; its text says, in one line, what is wrong and what to do."""
