"""What a CSI driver does that mounts for sidecars and passes the descriptor on, and its starter.

As meta-fuse-csi-plugin does: a socket in an emptyDir of the pod; whoever connects to it first gets the
descriptor of /dev/fuse, for a mount made at that moment, with a few words of JSON.
"""

import array
import json
import os
import socket

from mount import detach, is_mounted
from test_passed_mount import mount_device

NOBODY = 65534


class Driver:
    """Publishes volumes of pods; to be called as Pod's `driver`, and cleared at the end."""

    def __init__(self):
        self._targets, self._children = [], []

    def __call__(self, target, volume, others):
        self._targets.append(target)
        attributes = volume["volumeAttributes"]
        folder = others[attributes["fdPassingEmptyDirName"]]
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        here = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
        os.chdir(folder)  # the whole path may be longer than an address can be
        try:
            listener.bind(attributes["fdPassingSocketName"])
            os.chown(attributes["fdPassingSocketName"], NOBODY, NOBODY)
        finally:
            os.fchdir(here)
            os.close(here)
        os.chown(folder, NOBODY, NOBODY)
        listener.listen(1)
        child = os.fork()
        if child == 0:
            try:
                connection = listener.accept()[0]
                device = mount_device(target, ",allow_other,default_permissions")
                connection.sendmsg([json.dumps({"volumeName": "skopsfs"}).encode()],
                                   [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [device]))])
            finally:
                os._exit(0)
        listener.close()
        self._children.append(child)

    def unpublish(self):
        """What the kubelet asks for when the pod has ended. Returns what was still mounted."""
        found = [target for target in self._targets if is_mounted(target)]
        for target in found:
            detach(target)
        for child in self._children:
            os.waitpid(child, 0)
        self._targets, self._children = [], []
        return found


def starter(command):
    """A function that does what the driver's fuse-starter does with these words."""
    path = command[command.index("--fd-passing-socket-path") + 1]
    program = command[command.index("--") + 1:]

    def start():
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(path)
        _, passed, _, _ = connection.recvmsg(500, socket.CMSG_SPACE(4))
        device = array.array("i", passed[0][2])[0]
        connection.close()
        os.unlink(path)
        os.dup2(device, 3)
        if device != 3:
            os.close(device)
        os.execv(program[0], program)
    return start
