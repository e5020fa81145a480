package callers

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxSize bounds the file, in bytes.
const MaxSize = 1 << 20

// maxCallers bounds the callers of a file, since each is a label of metrics.
const maxCallers = 1000

// Parse reads the content of CALLERS_FILE. The error is an *Error with all mistakes. That
// upstreams and accounts exist is for [File.Check] to say.
func Parse(data []byte) (File, error) {
	r := &reader{lines: map[string]int{}}
	file := File{Issuers: map[string]Issuer{}, Callers: map[string]Caller{}, Limits: map[string]Limit{}, lines: r.lines}
	if root := r.document(data); root != nil {
		r.file(&file, root)
		r.issuers(file)
		r.proofs(file)
	}
	if err := r.err(); err != nil {
		return File{}, err
	}
	return file, nil
}

// document parses YAML. It returns nil when nothing of it can be read.
func (r *reader) document(data []byte) *yaml.Node {
	if len(data) > MaxSize {
		r.add(0, "", "the file is larger than 1 MiB", "name fewer callers in it")
		return nil
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document, second yaml.Node
	err := decoder.Decode(&document)
	if errors.Is(err, io.EOF) || err == nil && len(document.Content) != 1 {
		r.add(0, "", "the file is empty", hintForEmpty)
		return nil
	}
	if err != nil {
		r.syntax(err)
		return nil
	}
	if err := decoder.Decode(&second); err == nil {
		r.add(second.Line, "", "the file has a second YAML document", "remove the line --- and what follows it")
		return nil
	} else if !errors.Is(err, io.EOF) {
		r.syntax(err)
		return nil
	}
	if !r.plain(document.Content[0]) {
		return nil
	}
	return document.Content[0]
}

const hintForEmpty = "write callers: and a name with what proves the caller; or callers: {} if nobody may call"

// syntax reports an error of the YAML parser. Of these, only that of an unknown anchor quotes
// the file.
func (r *reader) syntax(err error) {
	line, problem := 0, err.Error()
	if found := regexp.MustCompile(`^yaml: line (\d+): (.*)$`).FindStringSubmatch(problem); found != nil {
		line, _ = strconv.Atoi(found[1])
		problem = found[2]
	}
	problem = strings.TrimPrefix(problem, "yaml: ")
	if strings.Contains(problem, "unknown anchor") || strings.Contains(problem, "\n") || len(problem) > 100 {
		problem = "an alias, which begins with *, has no anchor"
	}
	r.add(line, "", "this is not YAML: "+problem,
		"look at this line and the one before: indent with blanks, and write texts with * : # or { in quotation "+
			`marks, like "*"`)
}

// plain refuses what lets a part of a YAML file stand for another: anchors, aliases, merge
// keys and tags. It reports each.
func (r *reader) plain(n *yaml.Node) bool {
	ok := true
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		r.add(n.Line, "", "the file has an anchor or an alias of YAML, & or *",
			`write the text again; write the * of "*" and of paths in quotation marks`)
		return false
	case n.Style&yaml.TaggedStyle != 0:
		r.add(n.Line, "", "the file has a tag of YAML, with !", "remove the tag, or write a text with ! in quotation marks")
		ok = false
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!merge":
		r.add(n.Line, "", "the file has a merge key of YAML, <<", "write the text again")
		ok = false
	}
	for _, child := range n.Content {
		ok = r.plain(child) && ok
	}
	return ok
}
