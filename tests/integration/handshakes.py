"""handshakes.py PORT CAFILE COUNT [STOP]: so many full TLS handshakes with localhost, each with a request that is answered, TLS 1.2 and 1.3 by turns,
on four threads; where STOP is given, as many more as happen until that file is there. Says how many there were; fails with what went wrong."""
import itertools
import os
import socket
import ssl
import sys
import threading

port, cafile, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
stop = sys.argv[4] if len(sys.argv) > 4 else None
contexts = []
for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
    context = ssl.create_default_context(cafile=cafile)
    context.minimum_version = context.maximum_version = version
    contexts.append(context)
numbers = itertools.count()
made, failures = [], []


def shake(number):
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
        with contexts[number % 2].wrap_socket(plain, server_hostname="localhost") as tls:
            if tls.session_reused:
                raise RuntimeError("the session was resumed")
            tls.sendall(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
            if not tls.recv(100).startswith(b"HTTP/1."):
                raise RuntimeError("no answer")
            while tls.recv(4096):
                pass


def work():
    while True:
        number = next(numbers)
        if number >= count and (stop is None or os.path.exists(stop)):
            return
        try:
            shake(number)
            made.append(number)
        except Exception as error:  # each is told below
            failures.append(f"handshake {number}: {error!r}")


threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(made))
sys.exit("\n".join([f"{len(failures)} failed"] + failures[:5]) if failures else None)
