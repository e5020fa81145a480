// Package sandbox simulates three ticket vendors: SocialBoards, OpenTicket (also
// Eventix, Weeztix) and Ticketpark. Each [Provider] is one origin that serves the
// vendor's token endpoint, a part of its API with the data of a small theatre, and
// switches for faults under /_sandbox/.
//
// It follows the vendors' documents. Where they say nothing, it follows the OAuth
// libraries that the vendors' answers point to; the comment there says "inferred"
// and from what. It imports only the standard library and shares no code with the
// client that is tested against it, so the two cannot share a misunderstanding.
//
// It starts no goroutines. Expiry is checked with time.Now when a token arrives,
// so the package runs unchanged inside a testing/synctest bubble.
//
// It is a tool for tests. It remembers every token that it issued, keeps nothing
// on disk, and its client secrets are public: do not expose it to a network.
package sandbox
