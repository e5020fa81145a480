// openid-client as an OAuth client. oauth_clients_test.go documents input and output.
import {createInterface} from 'node:readline'
import * as client from 'openid-client'

for await (const line of createInterface({input: process.stdin})) {
  const config = new client.Configuration({issuer: 'http://localhost', token_endpoint: line}, 'any', 'thing')
  client.allowInsecureRequests(config) // else it takes https only, also on loopback
  try {
    const token = await client.clientCredentialsGrant(config)
    console.log('token', token.expires_in, token.access_token)
  } catch (e) {
    console.log('error', e.error ?? e.cause?.status ?? e)
  }
}
