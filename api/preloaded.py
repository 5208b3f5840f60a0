"""The application, imported once in the process that those that answer are forked from."""

from api.memory import starting

with starting():
    import api.app  # noqa: F401
