// Node's fetch. client_test.go documents input and output.
import {createHash} from 'node:crypto'
import {createReadStream, readFileSync, statSync} from 'node:fs'
import {createInterface} from 'node:readline'
import {Readable} from 'node:stream'

const small = 1 << 20

for await (const line of createInterface({input: process.stdin})) {
  const [method, url, count, file, length] = line.split('\t')
  for (let i = 0; i < Number(count); i++) {
    const options = {method: method === 'STREAM' ? 'GET' : method, headers: {}}
    if (Number(length) > 0) options.headers['X-Big'] = 'a'.repeat(Number(length))
    if (file !== '-') {
      options.headers['Content-Type'] = 'application/json'
      options.body = statSync(file).size < small ? readFileSync(file) : Readable.toWeb(createReadStream(file))
      options.duplex = 'half' // required for a stream, which is sent in chunks
    }
    const answer = await fetch(url, options)
    const hash = createHash('sha256')
    let bytes = 0
    for await (const piece of answer.body ?? []) {
      if (method === 'STREAM' && bytes === 0) console.log('first ' + new TextDecoder().decode(piece).split('\n')[0])
      hash.update(piece)
      bytes += piece.length
    }
    console.log(answer.status, bytes, hash.digest('hex'), answer.url)
  }
}
