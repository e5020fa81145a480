"""Python's urllib. client_test.go documents input and output."""

import hashlib
import os
import sys
import urllib.error
import urllib.request

for line in iter(sys.stdin.readline, ""):
    method, url, count, file, length = line.rstrip("\n").split("\t")
    for _ in range(int(count)):
        request = urllib.request.Request(url, method="GET" if method == "STREAM" else method)
        if int(length) > 0:
            request.add_header("X-Big", "a" * int(length))
        if file != "-":
            request.add_header("Content-Type", "application/json")
            # urllib sends an open file in chunks.
            request.data = open(file, "rb") if os.path.getsize(file) > 1 << 20 else open(file, "rb").read()
        try:
            answer = urllib.request.urlopen(request)
        except urllib.error.HTTPError as error:
            answer = error
        body = b""
        if method == "STREAM":
            body = answer.readline()
            print("first", body.decode().rstrip("\n"), flush=True)
        body += answer.read()
        print(answer.status, len(body), hashlib.sha256(body).hexdigest(), answer.geturl(), flush=True)
