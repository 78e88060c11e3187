"""Stands for a server that another process forks (see ``warm.py``). It starts without the standard library's site, in a hundredth of a second."""

import os
import signal
import socket
import sys

address, *arguments = sys.argv[1:]
environment = [f"{name}={value}" for name, value in os.environ.items()]
connection = socket.socket(socket.AF_UNIX)
connection.connect(address)
said = "\0\0".join([os.getcwd(), "\0".join(arguments), "\0".join(environment), ""])
socket.send_fds(connection, [said.encode()], [0, 1, 2])
answers = connection.makefile("rb")
pid = int(answers.readline())
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, lambda which, _: os.kill(pid, which))
# Only the server holds them now, so that anyone who reads sees their end.
for file in range(3):
    os.close(file)
status = int(answers.read() or -signal.SIGKILL)
if status < 0:
    signal.signal(-status, signal.SIG_DFL) if -status != signal.SIGKILL else None
    os.kill(os.getpid(), -status)
os._exit(status)
