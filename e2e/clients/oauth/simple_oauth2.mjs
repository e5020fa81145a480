// simple-oauth2 as an OAuth client. oauth_clients_test.go documents input and output.
import {createInterface} from 'node:readline'
import {ClientCredentials} from 'simple-oauth2'

for await (const line of createInterface({input: process.stdin})) {
  const url = new URL(line)
  const client = new ClientCredentials({
    client: {id: 'any', secret: 'thing'},
    auth: {tokenHost: url.origin, tokenPath: url.pathname + url.search},
  })
  try {
    const {token} = await client.getToken({})
    console.log('token', token.expires_in, token.access_token)
  } catch (e) {
    console.log('error', e.data?.payload?.error ?? e)
  }
}
