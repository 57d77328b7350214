"""The child processes of a skopsfs."""


def words_of(pid):
    """The command line of a process; none when it is gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
        return [int(child) for child in children.read().split()]


def notifiers_of(pid):
    """Those that tell the kernel what to drop, or are about to become something."""
    own = words_of(pid)
    return [child for child in children_of(pid)
            if words_of(child) == own or b"--notifier=" in b" ".join(words_of(child))]
