"""The programs that are compared: how each one is configured. Each replaces Authorization by the same token."""
import os
import pathlib
import shutil
import socket
import subprocess
from typing import NamedTuple

from api import ACCESS_TOKEN, nginx


class Peer(NamedTuple):
    """A proxy, and how it is started."""
    name: str
    port: int
    command: list
    environment: dict = {}
    authorization: str = None  # which the app sends


class Surroundings(NamedTuple):
    """What the peers are configured for."""
    folder: str
    binary: str  # ticketproxy
    bare: str
    port: int  # of the API
    tls: bool
    issuer: object

    def url(self):
        return f"{'https' if self.tls else 'http'}://localhost:{self.port}"


def free_port():
    """Returns a port of loopback that nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def ticketproxy(around, name="ticketproxy", authorization=None, **more):
    """Returns an instance of the program. More are variables, without their prefix."""
    port = free_port()
    variables = {
        "PROVIDER": "generic", "GRANT": "client_credentials", "CLIENT_ID": "bench", "CLIENT_SECRET": "bench-secret",
        "TOKEN_URL": around.issuer.url + "/token", "UPSTREAM_URL": around.url(), "CA_FILE": f"{around.folder}/cert.pem",
        "STATE": "memory:", "LISTEN": f"127.0.0.1:{port}", "ADMIN_LISTEN": "off", "LOG_LEVEL": "warn", **more,
    }
    environment = {"TICKETPROXY_" + variable: value for variable, value in variables.items()}
    return Peer(name, port, [around.binary, "serve"], environment, authorization)


def bare(around):
    port = free_port()
    return Peer("bare", port, [around.bare, f"127.0.0.1:{port}", around.url(), f"{around.folder}/cert.pem"])


def nginx_peer(around):
    port = free_port()
    return Peer("nginx", port, nginx(around.folder, "peer", f"""
 upstream api {{ server 127.0.0.1:{around.port}; keepalive 1024; keepalive_requests 100000000; }}
 server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {'https' if around.tls else 'http'}://api;
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host localhost;
  proxy_set_header Authorization "Bearer {ACCESS_TOKEN}"; }} }}"""))


def haproxy(around):
    port = free_port()
    file = pathlib.Path(around.folder, "haproxy.cfg")
    tls = f" ssl verify required ca-file {around.folder}/cert.pem verifyhost localhost sni str(localhost)"
    file.write_text(f"""defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  http-reuse always
frontend app
  bind 127.0.0.1:{port}
  http-request set-header Authorization "Bearer {ACCESS_TOKEN}"
  default_backend api
backend api
  server api 127.0.0.1:{around.port}{tls if around.tls else ""}
""")
    return Peer("haproxy", port, ["haproxy", "-db", "-f", str(file)])


def caddy(around):
    port = free_port()
    file = pathlib.Path(around.folder, "Caddyfile")
    tls = f"tls_trusted_ca_certs {around.folder}/cert.pem\n   tls_server_name localhost"
    file.write_text(f"""{{
 admin off
 auto_https off
 log {{
  level ERROR
 }}
}}
http://:{port} {{
 bind 127.0.0.1
 reverse_proxy {around.url().replace('localhost', '127.0.0.1')} {{
  header_up Authorization "Bearer {ACCESS_TOKEN}"
  transport http {{
   {tls if around.tls else ""}
   versions 1.1
   keepalive_idle_conns_per_host 1024
  }}
 }}
}}
""")
    home = {name: around.folder for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
    return Peer("caddy", port, ["caddy", "run", "--adapter", "caddyfile", "--config", str(file)], home)


ALL = {"ticketproxy": ticketproxy, "bare": bare, "nginx": nginx_peer, "haproxy": haproxy, "caddy": caddy}
OURS = ("ticketproxy", "bare")


def present():
    """Returns the names of the peers that can be run here."""
    return [name for name in ALL if name in OURS or shutil.which(name)]


def callers(around):
    """Returns instances of the program: two that ask nobody who calls, and two with a CALLERS_FILE, whose app
    sends a key or a token (JWT). A token is remembered once it was checked. The app of the second one sends the same
    token, which is dropped there: so it is known what the longer header costs."""
    made = subprocess.run([around.binary, "key", "shop"], check=True, capture_output=True, text=True, timeout=30)
    key, line = made.stdout.strip(), made.stderr.strip().splitlines()[-1].strip()
    rules = """may: [{upstream: "*", methods: [GET, POST], paths: [/tickets, /orders]}]
    rate: {per: second, requests: 1000000, burst: 1000000}"""
    file = pathlib.Path(around.folder, "callers.yaml")
    file.write_text(f"""issuers:
  bench: {{url: "{around.issuer.url}", audience: ticketproxy}}
callers:
  shop:
    {line}
    {rules}
  report:
    issuer: bench
    subject: report
    {rules}
""")
    token = around.issuer.sign("report", "ticketproxy")
    return [
        ticketproxy(around, "none"),
        ticketproxy(around, "unasked", f"Bearer {token}"),
        ticketproxy(around, "key", f"Bearer {key}", CALLERS_FILE=str(file)),
        ticketproxy(around, "token", f"Bearer {token}", CALLERS_FILE=str(file)),
    ]


def environment_of(peer):
    """Returns the environment of a peer: without variables of a program that runs beside."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TICKETPROXY_")}
    return {**kept, **peer.environment}
