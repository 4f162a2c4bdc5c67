"""The version, where a build finds it without importing the extension."""

__version__ = "0.1.0"
