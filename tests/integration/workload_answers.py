"""What workloads in containers can be asked for: see Workload in containers.py."""

import hashlib
import os
import pickle
import sys
import traceback

import numpy

_mapped = {}


def read(path):
    with open(path, "rb") as file:
        return file.read()


def listing(path):
    return sorted(os.listdir(path))


def map_it(path):
    """Maps a file for as long as the workload runs, and returns where its bytes are, and their hash."""
    mapped = numpy.memmap(path, numpy.uint8, "r")
    _mapped[path] = mapped
    return mapped.ctypes.data, mapped.size, hashlib.sha256(mapped).hexdigest()


def hash_of_mapped(path):
    return hashlib.sha256(_mapped[path]).hexdigest()


ANSWERS = {"read": read, "listing": listing, "map": map_it, "hash": hash_of_mapped}


def serve(questions, replies, answers):
    """Answers what is asked, one thing after the other, until nobody can ask any more."""
    while True:
        try:
            name, arguments = pickle.load(questions)
        except EOFError:
            return
        try:
            reply = (True, answers[name](*arguments))
        except OSError as error:
            reply = (False, error.errno)
        except Exception:
            reply = (False, traceback.format_exc())
        pickle.dump(reply, replies)
        replies.flush()


def ask(questions, replies, name, *arguments):
    """What serve() at the other end answers; raises OSError with the errno that it got."""
    pickle.dump((name, arguments), questions)
    questions.flush()
    good, value = pickle.load(replies)
    if good:
        return value
    if isinstance(value, int):
        raise OSError(value, os.strerror(value))
    raise AssertionError(value)


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer, ANSWERS)
