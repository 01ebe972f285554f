#!/usr/bin/env python3
"""authority.py DIRECTORY: serves revocation lists from DIRECTORY on a port of this host, and misbehaves under some paths.

The port goes to DIRECTORY/port as soon as it listens, and each path that is asked for to DIRECTORY/log.
"""

import http.server
import os
import sys
import time

directory = sys.argv[1]


class Handler(http.server.BaseHTTPRequestHandler):
    def head(self, status, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def do_GET(self):
        path = self.path.lstrip("/")
        with open(os.path.join(directory, "log"), "a", encoding="ascii") as log:
            log.write(path + "\n")
        try:
            self.answer(path)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def answer(self, path):
        if path == "slow":
            time.sleep(20)
        elif path == "dripping":
            self.head(200)
            for _ in range(100):
                self.wfile.write(b"0")
                time.sleep(0.2)
        elif path == "endless":
            self.head(200)
            while True:
                self.wfile.write(bytes(65536))
        elif path == "huge":
            self.head(200, Content_Length=str(1 << 40))
        elif path == "to-file":
            self.head(302, Location="file://" + os.path.join(directory, "good.crl"))
        elif path == "in-circles":
            self.head(302, Location="/in-circles")
        elif path == "moved":
            self.head(302, Location="/good.crl")
        elif os.path.isfile(os.path.join(directory, path)):
            with open(os.path.join(directory, path), "rb") as file:
                content = file.read()
            self.head(200, Content_Length=str(len(content)))
            self.wfile.write(content)
        else:
            self.head(404, Content_Length="0")

    def log_message(self, format, *arguments):  # pylint: disable=redefined-builtin
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
with open(os.path.join(directory, "port.new"), "w", encoding="ascii") as port:
    port.write(str(server.server_address[1]))
os.rename(os.path.join(directory, "port.new"), os.path.join(directory, "port"))
server.serve_forever()
