"""Read-only views of what workers publish. Imports ``shared``."""
