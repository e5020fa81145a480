// Package sandbox stands in for three ticket vendors: SocialBoards, OpenTicket
// (also Eventix, Weeztix) and Ticketpark. Each [Provider] is one origin that
// holds the vendor's token endpoint, a part of its API over a small theatre
// season, and switches for faults under /_sandbox/.
//
// It is written from the vendors' documents and, where they are silent, after the
// OAuth libraries that their answers point to; the comment at the place then says
// "inferred" and from what. It imports only the standard library and shares no
// code with the client that is tested against it, so that the two cannot share a
// misunderstanding.
//
// There are no goroutines and no clocks in it. Expiry is judged by time.Now when
// a token comes, so it runs inside a testing/synctest bubble as it is.
//
// It is a tool for tests. It remembers every token that it ever issued, keeps
// nothing on disk, and its client secrets are known to everybody: do not show it
// to a network.
package sandbox
