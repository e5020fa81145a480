"""requests-oauthlib as an OAuth client. oauth_clients_test.go documents input and output."""
import os
import sys

from oauthlib.oauth2 import BackendApplicationClient, OAuth2Error
from requests_oauthlib import OAuth2Session

os.environ['OAUTHLIB_INSECURE_TRANSPORT'] = '1'  # else it takes https only, also on loopback

for line in sys.stdin:
    session = OAuth2Session(client=BackendApplicationClient(client_id='any'))
    try:
        token = session.fetch_token(token_url=line.strip(), client_id='any', client_secret='thing')
        print('token', token['expires_in'], token['access_token'], flush=True)
    except OAuth2Error as e:
        print('error', e.error, flush=True)
