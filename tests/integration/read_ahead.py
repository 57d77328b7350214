"""How far the kernel reads ahead in a filesystem, as /sys has it."""

import os


def _file_of(path):
    device = os.stat(path).st_dev
    name = f"{os.major(device)}:{os.minor(device)}"
    folders = (f"/sys/class/bdi/{name}", f"/sys/dev/block/{name}/bdi", f"/sys/dev/block/{name}/../bdi")
    return next((f"{folder}/read_ahead_kb" for folder in folders if os.path.exists(folder)), None)


def read_ahead(path):
    """How far, in KiB, the kernel reads ahead on the device of a file; 0 where it does not say."""
    name = _file_of(path)
    if name is None:
        return 0
    with open(name, encoding="ascii") as file:
        return int(file.read())
