"""Makes the database with one user and one client, and serves the issuer.

Usage: serve.py ADDRESS. The environment says what to create.
"""

import os
import sys

import django
from django.core.management import call_command

os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
django.setup()

from django.contrib.auth import get_user_model  # noqa: E402 (needs the settings)
from oauth2_provider.models import get_application_model  # noqa: E402

call_command("migrate", verbosity=0)
get_user_model().objects.create_superuser(os.environ["ISSUER_USER"], password=os.environ["ISSUER_PASSWORD"])
Application = get_application_model()
Application.objects.create(
    name="ticketproxy",
    client_id=os.environ["ISSUER_CLIENT_ID"],
    client_secret=os.environ["ISSUER_CLIENT_SECRET"],
    redirect_uris=os.environ["ISSUER_REDIRECT_URI"],
    client_type=Application.CLIENT_CONFIDENTIAL,
    authorization_grant_type=Application.GRANT_AUTHORIZATION_CODE,  # includes refreshing
)
call_command("runserver", sys.argv[1], use_reloader=False)
