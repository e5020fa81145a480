// An issuer for tests: oidc-provider with one client, everything in memory, and the
// login and consent pages that it has for development. Any user may log in.
//
// server.mjs HOST:PORT listens there. The environment says the rest. The modules are
// those of the working directory, which install.sh has made.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const modules = createRequire(`${process.cwd()}/`);
const { Provider } = await import(pathToFileURL(modules.resolve('oidc-provider')));

const setting = (name) => {
  const value = process.env[`ISSUER_${name}`];
  if (!value) throw new Error(`ISSUER_${name} is not set`);
  return value;
};

const [host, port] = process.argv[2].split(':');
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });

const provider = new Provider(setting('URL'), {
  clients: [{
    client_id: setting('CLIENT_ID'),
    client_secret: setting('CLIENT_SECRET'),
    token_endpoint_auth_method: 'client_secret_basic',
    grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
    redirect_uris: [setting('REDIRECT_URI')],
  }],
  cookies: { keys: [randomBytes(32).toString('hex')] },
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256' }] },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  pkce: { methods: ['S256'], required: () => true },
  // A refresh token that is redeemed a second time ends the whole grant.
  rotateRefreshToken: true,
  features: {
    deviceFlow: { enabled: true },
    devInteractions: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
  },
  ttl: {
    AccessToken: Number(setting('ACCESS_LIFETIME')),
    AuthorizationCode: 60,
    DeviceCode: 600,
    Grant: 3600,
    IdToken: 600,
    Interaction: 600,
    RefreshToken: 3600,
    Session: 3600,
  },
});

provider.on('server_error', (_, error) => console.error(error));
provider.on('grant.error', (_, error) => console.error(error.error, error.error_detail ?? error.error_description));
provider.on('authorization.error', (_, error) => console.error(error.error, error.error_description));

provider.listen(Number(port), host);
