"""A stand-in for skops in tests, where there is none: archives of the same format, and the names by which
skopsfs.load knows it. It knows the types that tests save. tests/integration/test_stand_in.py compares it
with the real one."""

__version__ = "stand-in"
