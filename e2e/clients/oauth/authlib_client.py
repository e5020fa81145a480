"""Authlib as an OAuth client. oauth_clients_test.go documents input and output."""
import sys

from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from requests import HTTPError

for line in sys.stdin:
    session = OAuth2Session('any', 'thing', token_endpoint_auth_method='client_secret_post')
    try:
        token = session.fetch_token(line.strip(), grant_type='client_credentials')
        print('token', token['expires_in'], token['access_token'], flush=True)
    except OAuthError as e:
        print('error', e.error, flush=True)
    except HTTPError as e:  # it does not read the body of a 5xx
        print('error', e.response.status_code, flush=True)
