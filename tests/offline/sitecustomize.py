"""No network: in a Python process that has this folder on its path, connections to other machines fail.

The interpreter imports a module of this name by itself when it starts. Sockets of the file system and of
this machine are left alone: workers, process groups and browsers need them.
"""

import ipaddress
import os
import socket

attempts: list[str] = []  # that this process has made
_connect, _connect_ex, _sendto = socket.socket.connect, socket.socket.connect_ex, socket.socket.sendto
_getaddrinfo = socket.getaddrinfo


def _here(host: object) -> bool:
    """Whether a name or an address means this machine."""
    text = host.decode() if isinstance(host, bytes) else host
    if text in (None, "", "localhost", socket.gethostname()):
        return True
    try:
        address = ipaddress.ip_address(str(text).partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _refuse(host: object) -> None:
    if _here(host):
        return
    attempts.append(str(host))
    if file := os.environ.get("SEGKIT_TEST_ATTEMPTS"):
        with open(file, "a") as stream:  # noqa: PTH123 - nothing more than needed is imported here
            stream.write(f"{host}\n")
    raise OSError(f"no network in tests: {host}")


def _guarded(original):
    def call(self, *arguments):
        if self.family in (socket.AF_INET, socket.AF_INET6) and isinstance(arguments[-1], tuple):
            _refuse(arguments[-1][0])
        return original(self, *arguments)

    return call


def _guarded_name(host, *arguments, **named):
    _refuse(host)
    return _getaddrinfo(host, *arguments, **named)


socket.socket.connect = _guarded(_connect)
socket.socket.connect_ex = _guarded(_connect_ex)
socket.socket.sendto = _guarded(_sendto)
socket.getaddrinfo = _guarded_name
