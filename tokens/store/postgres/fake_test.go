package postgres

import (
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A fake is a server that answers each statement as a test says. It speaks the protocol, and
// knows no SQL.
type fake struct {
	addr string

	mu      sync.Mutex
	asked   sync.Cond // of mu: a statement has come
	answers []answer  // in order of preference
	queries []string
	clients []*pgproto3.Backend
	conns   []net.Conn
}

// An answer is what a statement that has a text is answered with.
type answer struct {
	text string
	rows [][]string
	err  *pgproto3.ErrorResponse // in place of rows
	late *pgproto3.ErrorResponse // after rows, in place of the end of the transaction
	cut  bool                    // the connection ends in place of the end of the transaction
	once bool                    // the next statement gets another answer
}

// looked answers with the same rights to both tables and the same place of both: the user, the
// schema, whether it exists, its USAGE and CREATE, the table's id, its schema, what is denied,
// and whether row-level security is active.
func looked(row ...string) answer { return answer{text: "to_regclass", rows: [][]string{row, row}} }

func startFake(t *testing.T, answers ...answer) *fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{addr: l.Addr().String(), answers: append(answers,
		answer{text: "show transaction_read_only", rows: [][]string{{"off"}}},
		looked("me", "public", "t", "t", "t", "1", "public", "", "f"),
	)}
	f.asked.L = &f.mu
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				defer conn.Close()
				f.serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		f.closeAll()
		group.Wait()
	})
	return f
}

// open returns the state in the fake.
func (f *fake) open(t *testing.T) *Database {
	t.Helper()
	d, err := Open("postgres://me:" + canary + "@" + f.addr + "/tickets?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// closeAll ends all connections.
func (f *fake) closeAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, conn := range f.conns {
		conn.Close()
	}
}

// set puts an answer before all others.
func (f *fake) set(a answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers = append([]answer{a}, f.answers...)
}

// notify tells all who listen.
func (f *fake) notify(channel, payload string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range f.clients {
		b.Send(&pgproto3.NotificationResponse{Channel: channel, Payload: payload})
		b.Flush()
	}
}

// await waits until a statement that has a text has come n times.
func (f *fake) await(text string, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.countLocked(text) < n {
		f.asked.Wait()
	}
}

// count returns how many statements had a text.
func (f *fake) count(text string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.countLocked(text)
}

func (f *fake) countLocked(text string) (n int) {
	for _, q := range f.queries {
		if strings.Contains(q, text) {
			n++
		}
	}
	return n
}

func (f *fake) serve(conn net.Conn) {
	b := pgproto3.NewBackend(conn, conn)
	f.mu.Lock()
	f.conns = append(f.conns, conn)
	f.mu.Unlock()
	start, err := b.ReceiveStartupMessage()
	if _, ok := start.(*pgproto3.StartupMessage); err != nil || !ok {
		return
	}
	if a := f.answer("startup"); a.err != nil {
		b.Send(a.err)
		b.Flush()
		return
	}
	b.Send(&pgproto3.AuthenticationOk{})
	b.Send(&pgproto3.ParameterStatus{Name: "server_version", Value: "17.5"})
	b.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{0, 0, 0, 1}})
	b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	if b.Flush() != nil {
		return
	}
	a, echo := answer{}, ""
	for {
		message, err := b.Receive()
		if err != nil {
			return
		}
		switch m := message.(type) {
		case *pgproto3.Query:
			a = f.answer(m.String)
		case *pgproto3.Parse:
			a = f.answer(m.Query)
			if strings.HasPrefix(m.Query, "LISTEN "+stateChannel) && a.err == nil {
				f.mu.Lock()
				f.clients = append(f.clients, b)
				f.mu.Unlock()
			}
			continue
		case *pgproto3.Bind:
			if a.text == "echo" {
				echo = " " + string(m.Parameters[0])
			}
			continue
		case *pgproto3.Sync:
		default:
			continue
		}
		f.mu.Lock()
		open := f.reply(b, a)
		f.mu.Unlock()
		if echo != "" {
			f.notify(stateChannel, echo)
			echo = ""
		}
		if !open {
			return
		}
	}
}

// reply sends an answer, and reports whether the connection goes on.
func (f *fake) reply(b *pgproto3.Backend, a answer) bool {
	if a.err != nil {
		b.Send(a.err)
	} else {
		columns := 1
		if len(a.rows) > 0 {
			columns = len(a.rows[0])
		}
		b.Send(&pgproto3.RowDescription{Fields: make([]pgproto3.FieldDescription, columns)})
		for _, row := range a.rows {
			var values [][]byte
			for _, value := range row {
				values = append(values, []byte(value))
			}
			b.Send(&pgproto3.DataRow{Values: values})
		}
		b.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")})
	}
	if a.late != nil {
		b.Send(a.late)
	}
	fatal := a.err != nil && a.err.Severity == "FATAL" || a.late != nil && a.late.Severity == "FATAL"
	if !a.cut && !fatal {
		b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	}
	return b.Flush() == nil && !a.cut && !fatal
}

// answer returns the answer to a statement: nothing, unless a test has said otherwise.
func (f *fake) answer(statement string) answer {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.queries = append(f.queries, statement)
	f.asked.Broadcast()
	for i, a := range f.answers {
		if strings.Contains(statement, a.text) || a.text == "echo" && strings.Contains(statement, "' ' || $1)") {
			if a.once {
				f.answers = slices.Delete(f.answers, i, i+1)
			}
			return a
		}
	}
	return answer{}
}

func refusal(severity, code string) *pgproto3.ErrorResponse {
	return &pgproto3.ErrorResponse{Severity: severity, SeverityUnlocalized: severity, Code: code, Message: "no"}
}
