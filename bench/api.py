"""The API behind the proxies, which nginx plays, and the issuer of tokens, which this process plays."""
import base64
import http.server
import json
import pathlib
import subprocess
import threading
import time

ACCESS_TOKEN = "bench-access-token"
ANSWER = json.dumps([{"id": i, "subject": f"Question about seat {i}", "status": "open"} for i in range(16)])

# What both instances of nginx have: no log, connections that stay open, bodies in memory, and no file elsewhere.
NGINX_HTTP = """access_log off; log_not_found off; tcp_nodelay on; keepalive_timeout 600s; keepalive_requests 100000000;
 client_body_buffer_size 128k; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
 fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;"""


def nginx(folder, name, http):
    """Writes a configuration, and returns the command that runs nginx with it."""
    file = pathlib.Path(folder, f"{name}.conf")
    file.write_text(f"worker_processes auto; daemon off; pid {folder}/{name}.pid;\n"
                    f"events {{ worker_connections 8192; }}\nhttp {{ {NGINX_HTTP.format(folder=folder)}\n{http} }}\n")
    return ["nginx", "-e", f"{folder}/{name}.log", "-c", str(file)]


def api_command(folder, port, tls):
    """Returns the command of the API. An API reads a body before it answers. return alone would answer while the
    body comes. mirror reads it first, and goes before what makes the answer: empty_gif, which refuses POST."""
    listen = f"127.0.0.1:{port}"
    if tls:
        listen += f" ssl; ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem"
    return nginx(folder, "api", f"""server {{ listen {listen}; default_type application/json;
  if ($http_authorization != "Bearer {ACCESS_TOKEN}") {{ return 401; }}
  location = /tickets {{ return 200 '{ANSWER}'; }}
  location = /orders {{ mirror /read; empty_gif; error_page 405 =200 @answer; }}
  location = /read {{ internal; return 204; }}
  location @answer {{ return 200 '{ANSWER}'; }}
 }}""")


def openssl(*arguments, **more):
    """Runs openssl, and returns what it prints."""
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=30, **more).stdout


def make_certificate(folder):
    """Makes the API's certificate, which is its own authority."""
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")


class Issuer:
    """Answers token requests, and signs tokens that prove a caller (JWT, RFC 7519). Close ends it."""

    def __init__(self, folder):
        self.key = f"{folder}/issuer.pem"
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.key)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def handler(self):
        """Returns the handler of its requests."""
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.answer(issuer.keys() if self.path == "/keys" else
                            {"issuer": issuer.url, "jwks_uri": issuer.url + "/keys"})

            def do_POST(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.answer({"access_token": ACCESS_TOKEN, "token_type": "Bearer", "expires_in": 86400})

            def answer(self, value):
                body = json.dumps(value).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        return Handler

    def keys(self):
        """Returns its key as a JWK Set (RFC 7517). The encoding of a public key ends with its point."""
        point = openssl("ec", "-in", self.key, "-pubout", "-outform", "DER")[-64:]
        return {"keys": [{"kty": "EC", "crv": "P-256", "kid": "bench", "alg": "ES256", "use": "sig",
                          "x": encode(point[:32]), "y": encode(point[32:])}]}

    def sign(self, subject, audience):
        """Returns a token, of about the size of a Kubernetes ServiceAccount's."""
        now = int(time.time())
        header = {"alg": "ES256", "typ": "JWT", "kid": "bench"}
        claims = {"iss": self.url, "aud": audience, "sub": subject, "iat": now, "exp": now + 86400, "pad": "0" * 500}
        text = ".".join(encode(json.dumps(part).encode()) for part in (header, claims))
        signature = openssl("dgst", "-sha256", "-sign", self.key, input=text.encode())
        return text + "." + encode(raw_signature(signature))


def encode(data):
    """Returns base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def raw_signature(der):
    """Returns a signature as JWS has it (RFC 7518, section 3.4): two numbers of 32 bytes, in place of DER's."""
    numbers, rest = b"", der[2:]  # after the head of the sequence
    while rest:
        length = rest[1]
        numbers += int.from_bytes(rest[2:2 + length], "big").to_bytes(32, "big")
        rest = rest[2 + length:]
    return numbers
