"""raw_lines.py CA PORT [LINE...]: sends each line to the server as it is, over TLS, and prints what comes back, each in a line; "-": nothing came."""
import socket
import ssl
import sys

trusting = ssl.create_default_context(cafile=sys.argv[1])
with socket.create_connection(("127.0.0.1", int(sys.argv[2])), timeout=20) as plain:
    with trusting.wrap_socket(plain, server_hostname="localhost") as connection:
        answers = connection.makefile("r", encoding="utf-8")
        for line in sys.argv[3:]:
            try:
                connection.sendall(line.replace("%x", "x" * 20000).encode("utf-8", "surrogateescape") + b"\n")
                print(answers.readline().rstrip("\n") or "-")
            except (ssl.SSLError, ConnectionError):
                print("-")
